//! Sets of parts, and components that come as a hash or whole.

use std::collections::BTreeMap;

use opamp::{
    protocol::{
        report::{Part, Parts, Report},
        server::{AgentView, Desired, Session},
    },
    wire::{
        InstanceUid, ServerCaps,
        proto::{AgentToServer, AvailableComponents, ComponentDetails, ServerToAgentFlags},
    },
};

fn of(parts: &[Part]) -> Parts {
    let mut set = Parts::NONE;
    parts.iter().for_each(|part| set.insert(*part));
    set
}

#[test]
fn sets_of_parts_are_sets() {
    let (a, b) = (of(&[Part::Health, Part::Description]), of(&[Part::Health, Part::EffectiveConfig]));
    assert_eq!(a.or(b), of(&[Part::Health, Part::Description, Part::EffectiveConfig]));
    assert_eq!(a.and(b), of(&[Part::Health]));
    assert_eq!(a.minus(b), of(&[Part::Description]));
    assert_eq!((Parts::ALL.or(a), Parts::ALL.and(a), a.minus(Parts::ALL)), (Parts::ALL, a, Parts::NONE));
    assert!(Parts::NONE.is_empty() && !a.is_empty());
    assert_eq!(of(&Part::ALL), Parts::ALL);
    assert!(Parts::ALL.iter().eq(Part::ALL));
}

fn components(hash: u8, names: &[&str]) -> AvailableComponents {
    let named = names.iter().map(|name| ((*name).to_owned(), ComponentDetails::default()));
    AvailableComponents { components: named.collect::<BTreeMap<_, _>>(), hash: vec![hash] }
}

/// Whether a message with these components changed what is known.
fn takes(report: &mut Report, part: AvailableComponents) -> bool {
    let mut message = AgentToServer { available_components: Some(part), ..Default::default() };
    report.take_from(&mut message).has(Part::AvailableComponents)
}

#[test]
fn c_ac_04_05_06_a_hash_does_not_take_back_the_map_that_is_known_for_it() {
    let mut report = Report::default();
    assert!(takes(&mut report, components(1, &[])), "a first hash");
    assert!(!takes(&mut report, components(1, &[])), "the same");
    assert!(takes(&mut report, components(1, &["a"])), "its map");
    assert!(!takes(&mut report, components(1, &["a"])));
    assert!(!takes(&mut report, components(1, &[])), "the hash alone says nothing new");
    assert_eq!(report.available_components, Some(components(1, &["a"])));
    assert!(takes(&mut report, components(2, &[])), "another hash");
    assert_eq!(report.available_components, Some(components(2, &[])));
}

#[test]
fn s_sq_02_03_an_agent_that_is_not_trusted_any_more_is_asked_for_all_of_it() {
    let uid = InstanceUid::from_bytes([7; 16]);
    let (mut view, mut session) = (AgentView::new(uid), Session::new(ServerCaps::default()));
    let description = Some(Default::default());
    let first = AgentToServer { sequence_num: 1, agent_description: description, ..Default::default() };
    session.receive(&mut view, first);
    let full = ServerToAgentFlags::ReportFullState as u64;
    let custom = Desired::default();
    assert_eq!(session.reply(&mut view, &custom).flags & full, 0);
    session.distrust(&mut view);
    assert_eq!(view.sequence_num, None);
    assert_eq!(session.push(&view, &custom).map(|message| message.flags & full), Some(full));
}
