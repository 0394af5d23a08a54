//! `server.proxy_url`, `server.proxy_connect_headers`, and what of `server.tls` is chosen by name.

use std::time::Duration;

use crate::support::{bad, config, notices, with};

#[test]
fn a_proxy_with_its_credentials_and_headers() {
    let proxy = |lines: &str| config(&with(lines, "", "")).server.proxy;
    let set = proxy("proxy_url: http://u:hush1@proxy:3128\nproxy_connect_headers: {X-Key: hush2}").unwrap();
    assert_eq!(set.to_string(), "http://proxy:3128");
    assert_eq!(set.url().password(), Some("hush1"));
    assert_eq!(set.connect_headers()["x-key"], "hush2");
    assert!(!format!("{set:?}").contains("hush"), "{set:?}");
    assert_eq!(proxy("proxy_url: proxy:8080").unwrap().to_string(), "http://proxy:8080");
    assert_eq!(proxy("proxy_url: ''"), None);
}

#[test]
fn what_names_no_proxy_is_told_without_the_password() {
    for (lines, expected) in [
        (
            "proxy_url: ftp://u:hush@proxy",
            "3:3: server.proxy_url: scheme \"ftp\" is not spoken; there are http, https, socks5 and socks5h",
        ),
        ("proxy_url: 'http://u:hush@:80'", "3:3: server.proxy_url: it cannot be read: empty host"),
        (
            "proxy_url: a\nproxy_connect_headers: {'A B': hush}",
            "4:27: server.proxy_connect_headers: \"A B\" is no HTTP header name",
        ),
    ] {
        let said = bad(&with(lines, "", ""));
        assert!(said[0].contains(expected) && !said[0].contains("hush"), "{said:?}");
    }
    let without = notices(&with("proxy_connect_headers: {A: b}", "", ""));
    assert_eq!(without, ["3:3: server.proxy_connect_headers has no effect without server.proxy_url"]);
    let socks = notices(&with("proxy_url: socks5://p\nproxy_connect_headers: {A: b}", "", ""));
    assert_eq!(socks, ["4:3: server.proxy_connect_headers has no effect: a SOCKS proxy takes no headers"]);
}

#[test]
fn server_tls_counts_toward_a_proxy_behind_tls_even_for_a_plain_server() {
    let plain = "server:\n  endpoint: ws://h/\n  proxy_url: https://p\n  tls: {ca_file: /ca}\nagent: {executable: /col}\n";
    assert_eq!(notices(plain), Vec::<String>::new());
}

#[test]
fn what_tls_may_use_is_chosen_by_name_and_its_files_are_looked_at_in_time() {
    let tls = config(&with(
        "tls: {cipher_suites: [TLS_AES_128_GCM_SHA256], curve_preferences: [P384, X25519], reload_interval: 90s}",
        "",
        "",
    ));
    let tls = tls.server.tls;
    assert_eq!((tls.cipher_suites.len(), tls.curves.len()), (1, 2));
    assert_eq!(tls.reload_interval, Some(Duration::from_secs(90)));
    for (lines, expected) in [
        (
            "tls: {cipher_suites: [TLS_NULL]}",
            "cipher suite \"TLS_NULL\" is not known; there are TLS_AES_256_GCM_SHA384",
        ),
        (
            "tls: {curve_preferences: [P521]}",
            "nothing of curve_preferences is left: curve \"P521\" is not spoken here",
        ),
        ("tls: {reload_interval: -1s}", "server::tls::reload_interval must be a positive time or 0"),
    ] {
        let said = bad(&with(lines, "", ""));
        assert!(said[0].contains(expected), "{said:?}");
    }
}

#[test]
fn b_lm_01_02_the_limits_of_messages_are_set_in_mib() {
    let limits = |lines: &str| config(&with(lines, "", "")).server.limits;
    assert_eq!((limits("").receive, limits("").send), (64 << 20, 4 << 20));
    let set = limits("max_recv_msg_size_mib: 1\nmax_send_msg_size_mib: 16");
    assert_eq!((set.receive, set.send), (1 << 20, 16 << 20));
    for wrong in ["0", "-1", "1025"] {
        let said = bad(&with(&format!("max_recv_msg_size_mib: {wrong}"), "", ""));
        let expected = format!("3:3: server.max_recv_msg_size_mib must be 1 to 1024, in MiB, got {wrong}");
        assert!(said[0].contains(&expected), "{said:?}");
    }
}
