//! The compiled messages against the protocol's table (`proto/opamp-wire.csv`): every message, field,
//! number, type, enum and value, both ways, with no extras on either side.

mod attrs;
#[cfg(any(feature = "supervisor", feature = "server"))]
mod compat;
mod descriptors;
mod limits;
mod table;

use std::collections::BTreeMap;

use opamp::wire::DESCRIPTORS;
use prost::Message;
use prost_types::FileDescriptorSet;

/// One line per fact, keyed by `message AgentToServer.health`, `enum X`, …; the value is number and type.
type Facts = BTreeMap<String, String>;

fn compiled() -> FileDescriptorSet {
    FileDescriptorSet::decode(DESCRIPTORS).unwrap()
}

fn csv() -> &'static str {
    include_str!("../../proto/opamp-wire.csv")
}

/// What one side has and the other has not, or has otherwise.
fn differences(table: &Facts, compiled: &Facts) -> Vec<String> {
    let missing =
        table.iter().filter(|(name, fact)| compiled.get(*name) != Some(fact)).map(|(name, fact)| {
            match compiled.get(name) {
                Some(other) => format!("{name}: the table says {fact}, compiled is {other}"),
                None => format!("{name} ({fact}) is in the table and not compiled"),
            }
        });
    let extra = compiled.iter().filter(|(name, _)| !table.contains_key(*name));
    missing
        .chain(extra.map(|(name, fact)| format!("{name} ({fact}) is compiled and not in the table")))
        .collect()
}

#[test]
fn b_tc_02_b_io_04_05_the_compiled_messages_are_those_of_the_table() {
    let table = table::facts(csv());
    let found = differences(&table, &descriptors::facts(&compiled()));
    assert!(found.is_empty(), "{}", found.join("\n"));
    // The table was read whole: one fact for each of its lines.
    assert_eq!(table.len(), csv().lines().count() - 1);
}

#[test]
fn a_planted_difference_in_the_table_is_found() {
    let compiled = descriptors::facts(&compiled());
    let plants = [
        ("config_hash,2,bytes", "config_hash,3,bytes", "AgentRemoteConfig.config_hash"),
        ("start_time_unix_nano,2,fixed64", "start_time_unix_nano,2,uint64", "start_time_unix_nano"),
        ("CommandType_Restart,0", "CommandType_Restart,1", "CommandType_Restart"),
        ("map<string, AgentConfigObject>", "map<string, AgentConfigMap>", "config_map"),
        ("oneof Details: RetryInfo", "oneof Other: RetryInfo", "retry_info"),
        ("values,1,repeated AnyValue", "values,1,AnyValue", "ArrayValue.values"),
        ("message,AgentDisconnect,", "message,AgentDisconnected,", "message AgentDisconnect "),
    ];
    for (right, wrong, named) in plants {
        assert!(csv().contains(right), "{right} is not in the table");
        let found = differences(&table::facts(&csv().replacen(right, wrong, 1)), &compiled);
        assert!(found.iter().any(|line| line.contains(named)), "{right} → {wrong}: {found:?}");
    }
}

#[test]
fn a_planted_difference_in_the_messages_is_found() {
    let table = table::facts(csv());
    let planted = |change: fn(&mut FileDescriptorSet)| {
        let mut set = compiled();
        change(&mut set);
        differences(&table, &descriptors::facts(&set))
    };
    assert_eq!(planted(|_| {}), [""; 0]);
    assert_eq!(planted(|set| drop(set.file[0].message_type[0].field.remove(0))).len(), 1);
    assert_eq!(planted(|set| set.file[0].message_type[0].field[0].number = Some(99)).len(), 1);
    assert_eq!(planted(|set| drop(set.file[0].enum_type[0].value.remove(0))).len(), 1);
    let extra = planted(|set| {
        let copy = set.file[0].message_type[2].field[0].clone();
        set.file[0].message_type[2].field.push(prost_types::FieldDescriptorProto {
            name: Some("more".into()),
            number: Some(99),
            ..copy
        });
    });
    assert_eq!(extra.len(), 1);
    assert!(extra[0].ends_with("is compiled and not in the table"), "{extra:?}");
    assert!(!planted(|set| set.file.push(set.file[0].clone())).is_empty(), "an unknown package passes");
}
