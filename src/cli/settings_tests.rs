use super::*;

const FILE: &str = "
currentContext: home
contexts:
  - {name: home, cluster: local, user: me}
  - {name: away, cluster: far, user: them}
  - {name: broken, cluster: nowhere}
clusters:
  - {name: local, opampcommander: {endpoint: 'http://127.0.0.1:5001'}}
  - {name: far, opampcommander: {endpoint: 'https://far.example:8443/opamp'}, caFile: /far.pem}
users:
  - {name: me, auth: {type: manual, bearerToken: home-token}}
  - {name: them, auth: {type: basic, username: admin, password: pw}}
";

fn world() -> (tempfile::TempDir, Environment) {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join(".config/opampctl")).unwrap();
    std::fs::write(home.path().join(".config/opampctl/config.yaml"), FILE).unwrap();
    let env = Environment { home: Some(home.path().to_owned()), ..Environment::default() };
    (home, env)
}

fn token(text: &str) -> Option<Credential> {
    Some(Credential::Bearer(Secret(text.to_owned())))
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let nothing = Settings::resolve(&Global::default(), &Environment::default()).unwrap();
    assert_eq!((nothing.server.as_str(), nothing.credential), ("http://127.0.0.1:4321/", None));

    let (_home, mut env) = world();
    let file = Settings::resolve(&Global::default(), &env).unwrap();
    assert_eq!((file.server.as_str(), file.credential), ("http://127.0.0.1:5001/", token("home-token")));

    env.server = Some("http://env:1".into());
    env.token = Some(Secret("env-token".into()));
    let environment = Settings::resolve(&Global::default(), &env).unwrap();
    assert_eq!((environment.server.as_str(), environment.credential), ("http://env:1/", token("env-token")));

    let flag = Global { server: Some("http://flag:2".into()), ..Global::default() };
    assert_eq!(Settings::resolve(&flag, &env).unwrap().server.as_str(), "http://flag:2/");

    let context = Global { context: Some("away".into()), ..Global::default() };
    let away = Settings::resolve(&context, &env).unwrap();
    assert_eq!(away.server.as_str(), "https://far.example:8443/opamp");
    assert_eq!(away.ca_file.as_deref(), Some(Path::new("/far.pem")));
    assert!(matches!(away.credential, Some(Credential::Basic { .. })));
}

#[test]
fn a_context_s_token_goes_to_no_other_server() {
    let (_home, env) = world();
    let elsewhere = Global { server: Some("http://elsewhere:1".into()), ..Global::default() };
    assert_eq!(Settings::resolve(&elsewhere, &env).unwrap().credential, None);
    let same = Global { server: Some("http://127.0.0.1:5001".into()), ..Global::default() };
    assert_eq!(Settings::resolve(&same, &env).unwrap().credential, token("home-token"));
}

#[test]
fn commander_s_file_is_read_when_ours_is_absent() {
    let (home, env) = world();
    let theirs = home.path().join(".config/opampcommander/opampctl");
    std::fs::create_dir_all(&theirs).unwrap();
    std::fs::rename(home.path().join(".config/opampctl/config.yaml"), theirs.join("config.yaml")).unwrap();
    let settings = Settings::resolve(&Global::default(), &env).unwrap();
    assert_eq!(settings.server.as_str(), "http://127.0.0.1:5001/");
}

#[test]
fn what_is_wrong_is_a_configuration_error_that_says_where() {
    let (home, env) = world();
    let named = |context: &str| Global { context: Some(context.into()), ..Global::default() };
    for (global, says) in [
        (named("absent"), "home, away, broken"),
        (named("broken"), "\"nowhere\""),
        (Global { token_file: Some(home.path().join("none")), ..Global::default() }, "none"),
        (Global { server: Some("ftp://x".into()), ..Global::default() }, "--server"),
        (Global { server: Some("http://u:pw@x".into()), ..Global::default() }, "--token-file"),
    ] {
        let error = Settings::resolve(&global, &env).unwrap_err();
        assert_eq!(error.exit_code(), 78, "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(!error.to_string().contains("pw@"), "{error}");
    }
}

#[test]
fn a_secret_does_not_show() {
    let (_home, env) = world();
    let settings = Settings::resolve(&Global::default(), &env).unwrap();
    assert!(!format!("{settings:?}").contains("home-token"));
}
