//! Starting and stopping: the data directory, its lock, the store, both listeners; and the way back.

use std::{
    fs::{self, File, TryLockError},
    io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use crate::wire::proto::ServerCapabilities;

use super::{
    accept::{self, Accept, Gate, Load, LoadLimits},
    api::{self, Api},
    auth::{
        Auth, guard,
        token::{Token, TokenError},
    },
    ca,
    config::{AgentAuth, ConfigError},
    fleet::{Fleet, presence::Windows},
    hub::{self, Hub},
    identity::{Approval, Register},
    listen::{self, ListenError, Place},
    packages::PackageFiles,
    private::{self, KeyError},
    store::{StoreError, sqlite::SqliteStore},
    tls::{Secure, TlsFileError, TlsFiles},
    web,
};

const DATABASE: &str = "server.db";
const LOCK: &str = "lock";
/// For all agents to be said goodbye to.
const GOODBYE: Duration = Duration::from_secs(10);

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Options {
    pub opamp: Place,
    pub api: Place,
    pub data_dir: PathBuf,
    pub message_limit: usize,
    /// Of the file of a package, in bytes.
    pub package_limit: u64,
    /// All custom capabilities that agents are told of.
    pub custom_capabilities: Vec<String>,
    pub load: LoadLimits,
    pub windows: Windows,
    pub agent_auth: AgentAuth,
    /// What agents that enrol are told to connect to, if it is not what they dialled.
    pub advertise: Option<String>,
    /// Who grants agents' requests for certificates.
    pub csr_approval: Approval,
    pub client_cert_lifetime: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot use the data directory {path}: {source}; give one that can be written with --data-dir")]
    DataDir { path: PathBuf, source: io::Error },
    #[error("another opamp-server uses the data directory {path}; stop it, or give another --data-dir")]
    Locked { path: PathBuf },
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Tls(#[from] TlsFileError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ServerError {
    /// The program's exit code for it.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::DataDir { .. }
            | Self::Token(_)
            | Self::Tls(_)
            | Self::Key(_)
            | Self::Listen(ListenError::Address { .. } | ListenError::Exposed { .. }) => 78,
            Self::Locked { .. } | Self::Store(StoreError::Locked { .. }) => 75,
            Self::Listen(ListenError::Taken { .. } | ListenError::Bind { .. }) | Self::Store(_) => 1,
        }
    }
}

impl Options {
    /// TLS of the agent plane, which believes what the server's own authority signs.
    fn agents_tls(&self) -> Option<TlsFiles> {
        let mut files = self.opamp.tls.clone()?;
        if self.agent_auth == AgentAuth::Required {
            files.own_ca = Some(self.data_dir.join(ca::CERT));
        }
        Some(files)
    }

    /// What is needed to make agents known, if they must be.
    fn hub_terms(&self) -> Result<hub::Terms<'static>, KeyError> {
        if self.agent_auth == AgentAuth::None {
            return Ok(hub::Terms { register: Register::open(self.advertise.clone()), more: &[] });
        }
        let register = Register::new(private::agents_key(&self.data_dir)?, self.advertise.clone());
        let signs = self.opamp.tls.is_some();
        let more: &[_] = if signs { &[ServerCapabilities::AcceptsConnectionSettingsRequest] } else { &[] };
        Ok(hub::Terms { register, more })
    }

    fn gate_terms(&self) -> accept::Terms {
        accept::Terms {
            auth: self.agent_auth,
            csr_approval: self.csr_approval,
            lifetime: self.client_cert_lifetime,
            data_dir: self.data_dir.clone(),
        }
    }
}

/// A server that runs.
pub struct Server {
    pub opamp: SocketAddr,
    pub api: SocketAddr,
    hub: Arc<Hub>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    open: mpsc::Receiver<()>,
    /// Held while the server runs.
    _lock: File,
}

impl Server {
    pub async fn start(options: &Options) -> Result<Self, ServerError> {
        let lock = take_data_dir(&options.data_dir)?;
        let token = Token::load_or_create(&options.data_dir)?;
        let secure = |files: Option<TlsFiles>| files.map(Secure::load).transpose();
        let opamp_tls = secure(options.agents_tls())?.map(Arc::new);
        let api_tls = secure(options.api.tls.clone())?.map(Arc::new);
        let (opamp_listener, opamp) = options.opamp.bind().await?;
        let (api_listener, api_address) = options.api.bind().await?;
        let store = SqliteStore::open(&options.data_dir.join(DATABASE))?;
        let hub = Hub::load(Arc::new(store), options.hub_terms()?).await?.with_windows(options.windows);
        // What goes around a custom message takes room, too.
        let hub = Arc::new(hub.with_custom(options.custom_capabilities.clone(), options.message_limit / 2));
        let files = PackageFiles::open(&options.data_dir, options.package_limit);
        let files =
            files.map_err(|source| ServerError::DataDir { path: options.data_dir.clone(), source })?;
        let files = Arc::new(files);
        let (stop, stopping) = watch::channel(false);
        let (guard, open) = mpsc::channel(1);

        let gate = Arc::new(Gate::new(hub.clone(), options.gate_terms(), opamp_tls.clone()));
        let load = Arc::new(Load::new(options.load));
        let accept = Accept {
            hub: hub.clone(),
            gate: gate.clone(),
            limit: options.message_limit,
            secure: opamp_tls.is_some(),
            load: load.clone(),
            files: files.clone(),
            stop: stopping.clone(),
            open: guard,
        };
        let auth = Arc::new(Auth::new(&token));
        let api = Api { hub: hub.clone(), gate, files, load, stop: stopping.clone() };
        let operators = api::protected(api.clone(), auth.clone())
            .merge(api::open(api))
            .merge(web::router(auth))
            .layer(axum::middleware::from_fn(guard::harden));
        let mut tasks = vec![tokio::spawn(hub.clone().keep(stopping.clone()))];
        for tls in [&opamp_tls, &api_tls].into_iter().flatten() {
            tasks.push(tokio::spawn(tls.clone().keep(stopping.clone())));
        }
        let scheme = if api_tls.is_some() { "https" } else { "http" };
        tracing::info!(address = %opamp, tls = opamp_tls.is_some(), auth = ?options.agent_auth, "agents may connect");
        tracing::info!(page = %format!("{scheme}://{api_address}/"), "operators may connect");
        hub.look(|fleet| warn_of_missing(fleet, &accept.files));
        let agents = accept::router(accept);
        tasks.push(tokio::spawn(listen::serve(opamp_listener, opamp_tls, agents, stopping.clone())));
        tasks.push(tokio::spawn(listen::serve(api_listener, api_tls, operators, stopping)));
        Ok(Self { opamp, api: api_address, hub, stop, tasks, open, _lock: lock })
    }

    /// Says goodbye to everyone, then writes what is not written yet.
    pub async fn stop(mut self) -> Result<(), ServerError> {
        self.stop.send_replace(true);
        for task in self.tasks {
            // A task that panicked has logged it; the others still end in order.
            let _ = task.await;
        }
        if timeout(GOODBYE, self.open.recv()).await.is_err() {
            tracing::warn!("some agents did not answer the goodbye");
        }
        self.hub.close().await?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// A package whose file somebody took away cannot be downloaded.
fn warn_of_missing(fleet: &Fleet, files: &PackageFiles) {
    for (key, package) in &fleet.catalogue.packages {
        for file in package.spec.files().filter(|file| files.size(*file).is_none()) {
            let package = format!("{}/{}", key.namespace, key.name);
            tracing::warn!(package, %file, "a package names a file that is not there; upload it again");
        }
    }
}

/// Makes the directory if needed, and sees that no other server uses it.
fn take_data_dir(path: &Path) -> Result<File, ServerError> {
    let unusable = |source| ServerError::DataDir { path: path.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
    let lock = File::options().create(true).append(true).open(path.join(LOCK)).map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(ServerError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}
