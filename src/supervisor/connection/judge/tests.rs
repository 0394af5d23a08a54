use std::{fs, path::Path};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;
use crate::{
    supervisor::{
        config::{Pem, Sources, parse},
        connection::over::digest,
        mask::Mask,
    },
    wire::proto::{Header, ProxyConnectionSettings},
};

/// 2026-11-21
const NOW: i64 = 1_795_219_200;

fn file(lines: &str) -> ServerConfig {
    let text = format!("server:\n  endpoint: wss://one.example/v1\n{lines}agent: {{executable: /bin/c}}\n");
    let read = |path: &Path| fs::read_to_string(path);
    let sources = Sources { env: &|_| None, read: &read, stat: &|_| Ok(()) };
    parse(&text, "s.yaml", sources).unwrap().config.server
}

fn judged(
    file: &ServerConfig,
    valid: Option<&Settings>,
    offer: &OpAmpConnectionSettings,
) -> Result<Settings, Unfit> {
    let ground = Ground { file, valid, keys: Vec::new(), now: NOW, forgetful: false };
    ground.judge(&SettingsHash(vec![1]), digest(file), offer)
}

fn to(endpoint: &str) -> OpAmpConnectionSettings {
    OpAmpConnectionSettings { destination_endpoint: endpoint.into(), ..Default::default() }
}

fn with_tls(tls: TlsConnectionSettings) -> OpAmpConnectionSettings {
    OpAmpConnectionSettings { tls: Some(tls), ..Default::default() }
}

fn certificate(from: i32, until: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["agent".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn with_certificate((cert, key): &(String, String)) -> OpAmpConnectionSettings {
    let certificate =
        TlsCertificate { cert: cert.clone().into(), private_key: key.clone().into(), ..Default::default() };
    OpAmpConnectionSettings { certificate: Some(certificate), ..Default::default() }
}

#[test]
fn c_ct_10_nothing_is_taken_away_from_how_the_connection_is_secured() {
    let plain = file("");
    for weaker in ["ws://one.example/v1", "http://two.example/v1"] {
        assert!(matches!(judged(&plain, None, &to(weaker)), Err(Unfit::NoTls(_))), "{weaker}");
    }
    let skip = TlsConnectionSettings { insecure_skip_verify: true, ..Default::default() };
    assert_eq!(judged(&plain, None, &with_tls(skip.clone())), Err(Unfit::SkipVerify));
    let lab = file("  tls: {insecure_skip_verify: true}\n");
    let kept = judged(&lab, None, &with_tls(skip)).unwrap();
    assert!(over(&lab, Some(&kept)).tls.insecure_skip_verify, "what the file allows may be offered");
    let stricter = judged(&lab, None, &with_tls(TlsConnectionSettings::default())).unwrap();
    assert!(!over(&lab, Some(&stricter)).tls.insecure_skip_verify);
    assert!(!over(&plain, Some(&kept)).tls.insecure_skip_verify, "and not where the file has changed since");

    let strict = file("  tls: {min_version: '1.3'}\n");
    let min = |min: &str| with_tls(TlsConnectionSettings { min_version: min.into(), ..Default::default() });
    for low in ["1.2", "TLSv1.2", "1.0", "TLSv1.1"] {
        let why = judged(&strict, None, &min(low)).unwrap_err();
        assert!(matches!(why, Unfit::LowVersion("min_version", _, "1.3")), "{low}: {why:?}");
        assert!(why.to_string().contains("server.tls.min_version"), "{why}");
    }
    assert!(matches!(judged(&strict, None, &min("SSLv3")), Err(Unfit::Version(..))));
    for same in ["1.3", "TLSv1.3", ""] {
        let settings = judged(&strict, None, &min(same)).unwrap();
        assert_eq!(over(&strict, Some(&settings)).tls.min_version, TlsVersion::V1_3, "{same}");
    }
    let raised = judged(&plain, None, &min("TLSv1.3")).unwrap();
    assert_eq!(over(&plain, Some(&raised)).tls.min_version, TlsVersion::V1_3);
    let max =
        TlsConnectionSettings { min_version: "1.3".into(), max_version: "1.2".into(), ..Default::default() };
    assert_eq!(judged(&plain, None, &with_tls(max)), Err(Unfit::Versions));
}

#[test]
fn c_ct_02_08_09_12_what_an_offer_leaves_out_stays_and_a_certificate_is_shown_where_it_was_meant_for() {
    let file = file("  headers: {X-Token: old}\n  tls: {ca_pem: theirs, server_name_override: one}\n");
    let first = certificate(2025, 2040);
    let mut offer = with_certificate(&first);
    offer.headers =
        Some(Headers { headers: vec![Header { key: "Authorization".into(), value: "new".into() }] });
    offer.heartbeat_interval_seconds = 7;
    let one = judged(&file, None, &offer).unwrap();
    let laid = over(&file, Some(&one));
    assert_eq!(laid.headers.keys().collect::<Vec<_>>(), ["Authorization"], "headers replace all headers");
    assert_eq!((&laid.endpoint, &laid.tls.ca), (&file.endpoint, &file.tls.ca));
    assert_eq!(one.heartbeat_seconds, Some(7));

    let ca = TlsConnectionSettings { ca_pem_contents: first.0.clone(), ..Default::default() };
    let two = judged(&file, Some(&one), &with_tls(ca)).unwrap();
    assert_eq!((&two.headers, &two.certificate), (&one.headers, &one.certificate));
    let no_ca = TlsConnectionSettings { min_version: "1.3".into(), ..Default::default() };
    let three = judged(&file, Some(&two), &with_tls(no_ca)).unwrap();
    assert_eq!(three.tls.unwrap().ca_pem, Some(first.0.clone()), "the system's CAs would be more");

    let same = judged(&file, Some(&two), &to("https://one.example:443/other")).unwrap();
    assert_eq!(same.certificate, two.certificate, "another path, the same server");
    assert_eq!(over(&file, Some(&same)).tls.server_name_override.as_deref(), Some("one"));
    let other = judged(&file, Some(&two), &to("wss://two.example/v1")).unwrap();
    assert_eq!((other.certificate, &other.headers), (None, &two.headers));
    assert_eq!(over(&file, Some(&two)).tls.server_name_override.as_deref(), Some("one"));
    assert!(!format!("{two:?}").contains("PRIVATE KEY") && !format!("{two:?}").contains("new"));
}

#[test]
fn c_ct_01_b_ct_01_a_certificate_that_cannot_be_used_is_refused_with_the_reason() {
    let file = file("");
    let (good, other) = (certificate(2025, 2040), certificate(2025, 2040));
    judged(&file, None, &with_certificate(&good)).unwrap();
    let expired = judged(&file, None, &with_certificate(&certificate(2020, 2025))).unwrap_err();
    assert!(matches!(expired, Unfit::Expired(_)) && expired.to_string().contains("2025-01-01"), "{expired}");
    let early = judged(&file, None, &with_certificate(&certificate(2030, 2040))).unwrap_err();
    assert!(matches!(early, Unfit::NotYet(_)));
    for garbage in ["", "garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let why = judged(&file, None, &with_certificate(&(garbage.into(), good.1.clone())));
        assert!(matches!(why, Err(Unfit::Cert(_))), "{garbage}: {why:?}");
    }
    for (key, what) in [(&other.1, "another"), (&"garbage".to_owned(), "none")] {
        let why = judged(&file, None, &with_certificate(&(good.0.clone(), key.clone())));
        assert!(matches!(why, Err(Unfit::Key(_))), "{what}: {why:?}");
    }
}

/// N6: the answer to a CSR has the certificate alone.
#[test]
fn c_ct_07_the_ca_that_comes_with_a_certificate_is_no_authority() {
    let file = file("  tls: {ca_file: /etc/ca.pem}\n");
    let mut offer = with_certificate(&certificate(2020, 2040));
    let (ca, _) = certificate(2020, 2040);
    offer.certificate.as_mut().unwrap().ca_cert = ca.clone().into();
    let settings = judged(&file, None, &offer).unwrap();
    let server = over(&file, Some(&settings));
    assert!(server.tls.identity.is_some());
    assert_eq!(server.tls.ca, Some(Pem::File("/etc/ca.pem".into())), "whom to believe is as the file says");
    assert!(!serde_json::to_string(&settings).unwrap().contains(ca.trim()), "it is not even kept");
}

#[test]
fn c_cr_02_s_cr_02_a_certificate_without_a_key_is_for_a_key_of_this_agent() {
    let file = file("");
    let (mine, other) = (certificate(2025, 2040), certificate(2025, 2040));
    let by = Some(InstanceUid::from_bytes([7; 16]));
    let keys = vec![(Secret::new(other.1.clone()), None), (Secret::new(mine.1.clone()), by)];
    let ground = Ground { file: &file, valid: None, keys, now: NOW, forgetful: false };
    let hash = SettingsHash(vec![1]);
    let issued = with_certificate(&(mine.0.clone(), String::new()));
    let settings = ground.judge(&hash, String::new(), &issued).unwrap();
    let issued = settings.certificate.unwrap();
    assert_eq!((issued.key_pem.expose(), issued.requested_by), (mine.1.as_str(), by));
    let stranger = with_certificate(&(certificate(2025, 2040).0, String::new()));
    assert_eq!(ground.judge(&hash, String::new(), &stranger), Err(Unfit::NoKey));
}

#[test]
fn c_cs_08_a_certificate_is_refused_where_it_would_be_forgotten() {
    let file = file("");
    let ground = Ground { file: &file, valid: None, keys: Vec::new(), now: NOW, forgetful: true };
    let offer = with_certificate(&certificate(2025, 2040));
    assert_eq!(ground.judge(&SettingsHash(vec![1]), String::new(), &offer), Err(Unfit::Forgetful));
    ground.judge(&SettingsHash(vec![1]), String::new(), &to("wss://two.example/v1")).unwrap();
}

#[test]
fn c_hb_04_06_08_zero_stops_heartbeats_and_does_not_stop_polls() {
    let file = file("");
    let every = |seconds, endpoint: &str| OpAmpConnectionSettings {
        heartbeat_interval_seconds: seconds,
        ..to(endpoint)
    };
    let seven = judged(&file, None, &every(7, "wss://one.example/v1")).unwrap();
    assert_eq!(seven.heartbeat_seconds, Some(7));
    let none = judged(&file, Some(&seven), &every(0, "")).unwrap();
    assert_eq!(none.heartbeat_seconds, Some(0));
    let polls = judged(&file, Some(&seven), &every(0, "https://one.example/v1")).unwrap();
    assert_eq!(polls.heartbeat_seconds, Some(7), "a poll period stays");
}

#[test]
fn an_offer_that_makes_no_sense_is_refused_without_its_secrets() {
    let file = file("");
    for (bad, shown) in
        [("nonsense", "nonsense"), ("ftp://user:s3cret@h/", "ftp"), ("wss://user:s3cret@/", "wss")]
    {
        let why = judged(&file, None, &to(bad)).unwrap_err().to_string();
        assert!(why.contains(shown) && !why.contains("s3cret"), "{why}");
    }
    let named = |name: &str, value: &str| OpAmpConnectionSettings {
        headers: Some(Headers { headers: vec![Header { key: name.into(), value: value.into() }] }),
        ..Default::default()
    };
    for bad in ["", "a b", "Host", "Sec-WebSocket-Key", "Content-Length"] {
        assert!(matches!(judged(&file, None, &named(bad, "s3cret")), Err(Unfit::Header(_))), "{bad}");
    }
    assert!(matches!(judged(&file, None, &named("X", "line\nbreak")), Err(Unfit::Header(_))));
    let huge = named("X", &"x".repeat(MOST_BYTES));
    assert_eq!(judged(&file, None, &huge), Err(Unfit::TooLarge));
    let ca =
        |pem: &str| with_tls(TlsConnectionSettings { ca_pem_contents: pem.into(), ..Default::default() });
    assert_eq!(judged(&file, None, &ca("garbage")), Err(Unfit::Ca));
    let suites = |name: &str| {
        with_tls(TlsConnectionSettings { cipher_suites: vec![name.into()], ..Default::default() })
    };
    for bad in ["TLS_NO_SUCH_SUITE", "TLS_RSA_WITH_AES_128_CBC_SHA"] {
        assert!(matches!(judged(&file, None, &suites(bad)), Err(Unfit::CipherSuites(_))), "{bad}");
    }
    for bad in ["", "ftp://proxy.example", "http://"] {
        let refused = judged(&file, None, &through(bad, "x"));
        assert!(matches!(refused, Err(Unfit::Proxy(_))), "{bad}");
    }
    assert!(matches!(judged(&file, None, &through("proxy.example:1", "a\nb")), Err(Unfit::Header(_))));
}

fn through(url: &str, header: &str) -> OpAmpConnectionSettings {
    let headers = vec![Header { key: "X-Team".into(), value: header.into() }];
    let proxy = ProxyConnectionSettings { url: url.into(), connect_headers: Some(Headers { headers }) };
    OpAmpConnectionSettings { proxy: Some(proxy), ..Default::default() }
}

#[test]
fn c_ct_11_12_a_proxy_is_replaced_whole_and_kept_when_absent() {
    let file = file("  proxy_url: 'http://files.example:3128'\n");
    let first = judged(&file, None, &through("http://u:p%40ssw0rd@one.example:8080", "alphabet")).unwrap();
    let server = over(&file, Some(&first));
    let proxy = server.proxy.clone().unwrap();
    assert_eq!((proxy.url().host_str(), proxy.connect_headers().len()), (Some("one.example"), 1));
    let mut mask = Mask::default();
    mask.know_server(&server);
    assert_eq!(mask.text("p@ssw0rd p%40ssw0rd alphabet"), "[REDACTED] [REDACTED] [REDACTED]");
    let kept = judged(&file, Some(&first), &to("wss://two.example/v1")).unwrap();
    assert_eq!(kept.proxy, first.proxy);
    let mut plain = through("two.example:3128", "");
    plain.proxy.as_mut().unwrap().connect_headers = None;
    let second = over(&file, Some(&judged(&file, Some(&first), &plain).unwrap())).proxy.unwrap();
    assert_eq!((second.url().host_str(), second.connect_headers().len()), (Some("two.example"), 0));
    assert_eq!(over(&file, None).proxy.unwrap().url().host_str(), Some("files.example"));
}

#[test]
fn c_ct_10_offered_cipher_suites_are_those_of_the_connection() {
    let file = file("");
    let suite = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384";
    let tls = TlsConnectionSettings { cipher_suites: vec![suite.into()], ..Default::default() };
    let settings = judged(&file, None, &with_tls(tls)).unwrap();
    assert_eq!(over(&file, Some(&settings)).tls.cipher_suites, [suite.parse().unwrap()]);
}

#[test]
fn another_server_in_the_file_is_noticed_and_the_same_one_is_not() {
    let first = digest(&file(""));
    assert_eq!(first, digest(&file("  tls: {insecure_skip_verify: false}\n")));
    for other in ["  headers: {A: b}\n", "  tls: {ca_file: /ca}\n", "  tls: {min_version: '1.3'}\n"] {
        assert_ne!(first, digest(&file(other)), "{other}");
    }
}

#[test]
fn c_se_01_what_is_longer_or_more_than_there_is_use_for_is_refused_in_few_words() {
    let file = file("");
    let long = "x".repeat(100_000);
    let digit = |number: usize| char::from_digit((number % 36) as u32, 36).unwrap();
    let many = |count: usize| {
        let name = |number: usize| [digit(number / 1296), digit(number / 36), digit(number)].iter().collect();
        let header = |number| Header { key: name(number), value: String::new() };
        Some(Headers { headers: (0..count).map(header).collect() })
    };
    let names = many(33_000).unwrap();
    assert!(names.encoded_len() < MOST_BYTES);
    let proxy = |url: &str, connect_headers| OpAmpConnectionSettings {
        proxy: Some(ProxyConnectionSettings { url: url.into(), connect_headers }),
        ..Default::default()
    };
    let tls = |min: &str, suite: &str| {
        with_tls(TlsConnectionSettings {
            min_version: min.into(),
            cipher_suites: vec![suite.into()],
            ..Default::default()
        })
    };
    let named = Headers { headers: vec![Header { key: format!("{long}:"), value: String::new() }] };
    let refused = [
        to(&format!("wss://one.example/{long}")),
        to(&format!("{long}://one.example/")),
        proxy(&format!("http://{long}:1"), None),
        proxy(&format!("{long}://one.example:1"), None),
        // As many names make the map of headers panic.
        proxy("proxy:1", Some(names)),
        OpAmpConnectionSettings { headers: many(65), ..Default::default() },
        OpAmpConnectionSettings { headers: Some(named), ..Default::default() },
        tls(&long, "TLS_AES_128_GCM_SHA256"),
        tls("", &long),
        tls("", &format!("TLS_AES_128_GCM_SHA256{}x", " ".repeat(200))),
    ];
    for offer in refused {
        let why = judged(&file, None, &offer).unwrap_err().to_string();
        assert!(why.len() < 1000, "{} bytes: {why}", why.len());
    }
    let most = OpAmpConnectionSettings { headers: many(64), ..Default::default() };
    assert!(judged(&file, None, &most).is_ok());
}
