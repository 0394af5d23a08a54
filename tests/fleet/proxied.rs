//! A way through a proxy, offered to a host that enrolled.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::stand::{Host, Running, Server, until};

/// Debian's tinyproxy, which wants `us3r` and `pa55word`.
struct Proxy {
    dir: TempDir,
    port: u16,
    _running: Running,
}

impl Proxy {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..5 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let config = dir.path().join("tinyproxy.conf");
            let text = format!(
                "Port {port}\nListen 127.0.0.1\nTimeout 60\nLogLevel Connect\nMaxClients 20\nAllow 127.0.0.1\n\
                 BasicAuth us3r pa55word\n"
            );
            fs::write(&config, text).unwrap();
            let mut command = Command::new("tinyproxy");
            command.arg("-d").arg("-c").arg(config);
            let mut running = Running::start(command, &dir.path().join("log"));
            let listens = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            // Somebody else may be faster with the port.
            let listens = until(
                || if listens() { Some(true) } else { running.ended().map(|_| false) },
                || "tinyproxy listens".to_owned(),
            );
            if listens {
                return Self { dir, port, _running: running };
            }
        }
        panic!("tinyproxy does not listen");
    }

    /// Connections to the server that it was asked for.
    fn asked(&self, server: &Server) -> usize {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap();
        log.matches(&format!("CONNECT {} HTTP/1.1", server.opamp)).count()
    }
}

/// What all agents are offered of their connection to the server.
fn offer(server: &Server, opamp: &str) {
    server.apply(&format!(
        "kind: AgentGroup\nmetadata: {{name: site}}\nspec:\n  priority: 1\n  \
         selector: {{nonIdentifyingAttributes: {{os.type: linux}}}}\n  \
         agentConfig: {{connectionSettings: {{opamp: {{{opamp}}}}}}}\n"
    ));
}

/// `us3r:pa55word` and `us3r:wr0ng`, as a header has them.
const RIGHT: &str = "dXMzcjpwYTU1d29yZA==";
const WRONG: &str = "dXMzcjp3cjBuZw==";

fn through(proxy: &Proxy, credentials: &str) -> String {
    format!(
        "proxy: {{url: \"http://127.0.0.1:{}\", connectHeaders: {{Proxy-Authorization: [Basic {credentials}]}}}}",
        proxy.port
    )
}

fn has(agent: &Value, state: &str) -> bool {
    agent["status"]["connected"] == true && agent["status"]["connectionSettingsState"] == state
}

#[test]
fn c_cs_02_05_06_07_c_ct_11_12_a_proxy_by_offer_is_tried_used_and_not_left_for_one_that_refuses() {
    let server = Server::start(&[]);
    let proxy = Proxy::start();
    let token = server.token("rack", &[]);
    let host = Host::new(&server, &token, "");
    let supervisor = host.start();
    let kept = "the offered connection is the one from now on";
    host.logs(kept, 1);
    assert_eq!(proxy.asked(&server), 0);

    offer(&server, &through(&proxy, RIGHT));
    host.logs(kept, 2);
    server.one("agents", "comes through the proxy", |agent| has(agent, "Applied"));
    let asked = proxy.asked(&server);
    assert!(asked > 0);
    supervisor.stop();
    let supervisor = host.start();
    server.one("agents", "still does after a restart", |agent| has(agent, "Applied"));
    until(|| Some(()).filter(|()| proxy.asked(&server) > asked), || "through the proxy".to_owned());

    // One that refuses: the one before is used again, and the reason told through it.
    offer(&server, &through(&proxy, WRONG));
    let agent = server.one("agents", "did not take it", |agent| has(agent, "Failed"));
    let why = agent["status"]["connectionSettingsStatus"]["errorMessage"].as_str().unwrap();
    let address = format!("127.0.0.1:{}", proxy.port);
    assert!(why.contains("credentials") && why.contains(&address), "{why}");
    assert_eq!(host.log().matches(kept).count(), 2);
    assert!(!host.stored().contains(WRONG) && host.stored().contains(RIGHT), "what is not kept is gone");
    // Terms that say nothing of a proxy leave it as it is.
    offer(&server, "heartbeatIntervalSeconds: 20");
    server.one("agents", "is where it was", |agent| has(agent, "Applied"));
    let asked = proxy.asked(&server);
    supervisor.stop();
    let supervisor = host.start();
    server.one("agents", "is back", |agent| has(agent, "Applied"));
    until(|| Some(()).filter(|()| proxy.asked(&server) > asked), || "through the proxy".to_owned());
    supervisor.stop();
    for secret in [RIGHT, WRONG, &token] {
        assert!(!server.log().contains(secret) && !host.log().contains(secret), "{secret} is in a log");
        assert!(!why.contains(secret), "{why}");
    }
}
