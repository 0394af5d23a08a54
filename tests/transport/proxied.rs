//! Through proxies: Debian's `tinyproxy` with credentials, the same behind TLS, and `microsocks`.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener as Std},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use opamp::{
    protocol::backoff::Retry,
    transport::{
        DialError, DialFailure, Proxy, Target,
        http::HttpLink,
        tls::{Identity, TlsOptions},
        ws,
    },
    wire::proto::AgentToServer,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

use crate::{
    authority::{Authority, acceptor},
    peer::{Request, UID, Ws, listen, reply, soon, target},
};

/// A proxy as Debian ships it, for as long as this lives.
struct Running {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    async fn start(command: impl Fn(&PathBuf, u16) -> Command) -> Self {
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            let port = Std::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let mut command = command(&dir.path().to_owned(), port);
            let said = fs::File::create(dir.path().join("said")).unwrap();
            command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
            let child = command.spawn().expect("tests/run.sh installs tinyproxy and microsocks");
            let mut running = Self { child, port, dir };
            let listens = soon(async {
                let mut tick = tokio::time::interval(Duration::from_millis(20));
                loop {
                    tick.tick().await;
                    if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok() {
                        return true;
                    }
                    // Somebody else was faster with the port.
                    if running.child.try_wait().unwrap().is_some() {
                        return false;
                    }
                }
            });
            if listens.await {
                return running;
            }
        }
        panic!("the proxy does not listen");
    }

    async fn tinyproxy() -> Self {
        Self::start(|dir, port| {
            let config = dir.join("tinyproxy.conf");
            let log = dir.join("log");
            let text = format!(
                "Port {port}\nListen 127.0.0.1\nTimeout 60\nLogFile \"{}\"\nLogLevel Connect\nMaxClients 20\n\
                 Allow 127.0.0.1\nBasicAuth us3r pa55word\n",
                log.display()
            );
            fs::write(&config, text).unwrap();
            let mut command = Command::new("tinyproxy");
            command.arg("-d").arg("-c").arg(config);
            command
        })
        .await
    }

    async fn microsocks() -> Self {
        Self::start(|_, port| {
            let mut command = Command::new("microsocks");
            command.args(["-i", "127.0.0.1", "-u", "us3r", "-P", "pa55word", "-p", &port.to_string()]);
            command
        })
        .await
    }

    fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        read("log") + &read("said")
    }
}

fn through(mut target: Target, proxy: &str) -> Target {
    target.proxy = Some(Proxy::parse(proxy).unwrap());
    target
}

async fn ws_works(target: &Target, listener: &TcpListener) {
    let (link, mut server) =
        soon(async { tokio::join!(ws::connect(target, UID), Ws::accept(listener)) }).await;
    let mut link = link.unwrap();
    let report = AgentToServer { sequence_num: 5, ..Default::default() };
    link.send(&report).await.unwrap();
    assert_eq!(server.recv().await, report);
    server.send(&reply()).await;
    assert_eq!(soon(link.recv()).await.unwrap(), reply());
}

fn message() -> AgentToServer {
    AgentToServer { instance_uid: UID.to_vec(), ..Default::default() }
}

async fn http_works(target: &Target, listener: &TcpListener) -> String {
    let mut link = HttpLink::new(target);
    let message = message();
    let serve = async {
        let request = Request::accept(listener).await;
        let head = request.head.clone();
        request.answer(&reply()).await;
        head
    };
    let (answer, head) = soon(async { tokio::join!(link.exchange(&message), serve) }).await;
    assert_eq!(answer.unwrap(), reply());
    head
}

#[tokio::test]
async fn both_transports_go_through_a_proxy_that_asks_for_credentials() {
    let proxy = Running::tinyproxy().await;
    let url = format!("http://us3r:pa55word@127.0.0.1:{}", proxy.port);
    let (listener, port) = listen().await;
    ws_works(&through(target("ws", port), &url), &listener).await;
    let head = http_works(&through(target("http", port), &url), &listener).await;
    assert!(head.starts_with("POST /v1/opamp HTTP/1.1\r\n") && !head.contains("pa55word"), "{head}");
    assert!(!head.to_ascii_lowercase().contains("proxy-authorization"), "{head}");
    let log = proxy.log();
    assert!(log.contains(&format!("CONNECT 127.0.0.1:{port} HTTP/1.1")), "{log}");
    assert!(log.contains(&format!("POST http://127.0.0.1:{port}/v1/opamp HTTP/1.1")), "{log}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_with_what_to_do_and_without_the_password() {
    let proxy = Running::tinyproxy().await;
    let (_listener, port) = listen().await;
    for credentials in ["", "us3r:wr0ng@"] {
        let url = format!("http://{credentials}127.0.0.1:{}", proxy.port);
        let by_ws = soon(ws::connect(&through(target("ws", port), &url), UID)).await.unwrap_err();
        let mut link = HttpLink::new(&through(target("http", port), &url));
        let by_http = soon(link.exchange(&message())).await.unwrap_err();
        for (text, debug, retry) in [
            (by_ws.to_string(), format!("{by_ws:?}"), by_ws.retry()),
            (by_http.to_string(), format!("{by_http:?}"), by_http.retry()),
        ] {
            assert!(text.contains(&format!("http://127.0.0.1:{}", proxy.port)), "{text}");
            assert!(text.contains("credentials"), "{text}");
            assert!(!format!("{text} {debug}").contains("wr0ng"), "{debug}");
            assert_eq!(retry, Retry::Permanent, "{text}");
        }
    }
    // It takes the credentials, and cannot reach the server.
    let nobody = Std::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://us3r:pa55word@127.0.0.1:{}", proxy.port);
    let error = soon(ws::connect(&through(target("ws", nobody), &url), UID)).await.unwrap_err();
    assert!(error.to_string().contains("cannot reach the server"), "{error}");
    assert_eq!(error.retry(), Retry::Failed);
    // There is no proxy at all.
    let error = soon(ws::connect(&through(target("ws", port), &format!("127.0.0.1:{nobody}")), UID)).await;
    let error = error.unwrap_err();
    assert!(matches!(error.why, DialFailure::Proxy { .. }) && error.retry() == Retry::Failed, "{error}");
}

#[tokio::test]
async fn tls_goes_through_the_proxy_to_the_server_itself() {
    let proxy = Running::tinyproxy().await;
    let url = format!("http://us3r:pa55word@127.0.0.1:{}", proxy.port);
    let authority = Authority::new();
    let server = authority.issue("opamp.example");
    let (listener, port) = listen().await;
    let options = TlsOptions { ca_pem: Some(authority.pem()), ..Default::default() };
    let secure = |scheme, name: &str| {
        let mut target = through(target(scheme, port), &url);
        target.tls = Some(options.build().unwrap().into());
        target.server_name = Some(name.to_owned());
        target
    };
    let acceptor = acceptor(&server, None);
    let wss = secure("wss", "opamp.example");
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await.unwrap();
        tokio_tungstenite::accept_async(stream).await.unwrap()
    };
    let (link, _server) = soon(async { tokio::join!(ws::connect(&wss, UID), serve) }).await;
    link.unwrap();
    let mut https = HttpLink::new(&secure("https", "opamp.example"));
    let message = message();
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        Request::read(acceptor.accept(stream).await.unwrap()).await.answer(&reply()).await
    };
    let (answer, _stream) = soon(async { tokio::join!(https.exchange(&message), serve) }).await;
    assert_eq!(answer.unwrap(), reply());
    let log = proxy.log();
    assert!(log.matches(&format!("CONNECT 127.0.0.1:{port} HTTP/1.1")).count() >= 2, "{log}");
    // The proxy cannot pass itself off as the server.
    let other = secure("wss", "other.example");
    let serve = async { acceptor.accept(listener.accept().await.unwrap().0).await.map(drop) };
    let (refused, _) = soon(async { tokio::join!(ws::connect(&other, UID), serve) }).await;
    assert!(matches!(refused, Err(DialError { why: DialFailure::Tls(_), .. })), "{refused:?}");
}

/// TLS in front of a proxy, which wants a certificate of the client.
async fn tls_before(port: u16, authority: &Authority) -> (u16, AbortHandle) {
    let (listener, front) = listen().await;
    let acceptor = acceptor(&authority.issue("127.0.0.1"), Some(authority));
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                let mut proxy = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut proxy).await;
            });
        }
    });
    (front, task.abort_handle())
}

#[tokio::test]
async fn c_ct_13_the_connections_own_tls_settings_are_used_toward_the_proxy() {
    let proxy = Running::tinyproxy().await;
    let authority = Authority::new();
    let (front, task) = tls_before(proxy.port, &authority).await;
    let url = format!("https://us3r:pa55word@127.0.0.1:{front}");
    let me = authority.issue("agent");
    let identity = Identity { cert_pem: me.cert_pem.into(), key_pem: me.key_pem.into() };
    let bare = TlsOptions { ca_pem: Some(authority.pem()), ..Default::default() };
    let with = TlsOptions { identity: Some(identity), ..bare.clone() };
    let (listener, port) = listen().await;
    let secured = |scheme, options: &TlsOptions| {
        let mut target = through(target(scheme, port), &url);
        target.tls = Some(options.build().unwrap().into());
        target
    };
    ws_works(&secured("ws", &with), &listener).await;
    http_works(&secured("http", &with), &listener).await;
    // Without its certificate, or without trust in the proxy's, there is no way.
    let error = soon(ws::connect(&secured("ws", &bare), UID)).await.unwrap_err();
    assert!(error.to_string().contains("certificate of this client"), "{error}");
    assert_eq!(error.retry(), Retry::Permanent, "{error}");
    let stranger = TlsOptions { ca_pem: Some(Authority::new().pem()), ..Default::default() };
    let error = soon(ws::connect(&secured("ws", &stranger), UID)).await.unwrap_err();
    assert!(matches!(error.why, DialFailure::Proxy { .. }) && error.is_permanent(), "{error}");
    task.abort();
}

#[tokio::test]
async fn c_ct_14_connect_headers_go_to_an_http_proxy_and_not_to_the_server() {
    let (listener, port) = listen().await;
    let mut target = through(target("ws", 4320), &format!("http://127.0.0.1:{port}"));
    target.proxy.as_mut().unwrap().connect_header("X-Route", "a").unwrap();
    let serve = async {
        let connect = Request::accept(&listener).await;
        assert!(connect.head.starts_with("CONNECT 127.0.0.1:4320 HTTP/1.1\r\n"), "{}", connect.head);
        assert_eq!(connect.header("x-route"), Some("a"));
        assert_eq!(connect.header("authorization"), None, "the server's credentials are not the proxy's");
        let stream = connect.tunnel().await;
        let upgrade = Request::read(stream).await;
        assert_eq!(
            (upgrade.header("x-route"), upgrade.header("authorization")),
            (None, Some("Bearer s3cret"))
        );
        upgrade.respond("401 Unauthorized", "", b"").await
    };
    let (refused, _) = soon(async { tokio::join!(ws::connect(&target, UID), serve) }).await;
    assert!(matches!(refused, Err(DialError { why: DialFailure::Unauthorized, .. })), "{refused:?}");
}

#[tokio::test]
async fn c_ct_14_a_socks_proxy_is_gone_through_and_gets_no_headers() {
    let proxy = Running::microsocks().await;
    let url = format!("socks5://us3r:pa55word@127.0.0.1:{}", proxy.port);
    let (listener, port) = listen().await;
    let mut target_ws = through(target("ws", port), &url);
    target_ws.proxy.as_mut().unwrap().connect_header("X-Route", "a").unwrap();
    ws_works(&target_ws, &listener).await;
    let head = http_works(&through(target("http", port), &url), &listener).await;
    assert!(head.starts_with("POST /v1/opamp HTTP/1.1\r\n"), "{head}");
    for (credentials, words) in [("", "asks for credentials"), ("us3r:wr0ng@", "does not take")] {
        let url = format!("socks5://{credentials}127.0.0.1:{}", proxy.port);
        let error = soon(ws::connect(&through(target("ws", port), &url), UID)).await.unwrap_err();
        assert!(error.to_string().contains(words) && error.is_permanent(), "{error}");
    }
    let nobody = Std::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = soon(ws::connect(&through(target("ws", nobody), &url), UID)).await.unwrap_err();
    assert!(error.to_string().contains("nobody listens there") && !error.is_permanent(), "{error}");
}

#[tokio::test]
async fn what_is_no_proxy_is_told() {
    for (scheme, words) in [("http", "none of an HTTP proxy"), ("socks5", "none of a SOCKS5 proxy")] {
        let (listener, port) = listen().await;
        let target = through(target("ws", 4320), &format!("{scheme}://127.0.0.1:{port}"));
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mail.example ESMTP\r\n\r\n")
                .await
                .unwrap();
            stream
        };
        let (refused, _) = soon(async { tokio::join!(ws::connect(&target, UID), serve) }).await;
        let error = refused.unwrap_err();
        assert!(error.to_string().contains(words) && error.is_permanent(), "{error}");
    }
}
