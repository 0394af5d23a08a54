//! What a log proves, and above all what it does not.

use super::*;

struct Files(&'static [&'static str]);

impl Tree for Files {
    fn is_file(&self, path: &str) -> bool {
        self.0.contains(&path)
    }
    fn go_file(&self, function: &str) -> Option<String> {
        (function == "TestUnder").then(|| "tests/interop/x_test.go".to_owned())
    }
    fn node_file(&self, name: &str) -> Option<String> {
        name.starts_with("S-").then(|| "tests/browser/page.test.mjs".to_owned())
    }
}

const FILES: Files = Files(&[
    "src/protocol/client/tests.rs",
    "tests/wire/table.rs",
    "src/os/mod.rs",
    "tests/architecture/rules.rs",
]);

fn proven(logs: &[&str]) -> Vec<String> {
    let proofs = proofs(logs.iter().copied(), &FILES);
    proofs.iter().flat_map(|(id, places)| places.iter().map(move |place| format!("{id} {place}"))).collect()
}

const CARGO: &str = "     Running unittests src/lib.rs (target/debug/deps/opamp-0123)\n\nrunning 3 tests\n\
    test protocol::client::tests::c_sq_01_03_goes_up ... ok\n";

#[test]
fn what_ran_and_passed_proves() {
    assert_eq!(
        proven(&[CARGO]),
        [
            "C-SQ-01 src/protocol/client/tests.rs::c_sq_01_03_goes_up",
            "C-SQ-03 src/protocol/client/tests.rs::c_sq_01_03_goes_up"
        ]
    );
    let others = "     Running tests/wire/main.rs (x)\ntest table::b_ws_01_x ... ok\ntest b_ws_02_x - should panic ... ok\n\
        test other::deep::b_ws_03_x ... ok <0.1s>\n     Running tests/architecture.rs (x)\ntest rules::b_ws_04_x ... ok\n";
    assert_eq!(
        proven(&[others]),
        [
            "B-WS-01 tests/wire/table.rs::b_ws_01_x",
            "B-WS-02 tests/wire/main.rs::b_ws_02_x",
            "B-WS-03 tests/wire/main.rs::b_ws_03_x",
            "B-WS-04 tests/architecture/rules.rs::b_ws_04_x",
        ]
    );
    let go =
        "=== RUN   TestUnder\n--- PASS: TestUnder (1.20s)\n    --- PASS: TestUnder/C-CS-02_offer (0.10s)\n";
    assert_eq!(proven(&[go]), ["C-CS-02 tests/interop/x_test.go::TestUnder/C-CS-02_offer"]);
    let node = "✔ S-CS-01 is shown (by name) (12.5ms)\n";
    assert_eq!(proven(&[node]), ["S-CS-01 tests/browser/page.test.mjs::S-CS-01 is shown (by name)"]);
}

#[test]
fn what_failed_or_did_not_run_proves_nothing() {
    for line in [
        "test a::c_sq_01_x ... FAILED",
        "test a::c_sq_01_x ... ignored",
        "test a::c_sq_01_x ... ignored, wants root",
        "test a::c_sq_01_x has been running for over 60 seconds",
        "a::c_sq_01_x: test",
        "fn c_sq_01_x() {} // C-SQ-01",
        "test src/wire/mod.rs - wire::c_sq_01 (line 3) ... ok",
        "--- FAIL: Test_C_SQ_01 (0.01s)",
        "--- SKIP: Test_C_SQ_01 (0.00s)",
        "=== RUN   Test_C_SQ_01",
        "✖ C-SQ-01 (1ms)",
        "﹣ C-SQ-01 (1ms) # SKIP",
        "✔ C-SQ-01 (1ms) # SKIP",
    ] {
        let log = format!("     Running tests/x.rs (y)\n{line}\n");
        assert_eq!(proven(&[&log]), [""; 0], "{line}");
    }
}

#[test]
fn a_failure_in_any_log_outweighs_a_success_in_another() {
    let failed = CARGO.replace("ok", "FAILED");
    assert_eq!(proven(&[CARGO, &failed]), [""; 0]);
    assert_eq!(proven(&[&failed, CARGO]), [""; 0]);
    // The same name in another binary is another test.
    let elsewhere = failed.replace("src/lib.rs", "src/bin/opampctl.rs");
    assert_eq!(proven(&[CARGO, &elsewhere]).len(), 2);
}

#[test]
fn a_module_or_a_parent_proves_nothing_by_its_name() {
    let log = "     Running tests/x.rs (y)\ntest c_sq_01::words ... ok\n";
    assert_eq!(proven(&[log]), [""; 0]);
    let log = "--- FAIL: Test_C_SQ_01 (0.01s)\n    --- PASS: Test_C_SQ_01/http (0.00s)\n";
    assert_eq!(proven(&[log]), [""; 0]);
}
