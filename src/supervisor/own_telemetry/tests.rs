//! Offers of own telemetry, without a Collector.

use std::path::Path;

use serde_json::json;

use super::{layer::layer, *};
use crate::wire::proto::{
    ConnectionSettingsOffers, Header as WireHeader, Headers, ProxyConnectionSettings,
    TelemetryConnectionSettings, TlsCertificate, TlsConnectionSettings,
};

fn to(endpoint: &str) -> TelemetryConnectionSettings {
    TelemetryConnectionSettings { destination_endpoint: endpoint.into(), ..Default::default() }
}

fn with_header(endpoint: &str, name: &str, value: &str) -> TelemetryConnectionSettings {
    let headers = vec![WireHeader { key: name.into(), value: value.into() }];
    TelemetryConnectionSettings { headers: Some(Headers { headers }), ..to(endpoint) }
}

fn metrics(own_metrics: TelemetryConnectionSettings) -> ConnectionSettingsOffers {
    ConnectionSettingsOffers { own_metrics: Some(own_metrics), ..Default::default() }
}

fn logs(own_logs: TelemetryConnectionSettings) -> ConnectionSettingsOffers {
    ConnectionSettingsOffers { own_logs: Some(own_logs), ..Default::default() }
}

fn refused(offered: TelemetryConnectionSettings) -> String {
    merge(&OwnTelemetry::default(), &metrics(offered)).unwrap_err()
}

/// A certificate of its own with its key, PEM.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn c_cs_01_c_ot_01_a_class_that_is_unset_goes_where_it_went() {
    let first = merge(&OwnTelemetry::default(), &metrics(to("http://a/v1/metrics"))).unwrap();
    let both = merge(&first, &logs(to("http://b/v1/logs"))).unwrap();
    assert_eq!((&both.metrics, &both.traces), (&first.metrics, &None));
    assert_eq!(both.logs.as_ref().unwrap().endpoint, "http://b/v1/logs");
    assert_eq!(merge(&both, &ConnectionSettingsOffers::default()).unwrap(), both);
    let back = merge(&both, &logs(TelemetryConnectionSettings::default())).unwrap();
    assert_eq!(back, first, "without an endpoint, the server's word is taken back");
}

#[test]
fn c_ot_09_what_goes_over_tls_is_not_weakened_and_a_plain_endpoint_is_taken_otherwise() {
    let plain = merge(&OwnTelemetry::default(), &metrics(to("http://a/v1/metrics"))).unwrap();
    let secure = merge(&plain, &metrics(to("https://a/v1/metrics"))).unwrap();
    let why = merge(&secure, &metrics(to("http://a/v1/metrics"))).unwrap_err();
    assert!(why.contains("own_metrics: it goes over TLS now"), "{why}");
    assert!(merge(&secure, &logs(to("http://a/v1/logs"))).is_ok(), "another signal");
}

#[test]
fn what_cannot_be_honoured_is_refused_with_its_reason_and_all_reasons_are_told() {
    let url = "https://a/v1/metrics";
    let tls = |tls| refused(TelemetryConnectionSettings { tls: Some(tls), ..to(url) });
    let none = TlsConnectionSettings::default;
    assert!(
        tls(TlsConnectionSettings { insecure_skip_verify: true, ..none() }).contains("insecure_skip_verify")
    );
    assert!(
        tls(TlsConnectionSettings { min_version: "TLSv1.3".into(), ..none() }).contains("min_version 1.3")
    );
    assert!(tls(TlsConnectionSettings { max_version: "1.2".into(), ..none() }).contains("max_version 1.2"));
    assert!(
        tls(TlsConnectionSettings { cipher_suites: vec!["X".into()], ..none() }).contains("cipher_suites")
    );
    assert!(tls(TlsConnectionSettings { ca_pem_contents: "x".into(), ..none() }).contains("certificate"));
    let proxy = Some(ProxyConnectionSettings { url: "http://p:3128".into(), ..Default::default() });
    assert!(refused(TelemetryConnectionSettings { proxy, ..to(url) }).contains("HTTPS_PROXY in agent.env"));
    for (endpoint, why) in [
        ("a:4318", "http:// or https://"),
        ("grpc://a:4317", "http:// or https://"),
        ("https://me:pa55word@a/", "into headers"),
        ("not a url", "not a URL"),
    ] {
        let told = refused(to(endpoint));
        assert!(told.contains(why) && !told.contains("pa55word"), "{endpoint}: {told}");
    }
    for (name, why) in [("a b", "no header name"), ("Content-Type", "whoever sends")] {
        assert!(refused(with_header(url, name, "v")).contains(why), "{name}");
    }
    let told = refused(with_header(url, "Authorization", "Bearer s3cret\nX: y"));
    assert!(told.contains("Authorization") && !told.contains("s3cret"), "{told}");
    let cert = Some(TlsCertificate { cert: certificate().0.into(), ..Default::default() });
    assert!(
        refused(TelemetryConnectionSettings { certificate: cert, ..to(url) })
            .contains("private_key is missing")
    );
    let both = ConnectionSettingsOffers { own_logs: Some(to("x:")), ..metrics(to("y:")) };
    let why = merge(&OwnTelemetry::default(), &both).unwrap_err();
    assert!(why.contains("own_metrics: ") && why.contains("; own_logs: "), "{why}");
}

#[test]
fn c_ct_03_04_a_certificate_that_is_not_offered_again_is_forgotten_and_the_trusted_ca_stays() {
    let (cert, key) = certificate();
    let offered = TelemetryConnectionSettings {
        certificate: Some(TlsCertificate {
            cert: cert.clone().into(),
            private_key: key.clone().into(),
            ..Default::default()
        }),
        tls: Some(TlsConnectionSettings { ca_pem_contents: cert.clone(), ..Default::default() }),
        ..to("https://a/v1/metrics")
    };
    let first = merge(&OwnTelemetry::default(), &metrics(offered)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path().join("own"), None);
    store.put(&first).unwrap();
    let listed = || std::fs::read_dir(dir.path().join("own")).unwrap().count();
    assert_eq!(listed(), 3);
    let keys = layer(&first, store.dir());
    let otlp = &keys["metrics"]["readers"][0]["periodic"]["exporter"]["otlp"];
    for (name, contents) in [("certificate", &cert), ("client_certificate", &cert), ("client_key", &key)] {
        let path = otlp[name].as_str().unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), *contents, "{name}");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let next = merge(&first, &metrics(to("https://b/v1/metrics"))).unwrap();
    store.keep_only(&next);
    assert_eq!(listed(), 1, "the CA, because tls was not offered anew");
    let otlp = layer(&next, store.dir())["metrics"]["readers"][0]["periodic"]["exporter"]["otlp"].clone();
    assert!(otlp.get("client_key").is_none() && otlp.get("certificate").is_some(), "{otlp}");
}

#[test]
fn c_ot_02_06_the_layer_has_each_signal_that_is_set_escaped_and_nothing_else() {
    let value = "q\"uo'te: ${env:HOME} $x #";
    let own =
        merge(&OwnTelemetry::default(), &metrics(with_header("http://a/$p/v1/metrics", "X-Key", value)));
    let own = own.unwrap();
    let expected = json!({ "metrics": { "readers": [{ "periodic": {
        "interval": 10_000, "timeout": 3_000,
        "exporter": { "otlp": {
            "protocol": "http/protobuf", "endpoint": "http://a/$$p/v1/metrics", "timeout": 3_000,
            "headers": [{ "name": "X-Key", "value": "q\"uo'te: $${env:HOME} $$x #" }],
        }},
    }}]}});
    assert_eq!(serde_json::Value::Object(layer(&own, Path::new("/d"))), expected);
    let own = merge(&own, &logs(to("http://a/v1/logs"))).unwrap();
    let keys = layer(&own, Path::new("/d"));
    assert_eq!(keys.keys().collect::<Vec<_>>(), ["logs", "metrics"]);
    assert!(keys["logs"]["processors"][0]["batch"]["exporter"]["otlp"]["endpoint"] == "http://a/v1/logs");
}

#[test]
fn what_is_kept_comes_back_and_debug_shows_no_secret() {
    let own =
        merge(&OwnTelemetry::default(), &metrics(with_header("http://a/", "Authorization", "Bearer s3cret")));
    let own = own.unwrap();
    let kept = serde_json::to_string(&own).unwrap();
    assert!(kept.contains("\"secret\":\"Bearer s3cret\""), "under a name that masks know: {kept}");
    assert_eq!(serde_json::from_str::<OwnTelemetry>(&kept).unwrap(), own);
    assert!(!format!("{own:?}").contains("s3cret"));
    assert_eq!(own.secrets().count(), 1);
    let none = Capabilities { reports_own_metrics: false, ..Capabilities::default() };
    assert!(own.allowed(&none).is_empty() && !own.allowed(&Capabilities::default()).is_empty());
}
