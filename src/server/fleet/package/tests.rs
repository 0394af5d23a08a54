//! What is written of packages, and what is refused with which words.

use std::io::Cursor;

use minisign::KeyPair;
use serde_json::{Value, json};

use super::*;

const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const OTHER: &str = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn signature(comment: &str) -> String {
    let pair = KeyPair::generate_unencrypted_keypair().unwrap();
    let signed = minisign::sign(None, &pair.sk, Cursor::new(b"x"), Some(comment), None);
    signed.unwrap().into_string()
}

fn comment() -> String {
    format!(
        "name=otelcol version=0.150.0 os=linux arch=amd64 sha256={HASH} size=7 expires=2027-01-01T00:00:00Z epoch=1"
    )
}

/// With the one file there is, of 7 bytes.
fn check(name: &str, spec: Value) -> Result<AgentPackageSpec, Invalid> {
    let spec: AgentPackageSpec =
        serde_json::from_value(spec).map_err(|error| Invalid::new("spec", error.to_string()))?;
    spec.check(name, |file| (file.to_string() == HASH).then_some(7)).map(|()| spec)
}

fn with(variant: &Value) -> Value {
    let mut whole = json!({"os": "linux", "arch": "amd64"});
    whole.as_object_mut().unwrap().extend(variant.as_object().unwrap().clone());
    json!({"packageType": "TopLevel", "version": "0.150.0", "variants": [whole]})
}

fn single(more: &Value) -> Value {
    let url = "https://a.example/f";
    let mut spec = json!({"packageType": "AddOn", "version": "1", "downloadUrl": url});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

#[test]
fn both_forms_are_taken_and_shown_as_they_were_written() {
    let url = "https://mirror.example/otelcol.tar.gz";
    let signed = signature(&comment());
    for spec in [
        with(&json!({"file": HASH})),
        with(&json!({"file": HASH, "signature": signed})),
        with(&json!({"downloadUrl": url, "contentHash": HASH, "headers": {"Authorization": "Bearer x"}})),
    ] {
        let shown = serde_json::to_value(check("otelcol", spec.clone()).unwrap()).unwrap();
        assert_eq!(shown["variants"], spec["variants"]);
    }
    let named = check("otelcol", with(&json!({"file": HASH}))).unwrap();
    assert_eq!(named.files().map(|file| file.to_string()).collect::<Vec<_>>(), [HASH]);
    let nothing =
        json!({"contentHash": null, "signature": "", "headers": null, "hash": "YWJj", "variants": null});
    for (kind, shown) in
        [("TopLevel", "TopLevel"), ("top-level", "TopLevel"), ("addon", "AddOn"), ("AddOn", "AddOn")]
    {
        let mut spec = single(&nothing);
        spec["packageType"] = json!(kind);
        let taken = serde_json::to_value(check("geoip", spec).unwrap()).unwrap();
        assert_eq!(
            taken,
            json!({"packageType": shown, "version": "1", "downloadUrl": "https://a.example/f", "contentHash": "",
                "signature": "", "headers": null, "hash": "YWJj"})
        );
    }
}

#[test]
fn what_is_wrong_is_refused_with_its_place_and_what_to_do() {
    let variants = |variants: Value| json!({"packageType": "TopLevel", "version": "1", "variants": variants});
    let both = [json!({"os": "linux", "arch": "amd64", "file": HASH})];
    let url = "https://a.example/f";
    for (spec, field, told) in [
        (variants(json!([])), "spec.variants", "give one for each kind of host"),
        (single(&json!({"version": ""})), "spec.version", "0.150.0"),
        (single(&json!({"version": "a b"})), "spec.version", "0.150.0"),
        (single(&json!({"downloadUrl": "file:///etc/passwd"})), "spec.downloadUrl", "https://"),
        (single(&json!({"contentHash": "a?"})), "spec.contentHash", "base64"),
        (single(&json!({"headers": {"a b": "c"}})), "spec.headers.a b", "header name"),
        (single(&json!({"variants": both})), "spec.downloadUrl", "put it into each variant"),
        (variants(json!([both[0], both[0]])), "spec.variants[1]", "second one for linux on amd64"),
        (with(&json!({"file": OTHER})), "spec.variants[0].file", "POST it to /api/v1/packagefiles first"),
        (with(&json!({"file": "../server.db"})), "spec", "64 hexadecimal digits"),
        (with(&json!({"file": HASH.to_uppercase().replace('0', "A")})), "spec", "64 hexadecimal digits"),
        (with(&json!({})), "spec.variants[0].file", "give that of an upload"),
        (with(&json!({"file": HASH, "downloadUrl": url})), "spec.variants[0].file", "one or the other"),
        (with(&json!({"file": HASH, "headers": {"A": "b"}})), "spec.variants[0].headers", "needs none"),
        (with(&json!({"downloadUrl": url})), "spec.variants[0].contentHash", "SHA-256"),
        (
            with(&json!({"downloadUrl": "ftp://a/f", "contentHash": HASH})),
            "spec.variants[0].downloadUrl",
            "https://",
        ),
        (with(&json!({"file": HASH, "arch": "x86_64"})), "spec.variants[0].arch", "agents call amd64"),
        (with(&json!({"file": HASH, "os": "Linux"})), "spec.variants[0].os", "agents say linux"),
        (with(&json!({"file": HASH, "signatur": "x"})), "spec", "unknown field `signatur`"),
        (with(&json!({"file": HASH, "signature": "x"})), "spec.variants[0].signature", "minisign"),
    ] {
        let refused = check("otelcol", spec.clone()).unwrap_err();
        assert!(refused.field == field && refused.message.contains(told), "{spec}: {refused}");
    }
    let many = check("otelcol", variants(json!(vec![both[0].clone(); 65]))).unwrap_err();
    assert_eq!(many.to_string(), "spec.variants: are 65; a package may have 64");
    let long = check(&"x".repeat(65), single(&json!({}))).unwrap_err();
    assert_eq!(long.field, "metadata.name");
}

#[test]
fn a_signature_of_something_else_is_refused_before_any_host_has_to() {
    for (from, to, told) in [
        ("name=otelcol", "name=other", "name=other, and here it is otelcol"),
        ("version=0.150.0", "version=0.149.0", "version=0.149.0, and here it is 0.150.0"),
        ("os=linux", "os=darwin", "os=darwin, and here it is linux"),
        ("arch=amd64", "arch=arm64", "arch=arm64, and here it is amd64"),
        (HASH, OTHER, OTHER),
        ("size=7", "size=8", "size=8, and here it is 7"),
        (" epoch=1", "", "no `epoch=`"),
    ] {
        let signature = signature(&comment().replace(from, to));
        let refused = check("otelcol", with(&json!({"file": HASH, "signature": signature}))).unwrap_err();
        assert_eq!(refused.field, "spec.variants[0].signature");
        assert!(refused.message.contains(told), "{refused}");
    }
    // Of what lies elsewhere the size is not known.
    let url = "https://a.example/f";
    let signature = signature(&comment().replace("size=7", "size=8"));
    let elsewhere = json!({"downloadUrl": url, "contentHash": HASH, "signature": signature});
    check("otelcol", with(&elsewhere)).unwrap();
}

#[test]
fn a_path_is_made_of_nothing_but_digits() {
    let hash: FileHash = HASH.parse().unwrap();
    assert_eq!((hash.to_string().as_str(), hash.0[1]), (HASH, 0x11));
    for text in
        ["", "..", "../x", &HASH[1..], &format!("{HASH}0"), &format!("+{}", &HASH[1..]), &"AA".repeat(32)]
    {
        assert!(text.parse::<FileHash>().is_err(), "{text}");
    }
}

#[test]
fn headers_are_not_in_debug() {
    let spec = check("geoip", single(&json!({"headers": {"Authorization": "Bearer hush"}}))).unwrap();
    let shown = format!("{spec:?}");
    assert!(shown.contains("Authorization") && !shown.contains("hush"), "{shown}");
}
