//! `${…}` and `$$`.

use opamp::supervisor::config::ConfigFile;

use crate::support::{bad, config, notices, with};

fn arg(text: &str) -> String {
    let text = with("", &format!("args:\n  - {text}"), "");
    config(&text).agent.args.join("|")
}

#[test]
fn references_are_replaced_whole_or_inside() {
    for (written, read) in [
        ("${WORD}", "word"),
        ("${env:WORD}", "word"),
        ("a-${WORD}-${env:PORT}-z", "a-word-4321-z"),
        ("'${WORD}'", "word"),
        ("${env:MISSING:-fallback}", "fallback"),
        ("${MISSING:-fallback}", "fallback"),
        ("${env:WORD:-fallback}", "word"),
        ("x${env:NOTHING:-fallback}", "x"),
        ("${env:MISSING:-${env:WORD}}", "word"),
        ("x${env:MISSING:-}y", "xy"),
        ("${file:/run/token}", "s3cr3t-file"),
        ("Bearer ${file:/run/token}", "Bearer s3cr3t-file"),
        ("${NESTED}", "word-4321"),
        ("${DOLLAR}", "a$b"),
        ("$$", "$"),
        ("$${WORD}", "${WORD}"),
        ("$$${WORD}", "$word"),
        ("a$$b", "a$b"),
        ("$WORD", "$WORD"),
        ("${WORD", "${WORD"),
        ("5$", "5$"),
    ] {
        assert_eq!(arg(written), read, "{written}");
    }
}

#[test]
fn what_is_expanded_is_typed_as_yaml() {
    let agent = "opamp_server_port: ${PORT}\npassthrough_logs: '${BOOL}'\nargs: ${LIST}\n\
                 config_files: ${COMMAS}";
    let config = config(&with("headers: ${file:/run/headers.yaml}", agent, ""));
    assert_eq!(config.agent.opamp_server_port, 4321);
    assert!(config.agent.passthrough_logs);
    assert_eq!(config.agent.args, ["one", "two"]);
    assert_eq!(config.agent.config_files.len(), 5);
    assert_eq!(config.server.headers["Authorization"][0].expose(), "Bearer s3cr3t-token");
    assert_eq!(config.server.headers["X-Two"].len(), 2);
}

#[test]
fn a_bare_dollar_name_survives() {
    let files = config(&with("", "config_files: [$REMOTE_CONFIG, '${WORD}.yaml']", "")).agent.config_files;
    assert_eq!(files[1], ConfigFile::Remote);
    assert_eq!(files[2], ConfigFile::Path("word.yaml".into()));
}

#[test]
fn an_unset_variable_is_empty_and_noticed() {
    let text = with("headers:\n  A: x${env:MISSING}", "bootstrap_timeout: ${MISSING}", "");
    assert_eq!(
        notices(&text),
        [
            "4:5: server.headers.A: environment variable MISSING is not set and reads as empty",
            "7:3: agent.bootstrap_timeout: environment variable MISSING is not set and reads as empty",
        ]
    );
    assert_eq!(config(&text).server.headers["A"][0].expose(), "x");
    assert_eq!(notices(&with("", "args: ['${NOTHING}']", "")), Vec::<String>::new());
}

#[test]
fn what_cannot_be_expanded_is_named() {
    for (value, message) in [
        ("${http:x}", "${http:…} cannot be expanded; use ${env:NAME}, ${file:/path}, or $$ for a literal $"),
        (
            "${1X}",
            "\"1X\" is no name of an environment variable; use letters, digits and _, or $$ for a literal $",
        ),
        (
            "${}",
            "\"\" is no name of an environment variable; use letters, digits and _, or $$ for a literal $",
        ),
        ("${file:/none}", "cannot read /none for ${file:/none}: entity not found"),
        ("${CIRCLE}", "${CIRCLE} brings in too many references; does one contain itself?"),
    ] {
        let text = with("", &format!("instance_id: {value}"), "");
        assert_eq!(bad(&text), [format!("supervisor.yaml:5:3: agent.instance_id: {message}")], "{value}");
    }
    let list = with("", "args:\n  - ok\n  - ${file:/none}", "");
    assert_eq!(
        bad(&list),
        ["supervisor.yaml:7:7: agent.args[1]: cannot read /none for ${file:/none}: entity not found"]
    );
}
