//! The files as a start finds them. Random crashes are in [`crashes`].

mod crashes;

use std::{fs, os::unix::fs::PermissionsExt};

use prost::Message;
use serde_json::json;

use super::{
    file::{Content, decode, encode},
    slots::{CURRENT, PREVIOUS},
    *,
};
use crate::{os::fs::FileIdentity, supervisor::machine::Outcome, wire::proto::AgentRemoteConfig};

const UID: InstanceUid = InstanceUid::from_bytes([7; 16]);
const OTHER: InstanceUid = InstanceUid::from_bytes([8; 16]);

fn hash(number: u8) -> ConfigHash {
    ConfigHash(vec![number; 32])
}

fn full() -> State {
    let mut state = State::new(UID);
    state.config.live = Some(hash(1));
    state.config.last_good = Some(hash(2));
    let mut trial = Trial::of(hash(0xab));
    [Phase::Checking, Phase::Checking, Phase::Proving].into_iter().for_each(|phase| trial.enter(phase));
    assert_eq!(trial.entered(), 1);
    let (host, why) = ("ab".into(), "no such exporter".into());
    state.quarantine.push(Quarantined { hash: hash(4), host, why });
    (state.config.previous, state.paused) = (Some(Previous { hash: None }), true);
    state.config.trial = Some(trial);
    let outcome = Outcome::Failed("unknown type: \"x\"".into());
    state.config.status = Some(StatusRecord { hash: hash(3), outcome });
    let file = FileIdentity { dev: 1, inode: 2, size: u64::MAX, mtime_ns: i64::MIN, ctime_ns: 0 };
    let facts = json!({ "components": ["otlp"], "ratio": 0.1 });
    state.agent = Some(AgentRecord { file, sha256: "ab".into(), facts });
    state
}

/// A directory whose `.bak` holds `hash(1)` as live and whose `state.json` holds `hash(2)`.
fn written() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let Opened { mut journal, mut state, notes } = Journal::open(dir.path(), UID).unwrap();
    assert!(notes.is_empty(), "{notes:?}");
    for number in [1, 2] {
        state.config.live = Some(hash(number));
        journal.commit(&state).unwrap();
    }
    dir
}

#[test]
fn every_section_comes_back() {
    let states = [State::new(UID), full()];
    for state in states {
        let bytes = encode(3, &state).unwrap();
        assert_eq!(decode(&bytes), Content::Ours { seq: 3, state: Box::new(state) });
    }
    let text = String::from_utf8(encode(3, &full()).unwrap()).unwrap();
    assert!(text.starts_with("{\n  \"crc32\": \"") && text.contains("\"status\": \"failed\""), "{text}");
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
}

#[test]
fn sections_of_a_later_supervisor_are_carried_along() {
    let mut state = full();
    state.rest.insert("floor".into(), json!([{ "hash": "00" }]));
    state.config.rest.insert("probation_until".into(), json!(5));
    let Content::Ours { state: read, .. } = decode(&encode(1, &state).unwrap()) else { panic!("unread") };
    assert_eq!(*read, state);
}

#[test]
fn f_16_no_flipped_bit_and_no_cut_is_taken_for_a_state() {
    let bytes = encode(9, &full()).unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut altered = bytes.clone();
            altered[at] ^= 1 << bit;
            assert!(matches!(decode(&altered), Content::Bad(_)), "byte {at}, bit {bit}");
        }
        assert!(matches!(decode(&bytes[..at]), Content::Bad(_)), "cut at {at}");
    }
}

#[test]
fn f_16_a_bad_state_is_put_aside_and_the_one_before_it_used() {
    let bytes = |dir: &tempfile::TempDir| fs::read(dir.path().join(CURRENT)).unwrap();
    let damages: [fn(Vec<u8>) -> Vec<u8>; 4] = [
        |_| Vec::new(),
        |bytes| bytes[..bytes.len() / 2].to_vec(),
        |bytes| vec![0; bytes.len()],
        |mut bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
            bytes
        },
    ];
    for damage in damages {
        let dir = written();
        let bad = damage(bytes(&dir));
        fs::write(dir.path().join(CURRENT), &bad).unwrap();
        let opened = Journal::open(dir.path(), OTHER).unwrap();
        assert_eq!((opened.state.instance_uid, opened.state.config.live), (UID, Some(hash(1))));
        assert!(opened.notes[0].contains("cannot be used"), "{:?}", opened.notes);
        assert!(opened.notes[1].contains("state.json.bak (number 2), is in force"), "{:?}", opened.notes);
        assert_eq!(fs::read(dir.path().join("state.json.bad")).unwrap(), bad);
        // Repaired: the next start finds nothing to say.
        assert!(Journal::open(dir.path(), OTHER).unwrap().notes.is_empty());
    }
}

#[test]
fn f_17_with_both_lost_the_newest_stored_config_is_taken_up() {
    let dir = written();
    let Opened { journal, .. } = Journal::open(dir.path(), OTHER).unwrap();
    for number in [1, 2] {
        let offer = AgentRemoteConfig { config: None, config_hash: hash(number).0 };
        journal.configs.store(&hash(number), &offer.encode_to_vec()).unwrap();
    }
    let older = fs::File::open(dir.path().join("configs").join(hash(1).to_string())).unwrap();
    older.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    for name in [CURRENT, PREVIOUS] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    let opened = Journal::open(dir.path(), OTHER).unwrap();
    assert_eq!(opened.state.instance_uid, OTHER);
    assert_eq!((opened.state.config.live, opened.state.config.last_good), (Some(hash(2)), Some(hash(1))));
    assert_eq!((opened.state.config.trial, opened.state.config.status), (None, None));
    assert!(opened.notes.last().unwrap().contains("the state is lost"), "{:?}", opened.notes);
    assert!(dir.path().join("state.json.bak.bad").exists() && journal.configs.load(&hash(1)).is_ok());
    assert_eq!(Journal::open(dir.path(), UID).unwrap().state.instance_uid, OTHER);
}

#[test]
fn what_is_to_be_forgotten_is_in_neither_copy_also_when_the_disk_refused_at_first() {
    let dir = written();
    let Opened { mut journal, mut state, .. } = Journal::open(dir.path(), OTHER).unwrap();
    let told = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    assert!(told(PREVIOUS).contains(&hash(1).to_string()) && told(CURRENT).contains(&hash(2).to_string()));
    state.config.live = Some(hash(3));
    journal.forget_copy();
    let blocked = dir.path().join(".state.json.tmp");
    fs::create_dir(&blocked).unwrap();
    journal.commit(&state).unwrap_err();
    assert!(told(PREVIOUS).contains(&hash(1).to_string()), "nothing was written");
    fs::remove_dir(&blocked).unwrap();
    for number in [3, 4] {
        state.config.live = Some(hash(number));
        journal.commit(&state).unwrap();
        assert!(told(CURRENT).contains(&hash(number).to_string()));
        // The copy is the one before again, once nothing has to go.
        assert!(told(PREVIOUS).contains(&hash(3).to_string()));
    }
}

#[test]
fn f_18_a_newer_schema_is_run_and_not_modified() {
    let dir = written();
    let body = format!(
        "  \"schema\": 2,\n  \"seq\": \"another form\",\n  \"instance_uid\": \"{UID}\",\n  \
         \"config\": {{ \"live\": \"{}\" }}\n}}",
        hash(5)
    );
    let text = format!("{{\n  \"crc32\": \"{:08x}\",\n{body}", crc32fast::hash(body.as_bytes()));
    fs::write(dir.path().join(CURRENT), &text).unwrap();
    let Opened { mut journal, state, notes } = Journal::open(dir.path(), OTHER).unwrap();
    assert_eq!((state.instance_uid, &state.config.live), (UID, &Some(hash(5))));
    assert!(notes[0].contains("newer supervisor (schema 2"), "{notes:?}");
    assert!(journal.refusal().is_some());
    assert!(matches!(journal.commit(&state), Err(JournalError::ReadOnly { schema: 2, .. })));
    assert_eq!(fs::read_to_string(dir.path().join(CURRENT)).unwrap(), text);
}

#[test]
fn what_says_nothing_about_the_file_is_an_error_and_changes_nothing() {
    let dir = written();
    let (path, away) = (dir.path().join(CURRENT), dir.path().join("away"));
    fs::rename(&path, &away).unwrap();
    // A component too long: an error that is neither absence nor damage.
    std::os::unix::fs::symlink("x".repeat(300), &path).unwrap();
    let error = Journal::open(dir.path(), OTHER).unwrap_err();
    assert!(error.to_string().contains("cannot read") && path.is_symlink(), "{error}");
}

#[test]
fn configs_come_back_byte_for_byte_whatever_the_hash() {
    let dir = written();
    let Opened { journal, mut state, .. } = Journal::open(dir.path(), UID).unwrap();
    let hashes = [hash(1), ConfigHash(vec![]), ConfigHash(vec![0xff; 65]), ConfigHash(b"../..".to_vec())];
    for (number, hash) in (0..).zip(&hashes) {
        assert!(matches!(journal.configs.load(hash), Err(JournalError::NoConfig { .. })));
        journal.configs.store(hash, &[number; 9]).unwrap();
    }
    for (number, hash) in (0..).zip(&hashes) {
        assert_eq!(journal.configs.load(hash).unwrap(), [number; 9]);
    }
    let mode = fs::metadata(dir.path().join("configs")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    state.config = ConfigState { live: Some(hashes[3].clone()), ..ConfigState::default() };
    journal.configs.keep_only(&state.configs()).unwrap();
    assert_eq!(fs::read_dir(dir.path().join("configs")).unwrap().count(), 1);
    assert!(journal.configs.load(&hashes[3]).is_ok());
}

#[test]
fn the_started_process_is_noted_and_forgotten() {
    let dir = written();
    let Opened { journal, .. } = Journal::open(dir.path(), UID).unwrap();
    assert_eq!(journal.recorded_process(), None);
    let facts = ProcessFacts::of(std::process::id().cast_signed()).unwrap();
    journal.record_process(&facts).unwrap();
    assert_eq!(journal.recorded_process(), Some(facts));
    journal.forget_process().unwrap();
    journal.forget_process().unwrap();
    fs::write(dir.path().join("run/agent.json"), "{").unwrap();
    assert_eq!(journal.recorded_process(), None);
}
