//! What the Collector prints while supervisors come and go.

use std::{collections::BTreeMap, fs};

use super::{
    super::harness::{Host, Server, alive, fake_collector},
    another, exchange, runs,
};

/// Each line of a counting Collector is there, whole and in its order; and so many of each stream.
pub(super) fn nothing_is_lost(host: &Host, least: usize) {
    assert!(!host.events().iter().any(|event| event.contains("nobody reads")));
    let counted = counted(host);
    assert_eq!(counted.keys().collect::<Vec<_>>(), ["err", "out"]);
    for (stream, numbers) in counted {
        let expected: Vec<u64> = (0..numbers.len() as u64).collect();
        assert_eq!(numbers, expected, "{stream}");
        assert!(numbers.len() > least, "{stream}: {} lines", numbers.len());
    }
}

const EXCHANGES: usize = 20;

/// Each line that a counting Collector wrote, oldest first, by its stream.
fn counted(host: &Host) -> BTreeMap<String, Vec<u64>> {
    let mut counted = BTreeMap::<String, Vec<u64>>::new();
    let logs = host.state().join("logs");
    for name in ["agent.log.4", "agent.log.3", "agent.log.2", "agent.log.1", "agent.log"] {
        let text = fs::read_to_string(logs.join(name)).unwrap_or_default();
        for line in text.lines() {
            let words: Vec<_> = line.split(' ').collect();
            let number = match words[..] {
                [stream @ "out", number, "and", "a", "few", "words", "more"] => (stream, number),
                [stream @ "err", number, "in", "two", "pieces"] => (stream, number),
                _ => {
                    assert!(!line.starts_with("out ") && !line.starts_with("err "), "a torn line: {line:?}");
                    continue;
                }
            };
            counted.entry(number.0.to_owned()).or_default().push(number.1.parse().unwrap());
        }
    }
    counted
}

#[tokio::test]
async fn f_110_twenty_exchanges_lose_no_line_of_a_collector_that_logs_heavily() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("tally");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let (pid, collector) = (supervisor.pid(), host.collector_pid());
    let others = [another(&host, "one"), another(&host, "two")];
    let healthy = server.messages().len();
    for number in 0..EXCHANGES {
        exchange(&host, &others[number % 2]).await;
        assert_eq!(runs(&supervisor), others[number % 2]);
    }
    assert!(supervisor.pid() == pid && host.collector_pid() == collector && alive(collector));
    let unwell =
        server.messages()[healthy..].iter().filter_map(|said| said.health.clone()).find(|said| !said.healthy);
    assert_eq!(unwell, None, "the server never heard that anything was wrong");
    assert!(supervisor.stop().await.success());
    nothing_is_lost(&host, 5000);
}
