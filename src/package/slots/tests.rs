//! Versions on a real file system: whole, half, damaged, and removed.

use std::{io::Write, os::unix::fs::MetadataExt};

use tempfile::TempDir;

use super::*;
use crate::package::Offered;

const BINARY: &[u8] = b"\x7fELF the collector";

fn verified(bytes: &[u8]) -> Verified {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let name = name();
    let offered = Offered { name: &name, version: "", content_hash: &Sha256::digest(bytes), signature: b"" };
    Verified::of(file, &offered, None).unwrap()
}

fn name() -> PackageName {
    "otelcol".parse().unwrap()
}

fn install(slots: &Slots, version: &str, bytes: &[u8]) -> Result<Slot, SlotError> {
    let version = version.parse().unwrap();
    slots.install(&mut verified(bytes), &name(), &version, "otelcol", Limits::default())
}

fn versions() -> (TempDir, Slots) {
    let dir = tempfile::tempdir().unwrap();
    let slots = Slots::open(&dir.path().join("versions")).unwrap();
    (dir, slots)
}

/// What is in the directory, by name.
fn listed(slots: &Slots) -> Vec<String> {
    let entries = fs::read_dir(&slots.directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_version_is_installed_whole_found_again_and_removed() {
    let (_dir, slots) = versions();
    let slot = install(&slots, "0.150.0", BINARY).unwrap();
    let hash = HEXLOWER.encode(&Sha256::digest(BINARY));
    assert_eq!(slot.id().to_string(), format!("0.150.0-{}", &hash[..12]));
    let binary = slot.executable("otelcol").unwrap();
    assert_eq!(fs::read(&binary).unwrap(), BINARY);
    assert_eq!(fs::metadata(&binary).unwrap().mode() & 0o777, 0o555);
    assert_eq!((slot.executable("other"), slot.manifest().version.as_str()), (None, "0.150.0"));
    slot.check().unwrap();

    let again = Slots::open(&slots.directory).unwrap();
    let found = again.find(slot.id()).unwrap().unwrap();
    assert_eq!(found.manifest(), slot.manifest());
    let other = install(&slots, "0.150.0", b"\x7fELF another one").unwrap();
    assert_ne!(other.id(), slot.id(), "another artefact of one version");
    assert_eq!(again.all().len(), 2);
    again.remove(slot.id()).unwrap();
    again.remove(slot.id()).unwrap();
    assert_eq!(listed(&again), [other.id().to_string()]);
}

#[test]
fn f_4_f_14_what_was_left_half_done_is_removed_and_nothing_else() {
    let (_dir, slots) = versions();
    let slot = install(&slots, "0.150.0", BINARY).unwrap();
    for left in ["x-0.151.0-aaaaaaaaaaaa/files", ".trash-0.148.0-bbbbbbbbbbbb/files", "of-a-person"] {
        fs::create_dir_all(slots.directory.join(left)).unwrap();
    }
    let again = Slots::open(&slots.directory).unwrap();
    assert_eq!(listed(&again), [slot.id().to_string(), "of-a-person".to_owned()]);
    assert_eq!(again.all().len(), 1);
    // Without its last file a version is not there, and is made anew.
    fs::remove_file(slots.directory.join(&slot.id().0).join(COMPLETE)).unwrap();
    assert!(again.find(slot.id()).unwrap().is_none());
}

#[test]
fn f_5_f_21_what_is_there_is_used_if_it_is_whole_and_made_anew_if_not() {
    let (_dir, slots) = versions();
    let slot = install(&slots, "0.150.0", BINARY).unwrap();
    let binary = slot.executable("otelcol").unwrap();
    let inode = || fs::metadata(&binary).unwrap().ino();
    let first = inode();
    install(&slots, "0.150.0", BINARY).unwrap();
    assert_eq!(inode(), first, "used as it is");

    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let mut flipped = BINARY.to_vec();
    flipped[8] ^= 1;
    fs::write(&binary, &flipped).unwrap();
    let damaged = slot.check().unwrap_err();
    assert!(damaged.to_string().ends_with("otelcol is not what was installed"), "{damaged}");
    assert!(!damaged.may_pass());
    install(&slots, "0.150.0", BINARY).unwrap().check().unwrap();
    assert_eq!(fs::read(&binary).unwrap(), BINARY);

    fs::remove_file(&binary).unwrap();
    assert!(slot.check().unwrap_err().to_string().ends_with("is gone"));
    std::os::unix::fs::symlink("/bin/sh", &binary).unwrap();
    assert!(slot.check().unwrap_err().to_string().ends_with("is gone"), "a link is no file");
    let manifest = slots.directory.join(&slot.id().0).join(MANIFEST);
    fs::remove_file(&manifest).unwrap();
    fs::write(&manifest, "{}").unwrap();
    assert!(slots.find(slot.id()).unwrap_err().to_string().contains("not what was written"));
}

#[test]
fn f_30_f_32_what_cannot_be_unpacked_leaves_no_version() {
    let (_dir, slots) = versions();
    let refused = install(&slots, "0.150.0", b"#!/bin/sh\n").unwrap_err();
    assert!(!refused.may_pass(), "{refused}");
    assert_eq!(listed(&slots), [""; 0]);
}

#[test]
fn f_54_a_directory_that_cannot_be_written_to_is_the_hosts_fault() {
    let (dir, slots) = versions();
    fs::remove_dir(dir.path().join("versions")).unwrap();
    let refused = install(&slots, "0.150.0", BINARY).unwrap_err();
    assert!(refused.may_pass(), "{refused}");
}
