//! Exit codes, credentials and the configuration file.

use super::stub::{Stub, TOKEN, bare, said};

#[test]
fn wrong_arguments_exit_64_and_help_exits_0() {
    let stub = Stub::start();
    for line in [&["get"][..], &["get", "pods"], &["nonsense"], &["config", "push", "-f", "x"], &["restart"]]
    {
        let said = stub.run(line);
        assert_eq!(said.code, 64, "{line:?}: {said:?}");
    }
    assert_eq!(stub.run(&["--help"]).code, 0);
    assert_eq!(stub.run(&["--version"]).code, 0);
}

#[test]
fn an_unreachable_server_exits_69_and_is_named() {
    let stub = Stub::start();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for line in [&["get", "agents"][..], &["watch"]] {
        let url = format!("http://{closed}");
        let said = said(bare(stub.home()).args(["--server", &url]).args(line).output().unwrap());
        assert_eq!(said.code, 69, "{said:?}");
        assert!(said.err.contains(&closed.to_string()) && said.err.contains("refused"), "{}", said.err);
    }
}

#[test]
fn no_token_and_a_wrong_token_say_where_to_get_one() {
    let stub = Stub::start();
    let wrong = stub.file("wrong", "not-the-token");
    for extra in [&[][..], &["--token-file", &wrong]] {
        let output = bare(stub.home()).args(["--server", &stub.url, "whoami"]).args(extra).output().unwrap();
        let said = said(output);
        assert_eq!(said.code, 1);
        assert!(said.err.contains("--token-file") && said.err.contains("admin.token"), "{}", said.err);
        assert!(!said.err.contains("not-the-token"));
    }
    let missing =
        said(bare(stub.home()).args(["--token-file", "/nonexistent/t", "whoami"]).output().unwrap());
    assert_eq!(missing.code, 78);
    assert!(missing.err.contains("/nonexistent/t"), "{}", missing.err);
}

#[test]
fn the_environment_names_server_and_token() {
    let stub = Stub::start();
    let run = |key: &str, value: &str| {
        said(
            bare(stub.home())
                .env("OPAMPCTL_SERVER", &stub.url)
                .env(key, value)
                .arg("whoami")
                .output()
                .unwrap(),
        )
    };
    assert_eq!(run("OPAMPCTL_TOKEN", TOKEN).out, "admin@x\n");
    let file = stub.file("t", TOKEN);
    assert_eq!(run("OPAMPCTL_TOKEN_FILE", &file).out, "admin@x\n");
    let beaten = bare(stub.home())
        .env("OPAMPCTL_SERVER", "http://127.0.0.1:1")
        .env("OPAMPCTL_TOKEN", "no")
        .args(["--server", &stub.url, "--token-file", &file, "whoami"])
        .output();
    assert_eq!(said(beaten.unwrap()).out, "admin@x\n");
}

fn config(stub: &Stub) -> std::path::PathBuf {
    let path = stub.home().join(".config/opampctl/config.yaml");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let text = format!(
        "# kept\ncurrentContext: one\ncontexts:\n- {{name: one, cluster: c, user: token}}\n\
         - {{name: two, cluster: c, user: password}}\n- {{name: three, cluster: dead}}\n\
         clusters:\n- {{name: c, opampcommander: {{endpoint: '{}'}}}}\n\
         - {{name: dead, opampcommander: {{endpoint: 'http://127.0.0.1:1'}}}}\n\
         users:\n- {{name: token, auth: {{type: manual, bearerToken: {TOKEN}}}}}\n\
         - {{name: password, auth: {{type: basic, username: admin, password: pw}}}}\n",
        stub.url
    );
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn contexts_are_listed_chosen_and_used() {
    let stub = Stub::start();
    let path = config(&stub);
    let run = |line: &[&str]| said(bare(stub.home()).args(line).output().unwrap());
    assert_eq!(run(&["whoami"]).out, "admin@x\n");
    assert_eq!(run(&["--context", "two", "whoami"]).out, "admin@x\n");
    let listed = run(&["context", "ls"]).out;
    assert!(listed.lines().nth(1).unwrap().starts_with("*        one"), "{listed}");
    assert!(!listed.contains(TOKEN) && !listed.contains("pw"));
    assert_eq!(run(&["context", "use", "three"]).out, "current context: three\n");
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("# kept\ncurrentContext: \"three\"\n"));
    assert_eq!(run(&["whoami"]).code, 69);
    let absent = run(&["context", "use", "four"]);
    assert_eq!(absent.code, 78);
    assert!(absent.err.contains("one, two, three"), "{}", absent.err);
}

#[test]
fn a_broken_configuration_file_exits_78_and_says_where() {
    let stub = Stub::start();
    let path = config(&stub);
    std::fs::write(&path, "contexts: [").unwrap();
    let said = said(bare(stub.home()).arg("whoami").output().unwrap());
    assert_eq!(said.code, 78);
    assert!(said.err.contains("config.yaml"), "{}", said.err);
}

#[test]
fn a_configuration_file_that_was_named_is_read_whatever_else_is_given() {
    let stub = Stub::start();
    assert_eq!(stub.run(&["whoami"]).code, 0);
    let said = stub.run(&["--config", "/nonexistent/config.yaml", "whoami"]);
    assert_eq!(said.code, 78, "{said:?}");
    assert!(said.err.contains("/nonexistent/config.yaml"), "{}", said.err);
}

#[test]
fn https_to_a_server_of_plain_http_says_so() {
    let stub = Stub::start();
    let url = stub.url.replace("http://", "https://");
    let said = said(bare(stub.home()).args(["--server", &url, "whoami"]).output().unwrap());
    assert_eq!(said.code, 69, "{said:?}");
    assert!(said.err.contains("it does not speak TLS"), "{}", said.err);
}

#[test]
fn a_refusal_of_the_server_is_told_once_in_its_words() {
    let stub = Stub::start();
    let said = stub.run(&["restart", "u9"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("404 Not Found: The requested resource does not exist."), "{}", said.err);
}
