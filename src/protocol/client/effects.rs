//! What comes out of the machine: things to do for the shell, and things to know for the owner of the agent.

use super::NoRequests;
use crate::{
    protocol::custom,
    wire::{
        InstanceUid, ServerCaps,
        proto::{
            AgentRemoteConfig, AgentToServer, ConnectionSettingsOffers, CustomCapabilities, CustomMessage,
            PackagesAvailable, ServerErrorResponse,
        },
    },
};

/// What the shell must do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Connect, then call [`connected`](super::Client::connected) or [`disconnected`](super::Client::disconnected).
    Dial,
    /// Put this message on the connection. A message that turns out to be over a limit is told by
    /// [`undeliverable`](super::Client::undeliverable), an end of the connection by
    /// [`disconnected`](super::Client::disconnected).
    Send(Box<AgentToServer>),
    /// End the connection in order. After a shutdown no call is needed any more; otherwise
    /// [`disconnected`](super::Client::disconnected) was already accounted for.
    Close,
    /// Tell the owner of the agent.
    Event(Event),
}

/// What the server asked for; the owner of the agent acts on it.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The first reply of a connection came.
    Synced,
    /// A config to run. What became of it goes into
    /// [`set_remote_config_status`](super::Client::set_remote_config_status).
    RemoteConfig(AgentRemoteConfig),
    /// Restart the agent (C-CM-02).
    Restart,
    /// Connection settings, of the classes that this agent accepts. What became of them goes into
    /// [`set_connection_settings_status`](super::Client::set_connection_settings_status).
    ConnectionSettings(Box<ConnectionSettingsOffers>),
    /// Packages that should be installed. What became of them goes into
    /// [`set_package_statuses`](super::Client::set_package_statuses).
    Packages(PackagesAvailable),
    /// The server chose another uid; it is in use from now on (C-ID-07) and must be persisted.
    InstanceUid(InstanceUid),
    /// What the server can do: with the first answer of each connection, and when that changes. It comes after
    /// everything else that its message brought.
    ServerCapabilities(ServerCaps),
    /// The server's custom capabilities, whole: those that are not on the list any more are gone (B-CU-01).
    CustomCapabilities(CustomCapabilities),
    /// A message of a custom capability that this agent has too.
    CustomMessage(CustomMessage),
    /// The server refused the last message; it is not sent again (C-TH-09, C-TH-10).
    Refused(ServerErrorResponse),
    /// A custom message that this end wanted to send was not.
    NotSent(custom::Refused),
    /// A certificate was to be asked for, and this server takes no such requests.
    NoRequests(NoRequests),
    /// The message was not for this agent, or not acted on, for the reason given.
    Ignored(&'static str),
}
