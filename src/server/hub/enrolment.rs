//! Changes of tokens, identities and certificate requests, as plans: what is stored, then what follows for agents.

use super::{Hub, Plan};
use crate::{
    server::{
        fleet::Fleet,
        identity::{CertificateRequest, Credential, Identity, RequestState},
        store::{Change, StoreError},
    },
    wire::InstanceUid,
};

impl Hub {
    /// Has an agent told that its request cannot be granted, with the next thing that is said to it (S-CR-03).
    pub fn refuse(&self, uid: InstanceUid, why: String) {
        let mut state = self.lock();
        state.refusals.insert(uid, why);
        if let Some(link) = state.links.get(&uid) {
            link.wake.notify_one();
        }
    }
}

/// Puts an identity in place.
pub fn put(identity: Identity) -> Plan<()> {
    Plan {
        changes: vec![Change::Identity(Box::new(identity.clone()))],
        apply: Box::new(move |fleet: &mut Fleet, now| fleet.put_identity(identity, now)),
        output: (),
    }
}

/// Gives an identity a credential, and marks the request that it answers.
pub fn issue(
    fleet: &Fleet,
    name: &str,
    credential: Credential,
    answered: Option<CertificateRequest>,
) -> Result<Plan<()>, StoreError> {
    // An identity that was deleted meanwhile gets nothing.
    let Some(mut identity) = fleet.register.identities().get(name).cloned() else {
        return Ok(Plan { changes: Vec::new(), apply: Box::new(|_, _| Vec::new()), output: () });
    };
    identity.issue(credential);
    let answered = answered.map(|request| CertificateRequest { state: RequestState::Approved, ..request });
    let mut changes = vec![Change::Identity(Box::new(identity.clone()))];
    changes.extend(answered.clone().map(|request| Change::CertificateRequest(Box::new(request))));
    Ok(Plan {
        changes,
        apply: Box::new(move |fleet: &mut Fleet, now| {
            if let Some(request) = answered {
                fleet.register.put_request(request);
            }
            fleet.put_identity(identity, now)
        }),
        output: (),
    })
}

/// Keeps a request in the place of the one that its identity sent before.
pub fn file(fleet: &Fleet, request: CertificateRequest) -> Plan<()> {
    let before = fleet.register.request_of(&request.identity).filter(|old| old.name != request.name);
    let mut changes: Vec<_> =
        before.map(|old| Change::DeleteCertificateRequest(old.name.clone())).into_iter().collect();
    changes.push(Change::CertificateRequest(Box::new(request.clone())));
    Plan {
        changes,
        apply: Box::new(move |fleet: &mut Fleet, _| {
            fleet.register.put_request(request);
            Vec::new()
        }),
        output: (),
    }
}
