//! The way to the server: one that flaps, and one through a proxy.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener as Std},
    process::{Command, Stdio},
    time::Duration,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

use super::harness::{Host, Server, fake_collector};

fn address(server: &Server) -> SocketAddr {
    server.endpoint.split('/').nth(2).unwrap().parse().unwrap()
}

/// Passes connections on while it is up; counts them.
async fn front(to: SocketAddr, up: watch::Receiver<bool>) -> (SocketAddr, watch::Receiver<u32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, dials) = watch::channel(0_u32);
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            tell.send_modify(|dials| *dials += 1);
            let mut up = up.clone();
            if !*up.borrow_and_update() {
                continue;
            }
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    _ = up.wait_for(|up| !up) => {}
                }
            });
        }
    });
    (address, dials)
}

#[tokio::test]
async fn f_90_a_server_that_flaps_every_two_seconds_does_not_touch_the_collector() {
    let server = Server::start().await;
    let (turn, up) = watch::channel(true);
    let (front, dials) = front(address(&server), up).await;
    let host = Host::new(&format!("ws://{front}/v1/opamp"), &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let pid = host.collector_pid();
    for flap in 0..12 {
        turn.send(flap % 2 == 1).unwrap();
        sleep(Duration::from_secs(2)).await;
    }
    let seen = *dials.borrow();
    // Within 24 s: the first attempt comes within 5 s of a loss, later ones ever more rarely.
    assert!((2..=40).contains(&seen), "{seen} dials");
    let connections = server.until("it is back", |known| known.healthy()).await.connections;
    assert!(connections <= seen, "{connections} connections by {seen} dials");
    assert_eq!(host.collector_pid(), pid, "the Collector was not touched");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn a_supervisor_reaches_its_server_through_the_proxy_of_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let port = Std::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let (config, log) = (dir.path().join("tinyproxy.conf"), dir.path().join("log"));
    let text = format!(
        "Port {port}\nListen 127.0.0.1\nTimeout 60\nLogFile \"{}\"\nLogLevel Connect\nMaxClients 20\n\
         Allow 127.0.0.1\nBasicAuth us3r pa55word\n",
        log.display()
    );
    fs::write(&config, text).unwrap();
    let mut proxy = Command::new("tinyproxy")
        .arg("-d")
        .arg("-c")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("tests/run.sh installs tinyproxy");
    let server = Server::start().await;
    let lines =
        format!("endpoint: \"{}\", proxy_url: \"http://us3r:pa55word@127.0.0.1:{port}\"", server.endpoint);
    let host = Host::new(&server.endpoint, &fake_collector()).fake("").server(&lines);
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains(&format!("CONNECT {} HTTP/1.1", address(&server))), "{said}");
    assert!(supervisor.stop().await.success());
    assert!(!host.log().contains("pa55word"), "{}", host.log());
    proxy.kill().unwrap();
    proxy.wait().unwrap();
}
