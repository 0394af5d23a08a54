//! What an agent says of its own accord besides its state: custom messages, the request for a certificate, the
//! wish for another uid.

use std::collections::VecDeque;

use super::Client;
use crate::{
    protocol::custom,
    wire::{
        ServerCaps,
        proto::{
            AgentToServer, AgentToServerFlags, CertificateRequest, ConnectionSettingsRequest, CustomMessage,
            OpAmpConnectionSettingsRequest, ServerCapabilities,
        },
    },
};

/// Custom messages that may wait to be sent.
const QUEUE: usize = 16;

/// What waits to be asked.
#[derive(Debug, Default)]
pub(super) struct Asks {
    /// The server's list; nothing heard means that it supports none (B-CU-02).
    pub(super) peer: Vec<String>,
    custom: VecDeque<CustomMessage>,
    /// A certificate signing request in PEM, and whether it is under way.
    csr: Option<(String, Way)>,
    uid: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Way {
    Waiting,
    UnderWay,
}

/// The server takes no requests for connection settings (C-CR-03).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server does not have the capability AcceptsConnectionSettingsRequest")]
pub struct NoRequests;

impl Client {
    /// The custom capabilities that the server advertised last.
    #[must_use]
    pub fn peer_custom_capabilities(&self) -> &[String] {
        &self.asks.peer
    }

    /// What the server can do, as far as it has said.
    #[must_use]
    pub const fn server_capabilities(&self) -> ServerCaps {
        self.server_caps
    }

    /// Sends a custom message, of a capability that both ends advertise (B-CU-06).
    pub fn send_custom(&mut self, message: CustomMessage) -> Result<(), custom::Refused> {
        let ours = self.report.custom_capabilities.as_ref();
        custom::check(&message, ours.map_or(&[], |list| &list.capabilities), &self.asks.peer)?;
        if self.asks.custom.len() >= QUEUE {
            return Err(custom::Refused::Full(QUEUE));
        }
        self.asks.custom.push_back(message);
        Ok(())
    }

    /// Asks for a client certificate of the OpAMP connection, with a CSR in PEM (C-CR-02). The answer is an offer
    /// of connection settings, a refusal, or nothing for as long as somebody has to approve. Before the server has
    /// said what it can do, the request waits.
    pub fn request_certificate(&mut self, csr_pem: String) -> Result<(), NoRequests> {
        if !self.server_caps.is_unspecified() && !self.takes_requests() {
            return Err(NoRequests);
        }
        self.asks.csr = Some((csr_pem, Way::Waiting));
        Ok(())
    }

    /// Asks the server to choose another uid; the present one is temporary until then (C-ID-05, C-ID-06).
    pub const fn request_uid(&mut self) {
        self.asks.uid = true;
        self.speak = true;
    }

    fn takes_requests(&self) -> bool {
        self.server_caps.has(ServerCapabilities::AcceptsConnectionSettingsRequest)
    }

    /// Whether there is something to ask that may be asked now.
    pub(super) fn has_asks(&self) -> bool {
        let csr = matches!(self.asks.csr, Some((_, Way::Waiting))) && self.takes_requests();
        csr || !self.asks.custom.is_empty()
    }

    /// Puts what is to be asked into a message: one custom message at a time.
    pub(super) fn ask(&mut self, message: &mut AgentToServer) {
        let takes = self.takes_requests();
        let asks = &mut self.asks;
        message.custom_message = asks.custom.pop_front();
        if let Some((csr, way @ Way::Waiting)) = &mut asks.csr
            && takes
        {
            *way = Way::UnderWay;
            let certificate_request = Some(CertificateRequest { csr: csr.clone().into_bytes() });
            let opamp = Some(OpAmpConnectionSettingsRequest { certificate_request });
            message.connection_settings_request = Some(ConnectionSettingsRequest { opamp });
        }
        if asks.uid {
            message.flags |= AgentToServerFlags::RequestInstanceUid as u64;
        }
    }

    /// A reply came: what was asked has been heard.
    pub(super) fn asked(&mut self) {
        self.asks.csr.take_if(|(_, way)| *way == Way::UnderWay);
    }

    /// The connection broke before a reply came: it is asked again.
    pub(super) fn ask_again(&mut self) {
        if let Some((_, way)) = &mut self.asks.csr {
            *way = Way::Waiting;
        }
    }

    /// The server chose a uid.
    pub(super) const fn uid_given(&mut self) {
        self.asks.uid = false;
    }
}
