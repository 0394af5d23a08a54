//! More agents, and worse ones, than the server takes: who is turned away and how, and that the others do not notice.

use std::{path::Path, process::Stdio, time::Duration};

use futures_util::{SinkExt, StreamExt};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use opamp::wire::{
    body, frame,
    proto::{ServerErrorResponseType, server_error_response::Details},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::{Instant, interval, timeout},
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use crate::{
    agent::{Identity, LIMIT, Socket, exchange, post},
    harness::{Bench, WITHIN},
};

/// The status and `Retry-After` with which a WebSocket is refused.
async fn refused(bench: &Bench, agent: &Identity) -> (u16, u64) {
    let mut request = format!("ws://{}/v1/opamp", bench.server.opamp).into_client_request().unwrap();
    request.headers_mut().insert("opamp-instance-uid", agent.uid.to_string().parse().unwrap());
    match connect_async(request).await {
        Err(Error::Http(answer)) => {
            let after = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            (answer.status().as_u16(), after)
        }
        other => panic!("not refused: {:?}", other.map(|(_, answer)| answer)),
    }
}

async fn turned_away(bench: &Bench, reason: &str) -> u64 {
    let text = bench.api("GET", "/metrics", None).await.text();
    let line = format!("opamp_server_turned_away_total{{reason=\"{reason}\"}} ");
    let value = text.lines().find_map(|found| found.strip_prefix(&line));
    value.unwrap_or_else(|| panic!("{line}in {text}")).parse().unwrap()
}

#[tokio::test]
async fn s_th_02_03_a_full_server_answers_503_and_when_to_come_back() {
    let bench = Bench::with(|options| options.load.max_connections = 1).await;
    let mut first = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&first.full_report()).await;
    let (status, after) = refused(&bench, &Identity::new(2)).await;
    assert_eq!(status, 503);
    assert!((30..60).contains(&after), "{after}");
    assert_eq!(refused(&bench, &Identity::new(2)).await.1, after, "the same agent is told the same");
    assert_eq!(turned_away(&bench, "full").await, 2);
    assert_eq!(socket.ask(&first.heartbeat()).await.flags, 0);
    drop(socket);
    bench.until(&first.path(), |agent| agent["status"]["connected"] == false).await;
    Socket::connect(bench.server.opamp).await.ask(&first.heartbeat()).await;
}

#[tokio::test]
async fn s_th_02_03_agents_that_connect_too_fast_are_told_to_come_back_at_different_times() {
    let bench = Bench::with(|options| options.load.connect_rate = 1).await;
    let mut known = Identity::new(1);
    let polls = |agent: &mut Identity| {
        let headers = [("opamp-instance-uid", agent.uid.to_string())];
        let bytes = body::encode(&agent.full_report(), LIMIT).unwrap();
        let address = bench.server.opamp;
        async move {
            let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
            post(address, &headers, &bytes).await
        }
    };
    assert_eq!(polls(&mut known).await.status, 200);
    let mut told = Vec::new();
    for number in 2..40 {
        let answer = polls(&mut Identity::new(number)).await;
        if answer.status != 200 {
            assert_eq!(answer.status, 503);
            assert!(answer.text().contains("connect-rate"), "{}", answer.text());
            told.push(answer.headers["retry-after"].parse::<u64>().unwrap());
        }
    }
    let all = told.len();
    told.sort_unstable();
    told.dedup();
    assert!(all > 20 && told.len() > 4 && told[0] >= 1, "{all} were told {told:?}");
    assert_eq!(turned_away(&bench, "herd").await, all as u64);
    // One that is there already is not asked to wait, and neither is one that connects over a WebSocket spared.
    for _ in 0..20 {
        assert_eq!(polls(&mut known).await.status, 200);
    }
    assert_eq!(refused(&bench, &Identity::new(50)).await.0, 503);
}

#[tokio::test]
async fn s_th_01_a_connection_that_says_too_much_is_told_unavailable_and_closed() {
    let bench = Bench::with(|options| options.load.message_rate = 4).await;
    let (mut loud, mut quiet) = (Identity::new(1), Identity::new(2));
    let mut healthy = Socket::connect(bench.server.opamp).await;
    healthy.ask(&quiet.full_report()).await;
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&loud.full_report()).await;
    let error = loop {
        if let Some(error) = socket.ask(&loud.heartbeat()).await.error_response {
            break error;
        }
    };
    assert_eq!(error.r#type(), ServerErrorResponseType::Unavailable);
    assert!(error.error_message.contains("max-message-rate"), "{}", error.error_message);
    let Some(Details::RetryInfo(retry)) = error.details else { panic!("no retry_info") };
    assert!(retry.retry_after_nanoseconds >= 1_000_000_000, "{retry:?}");
    assert_eq!(u16::from(socket.closed().await.unwrap().code), 1013);
    assert_eq!(turned_away(&bench, "flood").await, 1);
    assert_eq!(healthy.ask(&quiet.heartbeat()).await.flags, 0);
}

/// As many connections as asked for, or as few as this process may hold both ends of.
fn files_for(connections: usize) -> usize {
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let allowed = most.min(2 * connections as u64 + 1000);
    setrlimit(Resource::RLIMIT_NOFILE, now.max(allowed), most).unwrap();
    let connections = usize::try_from((allowed - 1000) / 2).unwrap();
    println!("{connections} connections, of {most} files that may be open");
    connections
}

#[tokio::test]
async fn f_96_slow_silent_and_deaf_clients_do_not_touch_a_healthy_agent() {
    const DEAF: u16 = 20;
    let slow_ones = files_for(5000);
    let bench = Bench::with(|options| options.load.message_rate = 20).await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&agent.full_report()).await;

    let mut slow = Vec::new();
    for _ in 0..slow_ones {
        let mut stream = TcpStream::connect(bench.server.opamp).await.unwrap();
        stream.write_all(b"GET /v1/opamp HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
        slow.push(stream);
    }
    // Deaf ones speak as fast as they can and read nothing.
    let address = bench.server.opamp;
    let mut deaf = Vec::new();
    for number in 0..DEAF {
        deaf.push(tokio::spawn(async move {
            let mut loud = Identity::new(100 + number);
            let (mut sink, _unread) = Socket::connect(address).await.0.split();
            loop {
                let bytes = frame::encode(&loud.heartbeat(), LIMIT).unwrap();
                if sink.send(Message::Binary(bytes.into())).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }));
    }
    let cut = tokio::spawn(async move {
        for mut stream in slow {
            // 10 s after it connected, with all the others that were slow.
            let end = timeout(3 * WITHIN, stream.read_to_end(&mut Vec::new())).await;
            end.expect("an end to slow headers").ok();
        }
    });
    let mut slowest = Duration::ZERO;
    let mut beats = interval(Duration::from_millis(200));
    while !cut.is_finished() {
        beats.tick().await;
        let asked = Instant::now();
        assert_eq!(socket.ask(&agent.heartbeat()).await.flags, 0);
        slowest = slowest.max(asked.elapsed());
    }
    cut.await.unwrap();
    println!("the slowest answer took {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "a heartbeat took {slowest:?}");
    for one in deaf {
        timeout(2 * WITHIN, one).await.expect("nobody is served who does not read").unwrap();
    }
    assert_eq!(bench.get(&agent.path()).await["status"]["connected"], true);
    exchange(bench.server.opamp, &Identity::new(2).full_report()).await;
}

#[tokio::test]
async fn f_97_three_hundred_agents_are_back_after_a_restart_and_after_kill_9() {
    let server = Path::new(env!("CARGO_BIN_EXE_opamp-server"));
    let storm = server.parent().unwrap().join("examples/storm");
    assert!(storm.exists(), "{} is not there; run `cargo build --examples`", storm.display());
    let mut command = Command::new(storm);
    command.args([
        "--agents",
        "300",
        "--heartbeat",
        "2",
        "--connect-rate",
        "100",
        "--asked-after-kill",
        "25",
    ]);
    command.arg("--server").arg(server).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(Duration::from_secs(300), command.output()).await.expect("an end").unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}
