//! What an agent says of its own accord besides its state: custom messages, the request for a certificate, the
//! wish for another uid.

use std::collections::VecDeque;

use super::{Client, Effect, Event};
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
    /// A certificate signing request in PEM, and how far it got.
    csr: Option<(String, Way)>,
    uid: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Way {
    Waiting,
    Sent,
    /// Something came from the server since. It was no answer to the request, which may take its time.
    Heard,
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

    /// Sends a custom message, of a capability that both ends advertise (B-CU-06): once at most, so one that a
    /// broken connection took with it is gone. Who needs to know has the peer answer.
    pub fn send_custom(&mut self, message: CustomMessage) -> Result<(), custom::Refused> {
        custom::check(&message, self.custom_capabilities(), &self.asks.peer)?;
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

    pub(super) fn custom_capabilities(&self) -> &[String] {
        self.report.custom_capabilities.as_ref().map_or(&[], |list| &list.capabilities)
    }

    const fn takes_requests(&self) -> bool {
        self.server_caps.has(ServerCapabilities::AcceptsConnectionSettingsRequest)
    }

    /// Whether there is something to ask that may be asked now.
    pub(super) fn has_asks(&self) -> bool {
        let csr = matches!(self.asks.csr, Some((_, Way::Waiting))) && self.takes_requests();
        csr || !self.asks.custom.is_empty()
    }

    /// Gives up custom messages that waited while one of the ends gave up their capability.
    pub(super) fn sift(&mut self) {
        for message in std::mem::take(&mut self.asks.custom) {
            match custom::check(&message, self.custom_capabilities(), &self.asks.peer) {
                Ok(()) => self.asks.custom.push_back(message),
                Err(refused) => self.effects.push_back(Effect::Event(Event::NotSent(refused))),
            }
        }
    }

    /// It is known now what the server can do; a request that it does not take is given up.
    pub(super) fn give_up_requests(&mut self) {
        if !self.takes_requests() && self.asks.csr.take().is_some() {
            self.effects.push_back(Effect::Event(Event::NoRequests(NoRequests)));
        }
    }

    /// Puts what is to be asked into a message: one custom message at a time.
    pub(super) fn ask(&mut self, message: &mut AgentToServer) {
        let takes = self.takes_requests();
        let asks = &mut self.asks;
        message.custom_message = asks.custom.pop_front();
        if let Some((csr, way @ Way::Waiting)) = &mut asks.csr
            && takes
        {
            *way = Way::Sent;
            let certificate_request = Some(CertificateRequest { csr: csr.clone().into_bytes() });
            let opamp = Some(OpAmpConnectionSettingsRequest { certificate_request });
            message.connection_settings_request = Some(ConnectionSettingsRequest { opamp });
        }
        if asks.uid {
            message.flags |= AgentToServerFlags::RequestInstanceUid as u64;
        }
    }

    /// Something came: what was asked has been heard, most likely.
    pub(super) fn asked(&mut self) {
        if let Some((_, way @ Way::Sent)) = &mut self.asks.csr {
            *way = Way::Heard;
        }
    }

    /// The request that was made has its answer, or will never have one.
    pub(super) fn answered(&mut self) {
        self.asks.csr.take_if(|(_, way)| *way != Way::Waiting);
    }

    /// The connection broke before a reply came: it is asked again.
    pub(super) fn ask_again(&mut self) {
        if let Some((_, way @ Way::Sent)) = &mut self.asks.csr {
            *way = Way::Waiting;
        }
    }

    /// The server says that it missed something, or it is another one.
    pub(super) fn ask_anew(&mut self) {
        if let Some((_, way)) = &mut self.asks.csr {
            *way = Way::Waiting;
        }
    }

    /// The server chose a uid.
    pub(super) const fn uid_given(&mut self) {
        self.asks.uid = false;
    }
}
