//! An OpAMP server for one agent, made of the library's own parts.

use std::sync::{Arc, Mutex};

use opamp::{
    protocol::{
        report::carried,
        server::{AgentView, Desired, Insistence, Packages, Session},
    },
    transport::accept::{AgentLink, Listener},
    wire::{
        InstanceUid, ServerCaps,
        proto::{
            AgentConfigMap, AgentConfigObject, AgentRemoteConfig, AgentToServer, PackageStatus,
            PackageStatuses, PackagesAvailable, RemoteConfigStatus, RemoteConfigStatuses, ServerCapabilities,
            ServerToAgent,
        },
    },
};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::DEADLINE;

/// What a test asks of the server.
enum Order {
    Offer(AgentRemoteConfig),
    Packages(PackagesAvailable),
    Restart,
    Say(Box<ServerToAgent>),
}

/// What the server wants of the agent.
#[derive(Default)]
struct Wanted {
    config: Option<AgentRemoteConfig>,
    packages: Option<PackagesAvailable>,
}

impl Wanted {
    fn with<T>(&self, ask: impl FnOnce(Desired<'_>) -> T) -> T {
        let available = || self.packages.clone().unwrap_or_default();
        let packages = self.packages.as_ref().map(|packages| Packages {
            all_packages_hash: &packages.all_packages_hash,
            available: &available,
            insistence: Insistence::Once,
        });
        ask(Desired { remote_config: self.config.as_ref(), packages, ..Desired::default() })
    }
}

/// What the server knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) view: Option<AgentView>,
    pub(crate) connected: bool,
    pub(crate) connections: u32,
    pub(crate) goodbyes: u32,
}

impl Known {
    pub(crate) fn healthy(&self) -> bool {
        let health = self.view.as_ref().and_then(|view| view.report.health.as_ref());
        self.connected && health.is_some_and(|health| health.healthy)
    }

    pub(crate) fn status(&self) -> RemoteConfigStatus {
        let status = self.view.as_ref().and_then(|view| view.report.remote_config_status.clone());
        status.unwrap_or_default()
    }

    pub(crate) fn settled(&self, config: &AgentRemoteConfig) -> bool {
        let status = self.status();
        status.last_remote_config_hash == config.config_hash
            && status.status != RemoteConfigStatuses::Applying as i32
    }

    /// What was said of packages.
    pub(crate) fn packages(&self) -> PackageStatuses {
        let statuses = self.view.as_ref().and_then(|view| view.report.package_statuses.clone());
        statuses.unwrap_or_default()
    }

    /// What was said of one.
    pub(crate) fn package(&self, name: &str) -> PackageStatus {
        self.packages().packages.remove(name).unwrap_or_default()
    }

    pub(crate) fn effective(&self) -> String {
        let config = self.view.as_ref().and_then(|view| view.report.effective_config.clone());
        let bodies = config.and_then(|config| config.config_map).unwrap_or_default().config_map;
        bodies.values().map(|object| String::from_utf8_lossy(&object.body).into_owned()).collect()
    }
}

/// An OpAMP server for one agent.
pub(crate) struct Server {
    pub(crate) endpoint: String,
    known: watch::Receiver<Known>,
    messages: Arc<Mutex<Vec<AgentToServer>>>,
    orders: mpsc::Sender<Order>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_on(0).await
    }

    pub(crate) async fn start_on(port: u16) -> Self {
        let listener = Listener::bind(port).await.unwrap();
        let endpoint = listener.endpoint();
        let (tell, known) = watch::channel(Known::default());
        let (orders, taken) = mpsc::channel(8);
        let messages = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(serve(listener, tell, messages.clone(), taken));
        Self { endpoint, known, messages, orders }
    }

    /// Waits until what the server knows is so.
    pub(crate) async fn until(&self, what: &str, so: impl Fn(&Known) -> bool) -> Known {
        let mut known = self.known.clone();
        let waited = timeout(DEADLINE, known.wait_for(|known| so(known))).await;
        match waited {
            Ok(known) => known.unwrap().clone(),
            Err(_) => panic!("not within {DEADLINE:?}: {what}; the server knows {:?}", self.known.borrow()),
        }
    }

    /// Offers a config and waits for its end.
    pub(crate) async fn push(&self, config: &AgentRemoteConfig) -> RemoteConfigStatus {
        self.offer(config).await;
        self.until("the config is applied or failed", |known| known.settled(config)).await.status()
    }

    pub(crate) async fn offer(&self, config: &AgentRemoteConfig) {
        self.orders.send(Order::Offer(config.clone())).await.unwrap();
    }

    /// Offers packages, now or when an agent comes that does not know them.
    pub(crate) async fn offer_packages(&self, packages: &PackagesAvailable) {
        self.orders.send(Order::Packages(packages.clone())).await.unwrap();
    }

    pub(crate) async fn restart(&self) {
        self.orders.send(Order::Restart).await.unwrap();
    }

    /// Sends a message as it is, whatever a server in its right mind would do.
    pub(crate) async fn say(&self, message: ServerToAgent) {
        self.orders.send(Order::Say(Box::new(message))).await.unwrap();
    }

    /// Messages so far.
    pub(crate) fn messages(&self) -> Vec<AgentToServer> {
        self.messages.lock().unwrap().clone()
    }
}

async fn serve(
    mut listener: Listener,
    tell: watch::Sender<Known>,
    messages: Arc<Mutex<Vec<AgentToServer>>>,
    mut orders: mpsc::Receiver<Order>,
) {
    let mut desired = Wanted::default();
    loop {
        let Ok(link) = listener.accept().await else { continue };
        tell.send_modify(|known| known.connections += 1);
        converse(link, &tell, &messages, &mut orders, &mut desired).await;
        tell.send_modify(|known| known.connected = false);
    }
}

async fn converse(
    mut link: AgentLink,
    tell: &watch::Sender<Known>,
    messages: &Mutex<Vec<AgentToServer>>,
    orders: &mut mpsc::Receiver<Order>,
    desired: &mut Wanted,
) -> Option<()> {
    let mut session = Session::new(ServerCaps::of(&[
        ServerCapabilities::AcceptsStatus,
        ServerCapabilities::OffersRemoteConfig,
        ServerCapabilities::AcceptsEffectiveConfig,
        ServerCapabilities::OffersConnectionSettings,
        ServerCapabilities::AcceptsConnectionSettingsRequest,
        ServerCapabilities::OffersPackages,
        ServerCapabilities::AcceptsPackagesStatus,
    ]));
    loop {
        let message = tokio::select! {
            message = link.recv() => message.ok()?,
            Some(order) = orders.recv() => {
                match &order {
                    Order::Offer(config) => desired.config = Some(config.clone()),
                    Order::Packages(packages) => desired.packages = Some(packages.clone()),
                    Order::Restart | Order::Say(_) => {}
                }
                // Whoever has not spoken yet is answered when it does.
                let Some(view) = tell.borrow().view.clone() else { continue };
                let push = match order {
                    Order::Restart => Some(session.restart(&view).unwrap()),
                    Order::Say(message) => Some(ServerToAgent { instance_uid: view.instance_uid.to_vec(), ..*message }),
                    Order::Offer(_) | Order::Packages(_) => desired.with(|desired| session.push(&view, &desired)),
                };
                if let Some(push) = push {
                    link.send(&push).await.ok()?;
                }
                continue;
            }
        };
        messages.lock().unwrap().push(message.clone());
        let uid = InstanceUid::try_from(&*message.instance_uid).unwrap();
        let mut view = tell.borrow().view.clone().unwrap_or_else(|| AgentView::new(uid));
        let received = session.receive(&mut view, message);
        let reply = desired.with(|desired| session.reply(&mut view, &desired));
        tell.send_modify(|known| {
            known.view = Some(view);
            known.connected = !received.disconnect;
            known.goodbyes += u32::from(received.disconnect);
        });
        link.send(&reply).await.ok()?;
    }
}

/// How many messages carry health, and so on: for "says no more than it must".
pub(crate) fn sent(messages: &[AgentToServer], part: opamp::protocol::report::Part) -> usize {
    messages.iter().filter(|message| carried(message).has(part)).count()
}

/// A config as a server offers it.
pub(crate) fn config(name: &str, body: &str) -> AgentRemoteConfig {
    let object =
        AgentConfigObject { body: body.into(), content_type: "text/yaml".into(), ..Default::default() };
    AgentRemoteConfig {
        config_hash: Sha256::digest(format!("{name}\n{body}")).to_vec(),
        config: Some(AgentConfigMap { config_map: [(name.to_owned(), object)].into() }),
    }
}
