//! Which server to ask, and with which credential: flag > environment > configuration file > default.
//!
//! The configuration file has the shape of OpAMP Commander's own `opampctl`, whose file is read too when ours is
//! absent. A credential of a context goes only to that context's server: `--server` elsewhere leaves it at home.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use super::args::Global;
use super::error::Error;

const DEFAULT_SERVER: &str = "http://127.0.0.1:4321";
const TOKEN_FILE_LIMIT: u64 = 64 * 1024;
const CONFIG_FILE_LIMIT: u64 = 1024 * 1024;

/// A secret text: it cannot be printed by accident.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// By what right we ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credential {
    Bearer(Secret),
    Basic { username: String, password: Secret },
}

/// All that is needed to ask.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub server: Url,
    pub credential: Option<Credential>,
    pub ca_file: Option<PathBuf>,
}

/// The process environment as far as it is looked at; given, not global, so that tests can say what it is.
#[derive(Debug, Default)]
pub(super) struct Environment {
    pub server: Option<String>,
    pub token_file: Option<PathBuf>,
    pub token: Option<Secret>,
    /// Of the secret key that packages are signed with.
    pub key_password: Option<Secret>,
    pub config: Option<PathBuf>,
    pub config_home: Option<PathBuf>,
    pub home: Option<PathBuf>,
}

impl Environment {
    pub(super) fn of_process() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            server: text("OPAMPCTL_SERVER"),
            token_file: path("OPAMPCTL_TOKEN_FILE"),
            token: text("OPAMPCTL_TOKEN").map(Secret),
            key_password: text("OPAMPCTL_KEY_PASSWORD").map(Secret),
            config: path("OPAMPCTL_CONFIG"),
            config_home: path("XDG_CONFIG_HOME"),
            home: path("HOME"),
        }
    }
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ConfigFile {
    pub current_context: String,
    pub contexts: Vec<Context>,
    pub clusters: Vec<Cluster>,
    pub users: Vec<User>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Context {
    pub name: String,
    pub cluster: String,
    #[serde(default)]
    pub user: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cluster {
    pub name: String,
    pub opampcommander: Endpoint,
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Endpoint {
    pub endpoint: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct User {
    pub name: String,
    #[serde(default)]
    pub auth: Auth,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Auth {
    r#type: String,
    username: String,
    password: Option<Secret>,
    bearer_token: Option<Secret>,
    token_file: Option<PathBuf>,
}

/// The configuration file with the place it was found at.
#[derive(Debug)]
pub(super) struct Found {
    pub path: PathBuf,
    pub text: String,
    pub file: ConfigFile,
}

impl Settings {
    /// Decides by flags, environment, file and default, in this order.
    pub(super) fn resolve(global: &Global, env: &Environment) -> Result<Self, Error> {
        let server = match (&global.server, &global.context) {
            (Some(server), _) => Some(parse_url(server, "--server")?),
            (None, Some(_)) => None,
            (None, None) => env.server.as_deref().map(|s| parse_url(s, "OPAMPCTL_SERVER")).transpose()?,
        };
        let mut credential = given_credential(global, env)?;
        let mut ca_file = global.ca_file.clone();
        if server.is_none() || credential.is_none() || global.config.is_some() {
            let found = Found::look(global, env)?;
            if found.is_none() && global.context.is_some() {
                return Err(Error::Setting(
                    "--context needs a configuration file, and there is none".to_owned(),
                ));
            }
            if let Some(chosen) = found.as_ref().map(|found| found.chosen(global)).transpose()?.flatten()
                && server.as_ref().is_none_or(|server| *server == chosen.server)
            {
                credential = credential.map_or_else(|| chosen.credential(), |given| Ok(Some(given)))?;
                ca_file = ca_file.or(chosen.ca_file);
                return Ok(Self { server: chosen.server, credential, ca_file });
            }
        }
        let server = server.map_or_else(|| parse_url(DEFAULT_SERVER, "default"), Ok)?;
        Ok(Self { server, credential, ca_file })
    }
}

fn given_credential(global: &Global, env: &Environment) -> Result<Option<Credential>, Error> {
    if let Some(path) = &global.token_file {
        return read_token(path).map(Some);
    }
    if global.context.is_some() {
        return Ok(None);
    }
    match (&env.token_file, &env.token) {
        (Some(path), _) => read_token(path).map(Some),
        (None, Some(token)) => bearer(token, "OPAMPCTL_TOKEN").map(Some).map_err(Error::Setting),
        (None, None) => Ok(None),
    }
}

/// What one context says.
struct Chosen<'a> {
    path: PathBuf,
    server: Url,
    ca_file: Option<PathBuf>,
    user: Option<&'a User>,
}

impl Found {
    /// The configuration file: the one that was named, or the first of the usual places that exists.
    pub(super) fn look(global: &Global, env: &Environment) -> Result<Option<Self>, Error> {
        if let Some(path) = global.config.as_ref().or(env.config.as_ref()) {
            return Self::read(path).map(Some);
        }
        usual_places(env).iter().find(|path| path.exists()).map(|path| Self::read(path)).transpose()
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let text = read_limited(path, CONFIG_FILE_LIMIT)?;
        let file: Option<ConfigFile> = serde_yaml::from_str(&text).map_err(|e| wrong(path, e.to_string()))?;
        Ok(Self { path: path.to_owned(), file: file.unwrap_or_default(), text })
    }

    /// The context that counts: `--context`, else the file's current one; none when the file names none.
    fn chosen(&self, global: &Global) -> Result<Option<Chosen<'_>>, Error> {
        let name = global.context.as_deref().unwrap_or(&self.file.current_context);
        if name.is_empty() {
            return Ok(None);
        }
        let context = self.context(name)?;
        let cluster = self.file.clusters.iter().find(|cluster| cluster.name == context.cluster);
        let cluster = cluster.ok_or_else(|| {
            wrong(
                &self.path,
                format!("context {name:?} names cluster {:?}, which is not there", context.cluster),
            )
        })?;
        let user = self.file.users.iter().find(|user| user.name == context.user);
        if user.is_none() && !context.user.is_empty() {
            let what = format!("context {name:?} names user {:?}, which is not there", context.user);
            return Err(wrong(&self.path, what));
        }
        let server = parse_url(&cluster.opampcommander.endpoint, &format!("cluster {:?}", cluster.name))
            .map_err(|e| wrong(&self.path, e.to_string()))?;
        Ok(Some(Chosen { path: self.path.clone(), server, ca_file: cluster.ca_file.clone(), user }))
    }

    /// One context by its name, or an error that lists those that are there.
    pub(super) fn context(&self, name: &str) -> Result<&Context, Error> {
        self.file.contexts.iter().find(|context| context.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.file.contexts.iter().map(|context| context.name.as_str()).collect();
            wrong(&self.path, format!("there is no context {name:?}; there are: {}", known.join(", ")))
        })
    }
}

impl Chosen<'_> {
    fn credential(&self) -> Result<Option<Credential>, Error> {
        let Some(User { name, auth }) = self.user else { return Ok(None) };
        let missing = |what: &str| wrong(&self.path, format!("user {name:?}: {what}"));
        match auth.r#type.as_str() {
            "basic" => match (&auth.password, auth.username.is_empty()) {
                (Some(password), false) => Ok(Some(Credential::Basic {
                    username: auth.username.clone(),
                    password: password.clone(),
                })),
                _ => Err(missing("auth type basic needs username and password")),
            },
            "" | "manual" => match (&auth.token_file, &auth.bearer_token) {
                (Some(path), _) => read_token(path).map(Some),
                (None, Some(token)) => bearer(token, "bearerToken").map(Some).map_err(|e| missing(&e)),
                (None, None) if auth.r#type.is_empty() => Ok(None),
                (None, None) => Err(missing("auth type manual needs tokenFile or bearerToken")),
            },
            other => Err(missing(&format!("auth type {other:?} is not known here; use manual or basic"))),
        }
    }
}

fn usual_places(env: &Environment) -> Vec<PathBuf> {
    let home = env.home.as_deref();
    let config_home = env.config_home.clone().or_else(|| home.map(|home| home.join(".config")));
    let mut places = Vec::new();
    if let Some(config_home) = config_home {
        places.push(config_home.join("opampctl/config.yaml"));
        places.push(config_home.join("opampcommander/opampctl/config.yaml"));
    }
    places.extend(home.map(|home| home.join(".opampcommander/opampctl/config.yaml")));
    places
}

fn parse_url(text: &str, origin: &str) -> Result<Url, Error> {
    let wrong = |what: &str| Error::Setting(format!("{origin}: {text:?} {what}, such as {DEFAULT_SERVER}"));
    let mut url = Url::parse(text).map_err(|_| wrong("is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("is not an http or https URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Setting(format!("{origin}: a URL must not carry a password; use --token-file")));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

fn read_token(path: &Path) -> Result<Credential, Error> {
    let text = read_limited(path, TOKEN_FILE_LIMIT)?;
    bearer(&Secret(text.trim().to_owned()), "the token").map_err(|what| wrong(path, what))
}

fn bearer(token: &Secret, origin: &str) -> Result<Credential, String> {
    if token.0.is_empty() {
        return Err(format!("{origin} is empty"));
    }
    if !token.0.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("{origin} holds spaces or characters that a token cannot have"));
    }
    Ok(Credential::Bearer(token.clone()))
}

fn read_limited(path: &Path, limit: u64) -> Result<String, Error> {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|e| wrong(path, e.to_string()))?;
    let read = file.take(limit + 1).read_to_string(&mut text).map_err(|e| wrong(path, e.to_string()))?;
    if read as u64 > limit {
        return Err(wrong(path, format!("is longer than {limit} bytes")));
    }
    Ok(text)
}

fn wrong(path: &Path, what: String) -> Error {
    Error::Config { path: path.to_owned(), what }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
