//! Packages as offered: the hash of each, and the hash of all of them. Whoever receives them does not work them out again
//! (C-PK-01); they only tell offers apart.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::wire::proto::PackageAvailable;

/// Of one package: over its name and everything that is offered of it, but for the hash itself (S-PK-04). Leave out of
/// `offer` what differs from one offer of the same package to the next, such as a header that expires.
#[must_use]
pub fn hash(name: &str, offer: &PackageAvailable) -> Vec<u8> {
    let mut parts = Parts::new("package");
    parts.add(name.as_bytes());
    parts.add(&offer.r#type.to_be_bytes());
    parts.add(offer.version.as_bytes());
    let file = offer.file.clone().unwrap_or_default();
    parts.add(file.download_url.as_bytes());
    parts.add(&file.content_hash);
    parts.add(&file.signature);
    for header in file.headers.iter().flat_map(|headers| &headers.headers) {
        parts.add(header.key.as_bytes());
        parts.add(header.value.as_bytes());
    }
    parts.end()
}

/// Of all packages, by name and hash; that there are none has a hash, too (S-PK-02).
#[must_use]
pub fn hash_of_all<'a>(packages: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut parts = Parts::new("all packages");
    let ordered: BTreeMap<_, _> = packages.into_iter().collect();
    for (name, hash) in ordered {
        parts.add(name.as_bytes());
        parts.add(hash);
    }
    parts.end()
}

/// SHA-256 over parts, each with its length before it, so that no two lists of parts are the same bytes (S-PK-03).
struct Parts(Sha256);

impl Parts {
    fn new(what: &str) -> Self {
        let mut parts = Self(Sha256::new());
        parts.add(what.as_bytes());
        parts
    }

    fn add(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    fn end(self) -> Vec<u8> {
        self.0.finalize().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::wire::proto::{DownloadableFile, Header, Headers};

    fn offer() -> PackageAvailable {
        let file = DownloadableFile {
            download_url: "https://a.example/f".into(),
            content_hash: vec![7; 32],
            signature: b"signed".to_vec(),
            headers: Some(Headers { headers: vec![Header { key: "X-Key".into(), value: "abc".into() }] }),
        };
        PackageAvailable { r#type: 0, version: "0.150.0".into(), file: Some(file), hash: Vec::new() }
    }

    #[test]
    fn s_pk_03_04_the_hash_of_a_package_is_of_each_field_and_of_nothing_else() {
        let with = |change: fn(&mut PackageAvailable)| {
            let mut other = offer();
            change(&mut other);
            hash("otelcol", &other)
        };
        let changed = [
            hash("otelco", &offer()),
            hash("otelcol", &PackageAvailable { file: None, ..offer() }),
            with(|_| {}),
            with(|offer| offer.r#type = 1),
            with(|offer| offer.version = "0.150.1".into()),
            with(|offer| offer.file.as_mut().unwrap().download_url.push('g')),
            with(|offer| offer.file.as_mut().unwrap().content_hash = vec![8; 32]),
            with(|offer| offer.file.as_mut().unwrap().content_hash.clear()),
            with(|offer| offer.file.as_mut().unwrap().signature = b"signe".to_vec()),
            with(|offer| offer.file.as_mut().unwrap().headers = None),
            with(|offer| {
                let headers = offer.file.as_mut().unwrap().headers.as_mut().unwrap();
                headers.headers[0] = Header { key: "X-Keya".into(), value: "bc".into() };
            }),
            // Bytes that moved from one field to the next are another package.
            with(|offer| {
                offer.version = "0.150.".into();
                offer.file.as_mut().unwrap().download_url = "0https://a.example/f".into();
            }),
        ];
        assert_eq!(changed.iter().collect::<BTreeSet<_>>().len(), changed.len());
        assert!(changed.iter().all(|hash| hash.len() == 32), "S-PK-03");
        assert_eq!(with(|_| {}), with(|offer| offer.hash = vec![1]), "of itself, it is none");
    }

    #[test]
    fn s_pk_02_03_the_hash_of_all_packages_is_of_their_names_and_hashes_in_any_order() {
        let (one, two) = ([1; 32], [2; 32]);
        let all = |pairs: &[(&'static str, [u8; 32])]| {
            hash_of_all(pairs.iter().map(|(name, hash)| (*name, hash.as_slice())))
        };
        assert_eq!(all(&[("a", one), ("b", two)]), all(&[("b", two), ("a", one)]));
        let different = [
            all(&[]),
            all(&[("a", one)]),
            all(&[("b", one)]),
            all(&[("a", one), ("b", two)]),
            all(&[("a", two), ("b", one)]),
        ];
        assert_eq!(different.iter().collect::<BTreeSet<_>>().len(), different.len());
        assert!(different.iter().all(|hash| hash.len() == 32));
    }
}
