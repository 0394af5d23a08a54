//! Files on a real disk.

use std::{fs, path::Path};

use opamp::supervisor::config::{ConfigError, load};

fn said(path: &Path) -> String {
    load(path, &|_| None).unwrap_err().to_string()
}

#[test]
fn a_file_loads_with_its_executable_and_file_references() {
    let dir = tempfile::tempdir().unwrap();
    let executable = dir.path().join("otelcol");
    fs::write(&executable, "").unwrap();
    let token = dir.path().join("token");
    fs::write(&token, "abc\n").unwrap();
    let path = dir.path().join("supervisor.yaml");
    let text = format!(
        "server:\n  endpoint: ws://${{HOST}}/\n  headers:\n    T: ${{file:{}}}\nagent:\n  executable: {}\n",
        token.display(),
        executable.display()
    );
    fs::write(&path, text).unwrap();
    let loaded = load(&path, &|name| (name == "HOST").then(|| "h".to_owned())).unwrap();
    assert_eq!(loaded.config.server.endpoint.to_string(), "ws://h/");
    assert_eq!(loaded.config.server.headers["T"][0].expose(), "abc");
    assert_eq!(loaded.config.agent.executable, executable);

    fs::remove_file(&executable).unwrap();
    let path_text = path.display();
    assert_eq!(
        said(&path).lines().last().unwrap(),
        format!(
            "{path_text}:6:3: could not stat agent::executable path: {}: No such file or directory; \
             set it to the path of the Collector's binary",
            executable.display()
        )
    );
    fs::create_dir(&executable).unwrap();
    assert!(said(&path).contains("not a regular file"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.yaml");
    assert_eq!(
        said(&path),
        format!("cannot read {}: No such file or directory; pass --config FILE", path.display())
    );
    assert_eq!(
        said(dir.path()),
        format!("cannot read {}: Is a directory; pass --config FILE", dir.path().display())
    );
    assert_eq!(said(Path::new("")), "path to config file cannot be empty; pass --config FILE");

    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert_eq!(said(&path), format!("{} is not UTF-8 text; check --config", path.display()));
    fs::write(&path, " ".repeat(1024 * 1024 + 1)).unwrap();
    assert!(matches!(load(&path, &|_| None), Err(ConfigError::TooLarge { .. })));
}
