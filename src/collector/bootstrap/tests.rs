use std::fs;

use super::*;
use crate::collector::testing::{in_time, script};

const DEADLINE: Duration = Duration::from_secs(20);

const COMPONENTS: &str = "buildinfo:
    command: otelcol-x
    description: of ours
    version: 1.20
receivers:
    - name: otlp
      module: example.com/otlpreceiver v0.149.0
      stability:
        logs: Stable
exporters: []
extensions:
    - opamp
providers:
    - scheme: env
";

const ANSWER: &str = "Error: failed to get config: cannot unmarshal the configuration: decoding failed:

'receivers' unknown type: \"zz_unknown\" for id: \"zz_unknown\" (valid values: [file_log filelog otlp])
'processors' unknown type: \"zz_unknown\" for id: \"zz_unknown\" (valid values: [])
'exporters' unknown type: \"zz_unknown\" for id: \"zz_unknown\" (valid values: [otlp_http otlphttp])
'connectors' unknown type: \"zz_unknown\" for id: \"zz_unknown\" (valid values: [])
'extensions' unknown type: \"zz_unknown\" for id: \"zz_unknown\" (valid values: [opamp])
";

fn fake(body: &str) -> (tempfile::TempDir, Binary) {
    let (dir, binary) = script(body);
    fs::write(dir.path().join("components"), COMPONENTS).unwrap();
    fs::write(dir.path().join("answer"), ANSWER).unwrap();
    (dir, binary)
}

#[tokio::test]
async fn components_are_the_union_of_both_answers() {
    let (dir, binary) = fake(
        "cd \"$(dirname \"$0\")\"; case $1 in components) cat components;; \
         featuregate) printf 'ID  Enabled\\nservice.AllowNoPipelines false\\n';; \
         validate) grep -q '^connectors:' \"${3#file:}\" && cat answer >&2; exit 1;; *) exit 1;; esac",
    );
    let facts = in_time(learn(&binary, dir.path(), DEADLINE)).await.unwrap();
    assert_eq!((facts.command.as_str(), facts.version.as_str()), ("otelcol-x", "1.20"));
    assert!(facts.components.complete);
    let types = |section| facts.components.types(section).collect::<Vec<_>>();
    assert_eq!(types(Section::Receivers), ["file_log", "filelog", "otlp"]);
    assert_eq!(types(Section::Exporters), ["otlp_http", "otlphttp"]);
    assert_eq!(types(Section::Processors), [""; 0]);
    let module = facts.components.sections[&Section::Receivers]["otlp"].as_deref();
    assert_eq!(module, Some("example.com/otlpreceiver v0.149.0"));
    assert!(facts.has_gate("service.AllowNoPipelines") && !facts.has_gate("ID"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "the scratch file is gone");
    let cached = serde_json::to_string(&facts).unwrap();
    assert_eq!(serde_json::from_str::<Facts>(&cached).unwrap(), facts);
}

#[tokio::test]
async fn a_collector_that_stops_at_the_first_unknown_type_is_asked_again() {
    let (dir, binary) = fake(
        "case $1 in components|featuregate) exit 1;; --version) echo 'otelcol version 0.90.0';; \
         validate) read -r section < \"${3#file:}\"; \
         echo \"error decoding '${section%:}': unknown type: \\\"x\\\" (valid values: [a b])\" >&2; exit 1;; esac",
    );
    let facts = in_time(learn(&binary, dir.path(), DEADLINE)).await.unwrap();
    assert!(facts.components.complete);
    assert!(Section::ALL.iter().all(|section| facts.components.has(*section, "b")));
    assert_eq!((facts.command.as_str(), facts.version.as_str()), ("otelcol", "0.90.0"));
    assert_eq!(facts.feature_gates, [""; 0]);
}

#[tokio::test]
async fn without_an_answer_of_validate_the_list_is_not_complete() {
    let (dir, binary) = fake("[ $1 = components ] && cat \"$(dirname \"$0\")/components\"");
    let facts = in_time(learn(&binary, dir.path(), DEADLINE)).await.unwrap();
    assert!(!facts.components.complete);
    assert!(facts.components.has(Section::Extensions, "opamp"));
}

#[tokio::test]
async fn the_true_cause_is_told() {
    let failed = async |binary: &Binary, deadline| {
        let dir = tempfile::tempdir().unwrap();
        in_time(learn(binary, dir.path(), deadline)).await.unwrap_err().to_string()
    };
    let (_dir, binary) = script("echo 'libssl.so.3: cannot open shared object file' >&2; exit 127");
    let error = failed(&binary, DEADLINE).await;
    assert!(
        error.contains("`components` exited with code 127 (libssl.so.3: cannot open shared object file)"),
        "{error}"
    );
    let (_dir, binary) = script("true");
    let error = failed(&binary, DEADLINE).await;
    assert!(error.contains("lists none") && error.contains("is it an OpenTelemetry Collector?"), "{error}");
    let (_dir, binary) = script("sleep 600");
    let error = failed(&binary, Duration::from_millis(200)).await;
    assert!(
        error.contains("ask the Collector for `components`: ") && error.contains("did not end within"),
        "{error}"
    );
    let binary = Binary { executable: "/nonexistent/otelcol".into(), ..Default::default() };
    let error = failed(&binary, DEADLINE).await;
    assert!(error.contains("/nonexistent/otelcol does not exist"), "{error}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let binary = Binary { executable: file.path().into(), ..Default::default() };
    let error = failed(&binary, DEADLINE).await;
    assert!(error.contains("may not be executed"), "{error}");
    let (dir, binary) = script("true");
    let error = in_time(learn(&binary, &dir.path().join("none"), DEADLINE)).await.unwrap_err().to_string();
    assert!(error.contains("cannot write") && error.contains("unknown-receivers-"), "{error}");
}

#[tokio::test]
async fn a_collector_is_asked_whether_its_extension_describes_the_resource() {
    let body = "case $1 in components) cat \"$(dirname \"$0\")/components\";; validate) \
                grep -q agent_description \"${3#file:}\" && echo SAID >&2; exit 1;; *) exit 1;; esac";
    for (said, knows) in [("has invalid keys: include_resource_attributes", false), ("no pipeline", true)] {
        let (dir, binary) = fake(&body.replace("SAID", &format!("'{said}'")));
        let facts = in_time(learn(&binary, dir.path(), DEADLINE)).await.unwrap();
        assert_eq!(facts.describes_resource, knows, "{said}");
    }
}
