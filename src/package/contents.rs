//! For which architectures the programs in an artefact were built, so that a signer does not sign the wrong one.
//!
//! A look, not a check: what a host unpacks is for `unpack` to judge.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
};

use super::format::Format;

/// As much of an ELF file as says for what it was built.
const HEADER: usize = 20;

/// Why it cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    #[error("reading it: {0}")]
    Read(#[source] io::Error),
    #[error(
        "hosts take .tar.gz, .tar.zst or one bare executable, and this is none of them (it starts with {0:02x?})"
    )]
    Format(Vec<u8>),
    #[error("the archive is broken: {0}")]
    Broken(#[source] io::Error),
}

/// Each of the architectures that hosts have (`amd64`, `arm64`), with one of the programs that were built for it; of a bare
/// executable the path is empty. Nothing for what is only data.
pub fn architectures(file: &mut File) -> Result<BTreeMap<&'static str, String>, ContentsError> {
    match Format::of(file).map_err(ContentsError::Read)? {
        Format::Archive(tar) => programs(tar).map_err(ContentsError::Broken),
        Format::Executable(mut bytes) => {
            let header = header(&mut bytes).map_err(ContentsError::Read)?;
            Ok(architecture(&header).map(|arch| (arch, String::new())).into_iter().collect())
        }
        Format::Unknown(magic) => Err(ContentsError::Format(magic)),
    }
}

fn programs(archive: impl Read) -> io::Result<BTreeMap<&'static str, String>> {
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        if let Some(arch) = architecture(&header(&mut entry)?) {
            found.entry(arch).or_insert_with(|| String::from_utf8_lossy(&entry.path_bytes()).into_owned());
        }
    }
    Ok(found)
}

fn header(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut header = Vec::with_capacity(HEADER);
    from.take(HEADER as u64).read_to_end(&mut header)?;
    Ok(header)
}

/// Of a program or a library (not of an object, which may be for eBPF) of 64 bits, little-endian.
fn architecture(header: &[u8]) -> Option<&'static str> {
    let [0x7f, b'E', b'L', b'F', 2, 1, .., kind, 0, machine, 0] = *header else { return None };
    match (kind, machine) {
        (2 | 3, 62) => Some("amd64"),
        (2 | 3, 183) => Some("arm64"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn elf(kind: u8, machine: u8) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(16, 0);
        bytes.extend([kind, 0, machine, 0, 1, 0, 0, 0]);
        bytes
    }

    fn tar(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, bytes) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, &bytes[..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn of(bytes: &[u8]) -> Result<Vec<(&'static str, String)>, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        architectures(&mut file).map(|found| found.into_iter().collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_read_off_the_programs_bare_and_in_both_kinds_of_archive() {
        assert_eq!(of(&elf(2, 62)), Ok(vec![("amd64", String::new())]));
        assert_eq!(of(&elf(3, 183)), Ok(vec![("arm64", String::new())]));
        // A relocatable file for eBPF, and a program for a machine that hosts do not have.
        let archive = tar(&[
            ("README", b"text".to_vec()),
            ("probe.o", elf(1, 247)),
            ("riscv", elf(2, 243)),
            ("bin/otelcol", elf(2, 183)),
            ("bin/other", elf(2, 183)),
        ]);
        for bytes in [gzip(&archive), zstd::encode_all(&archive[..], 3).unwrap()] {
            assert_eq!(of(&bytes), Ok(vec![("arm64", "bin/otelcol".to_owned())]));
        }
        let both = tar(&[("a", elf(2, 62)), ("b", elf(2, 183))]);
        assert_eq!(of(&gzip(&both)).unwrap().len(), 2);
        assert_eq!(of(&gzip(&tar(&[("geoip.mmdb", vec![7; 99])]))), Ok(vec![]));
    }

    #[test]
    fn an_archive_that_hosts_have_no_memory_for_is_not_signed() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(24).unwrap();
        encoder.write_all(&tar(&[("a", elf(2, 62))])).unwrap();
        assert!(of(&encoder.finish().unwrap()).unwrap_err().contains("broken"));
    }

    #[test]
    fn f_32_what_no_host_would_unpack_is_not_looked_into() {
        for bytes in [&b""[..], b"#!/bin/sh\n", b"PK\x03\x04"] {
            assert!(of(bytes).unwrap_err().contains("none of them"), "{bytes:?}");
        }
        let whole = gzip(&tar(&[("a", elf(2, 62))]));
        assert!(of(&whole[..whole.len() / 2]).unwrap_err().contains("broken"));
    }
}
