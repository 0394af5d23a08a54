//! Archives made byte by byte, good ones and every bad one of F-30 and F-31.

use std::os::unix::fs::MetadataExt;

use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;

use super::*;
use crate::package::Offered;

struct Entry {
    path: &'static str,
    kind: EntryType,
    mode: u32,
    link: &'static str,
    body: Vec<u8>,
}

fn file(path: &'static str, mode: u32, body: &[u8]) -> Entry {
    Entry { path, kind: EntryType::Regular, mode, link: "", body: body.to_vec() }
}

fn other(path: &'static str, kind: EntryType, link: &'static str) -> Entry {
    Entry { path, kind, mode: 0o755, link, body: Vec::new() }
}

/// As an attacker would write it: the names go into the header as they are.
fn header(entry: &Entry, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..entry.path.len()].copy_from_slice(entry.path.as_bytes());
    header.as_old_mut().linkname[..entry.link.len()].copy_from_slice(entry.link.as_bytes());
    header.set_entry_type(entry.kind);
    header.set_mode(entry.mode);
    header.set_size(size);
    header.set_cksum();
    header
}

fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        builder.append(&header(entry, entry.body.len() as u64), &entry.body[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn verified(bytes: &[u8]) -> Verified {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let name = "p".parse().unwrap();
    let offered = Offered { name: &name, version: "", content_hash: &Sha256::digest(bytes), signature: b"" };
    Verified::of(file, &offered, None).unwrap()
}

/// Unpacks beside a file that must stay as it is; gives the directory and what came of it.
fn tried(bytes: &[u8], limits: Limits) -> (TempDir, Result<Vec<Unpacked>, UnpackError>) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("precious"), "as it was").unwrap();
    let result = unpack(&mut verified(bytes), &dir.path().join("x"), "otelcol", limits);
    assert_eq!(fs::read_to_string(dir.path().join("precious")).unwrap(), "as it was");
    (dir, result)
}

fn refused(bytes: &[u8]) -> String {
    let (dir, result) = tried(bytes, Limits::default());
    let error = result.expect_err("refused");
    assert!(!error.may_pass(), "{error}");
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["precious"], "nothing is left behind");
    error.to_string()
}

#[test]
fn archives_of_both_kinds_and_a_bare_executable_are_unpacked() {
    let entries = [
        other("./", EntryType::Directory, ""),
        other("share/", EntryType::Directory, ""),
        file("share/data.txt", 0o644, b"data"),
        file("./bin/otelcol", 0o775, b"\x7fELF..."),
    ];
    let archive = tar(&entries);
    for bytes in [gzip(&archive), zstd::encode_all(&archive[..], 3).unwrap()] {
        let (dir, result) = tried(&bytes, Limits::default());
        let unpacked = result.unwrap();
        let seen: Vec<_> =
            unpacked.iter().map(|file| (file.path.to_str().unwrap(), file.size, file.executable)).collect();
        assert_eq!(seen, [("share/data.txt", 4, false), ("bin/otelcol", 7, true)]);
        assert_eq!(unpacked[0].sha256[..], Sha256::digest(b"data")[..]);
        let mode = |path: &str| fs::metadata(dir.path().join("x").join(path)).unwrap().mode() & 0o7777;
        assert_eq!((mode("share/data.txt"), mode("bin/otelcol")), (0o444, 0o555));
        assert_eq!(fs::read(dir.path().join("x/bin/otelcol")).unwrap(), b"\x7fELF...");
    }
    let (dir, result) = tried(b"\x7fELF and so on", Limits::default());
    assert_eq!(result.unwrap()[0].path, Path::new("otelcol"));
    assert_eq!(fs::read(dir.path().join("x/otelcol")).unwrap(), b"\x7fELF and so on");
}

#[test]
fn f_30_nothing_leaves_the_directory_and_nothing_but_files_and_directories_is_made() {
    for (entries, told) in [
        (vec![file("../precious", 0o644, b"no")], "\"../precious\" leads out of the directory"),
        (vec![file("a/../../precious", 0o644, b"no")], "leads out of the directory"),
        (vec![file("/etc/passwd", 0o644, b"no")], "\"/etc/passwd\" is absolute"),
        (vec![other("out", EntryType::Symlink, ".."), file("out/precious", 0o644, b"no")], "a symbolic link"),
        (vec![other("hard", EntryType::Link, "../precious")], "\"hard\" is a hard link"),
        (vec![other("dev", EntryType::Char, "")], "a device"),
        (vec![other("dev", EntryType::Block, "")], "a device"),
        (vec![other("pipe", EntryType::Fifo, "")], "a pipe"),
        (vec![other("odd", EntryType::new(b'V'), "")], "of a kind that is not known"),
        (vec![file("su", 0o4755, b"")], "\"su\" would run with the rights of its owner"),
        (vec![file("sg", 0o2755, b"")], "rights of its owner or group"),
        (vec![file("a", 0o644, b"1"), file("a", 0o644, b"2")], "\"a\" is there twice"),
        (vec![file("a", 0o644, b"1"), file("a/b", 0o644, b"2")], "is there twice"),
        (vec![file("a/b", 0o644, b"1"), file("a", 0o644, b"2")], "\"a\" is there twice"),
        (vec![file("a\nb", 0o644, b"")], "control character"),
        (vec![file("a\\b", 0o644, b"")], "backslash"),
        (vec![file("./", 0o644, b"no")], "names no file"),
        (vec![file("a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", 0o644, b"")], "more than 16 parts"),
    ] {
        let refused = refused(&gzip(&tar(&entries)));
        assert!(refused.contains(told), "{told}: {refused}");
    }
}

#[test]
fn f_30_two_sizes_of_one_entry_are_refused() {
    let inner = tar(&[file("smuggled", 0o755, b"no")]);
    let mut builder = tar::Builder::new(Vec::new());
    let size = inner.len().to_string();
    builder.append_pax_extensions([("size", size.as_bytes())]).unwrap();
    builder.append(&header(&file("outer", 0o644, b""), 0), io::empty()).unwrap();
    let mut bytes = builder.into_inner().unwrap();
    bytes.splice(bytes.len() - 1024..bytes.len() - 1024, inner);
    let refused = refused(&gzip(&bytes));
    assert!(refused.contains("two sizes of \"outer\""), "{refused}");
}

#[test]
fn f_30_a_million_entries_are_refused() {
    let one = tar(&[other("d/", EntryType::Directory, "")]);
    let mut many = one[..512].repeat(10_001);
    many.extend([0; 1024]);
    assert!(refused(&gzip(&many)).contains("more than 10000 entries"));
}

#[test]
fn f_31_a_bomb_stops_at_its_cap() {
    struct Zeros(u64);
    impl Read for Zeros {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = into.len().min(usize::try_from(self.0).unwrap());
            into[..count].fill(0);
            self.0 -= count as u64;
            Ok(count)
        }
    }
    let size = 32 << 20;
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    builder.append(&header(&file("big", 0o644, b""), size), Zeros(size)).unwrap();
    let bomb = builder.into_inner().unwrap().finish().unwrap();
    assert!(bomb.len() < 200_000);
    let told = refused(&bomb);
    assert!(told.contains("more than ") && told.contains("lets expect"), "{told}");
    let (_dir, result) = tried(&bomb, Limits { ratio: 1000, ..Limits::default() });
    assert_eq!(result.unwrap()[0].size, size, "it is the ratio that stopped it");
    let (_dir, result) = tried(&bomb, Limits { ratio: 1000, bytes: 1 << 20, ..Limits::default() });
    assert!(matches!(result, Err(UnpackError::Bytes(1_048_576))));
}

#[test]
fn f_32_what_is_no_archive_or_a_torn_one_is_refused() {
    assert!(refused(b"#!/bin/sh\n").contains("neither .tar.gz nor .tar.zst nor an executable"));
    assert!(refused(b"").contains("neither"));
    let whole = gzip(&tar(&[file("a", 0o644, &[7; 5000])]));
    assert!(refused(&whole[..whole.len() / 2]).contains("the archive is broken"));
    assert!(refused(&gzip(&[0xff; 2048])).contains("the archive is broken"));
}

#[test]
fn f_54_a_directory_that_cannot_be_made_is_the_hosts_fault() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing/x");
    let error = unpack(&mut verified(b"\x7fELF"), &missing, "otelcol", Limits::default()).unwrap_err();
    assert!(error.may_pass() && error.to_string().contains("missing/x"), "{error}");
}
