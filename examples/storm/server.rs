//! The server's process, and what its `/metrics` say.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{interval, timeout},
};

const START_WITHIN: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    child: Child,
    pub(crate) opamp: SocketAddr,
    api: SocketAddr,
    data_dir: PathBuf,
    connect_rate: u32,
}

/// Since this process of the server started.
pub(crate) struct Figures {
    pub(crate) messages: u64,
    pub(crate) full_state_requests: u64,
    pub(crate) turned_away: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    /// As a bound: `≤ 0.5 ms`.
    pub(crate) p99: String,
    pub(crate) rss_kib: u64,
}

impl Server {
    pub(crate) async fn start(program: &Path, data_dir: &Path, connect_rate: u32) -> Result<Self> {
        // It comes back at the same addresses.
        let (opamp, api) = (free().await?, free().await?);
        let child = spawn(program, data_dir, opamp, api, connect_rate)?;
        let server = Self { child, opamp, api, data_dir: data_dir.to_owned(), connect_rate };
        server.ready().await?;
        Ok(server)
    }

    pub(crate) async fn start_again(&mut self, program: &Path) -> Result<()> {
        self.child = spawn(program, &self.data_dir, self.opamp, self.api, self.connect_rate)?;
        self.ready().await
    }

    pub(crate) async fn terminate(&mut self) -> Result<()> {
        let pid = self.child.id().context("the server ended by itself")?;
        let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        let status = timeout(START_WITHIN, self.child.wait()).await.context("the server does not stop")??;
        anyhow::ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    pub(crate) async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    async fn ready(&self) -> Result<()> {
        let asking = async {
            let mut ticks = interval(Duration::from_millis(20));
            loop {
                ticks.tick().await;
                if self.get("/readyz").await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                    return;
                }
            }
        };
        timeout(START_WITHIN, asking).await.context("the server is not ready in time")
    }

    pub(crate) async fn figures(&self) -> Result<Figures> {
        let text = self.get("/metrics").await?;
        let number = |name: &str| -> u64 {
            let values = text
                .lines()
                .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
            values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        let pid = self.child.id().context("the server ended by itself")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Ok(Figures {
            messages: number("opamp_server_messages_total"),
            full_state_requests: number("opamp_server_full_state_requests_total"),
            turned_away: number("opamp_server_turned_away_total"),
            received_bytes: number("opamp_server_received_bytes_total"),
            sent_bytes: number("opamp_server_sent_bytes_total"),
            p99: p99(&text),
            rss_kib: rss.and_then(|rss| rss.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0),
        })
    }

    async fn get(&self, path: &str) -> Result<String> {
        let token = std::fs::read_to_string(self.data_dir.join("admin.token"))?;
        let mut stream = TcpStream::connect(self.api).await?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
            self.api,
            token.trim()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

/// The bucket of the histogram in which the 99th of a hundred messages is.
fn p99(metrics: &str) -> String {
    let buckets: Vec<(&str, u64)> = metrics
        .lines()
        .filter_map(|line| {
            let (bound, count) =
                line.strip_prefix("opamp_server_message_seconds_bucket{le=\"")?.split_once("\"} ")?;
            Some((bound, count.parse().ok()?))
        })
        .collect();
    let all = buckets.last().map_or(0, |(_, count)| *count);
    let found = buckets.iter().find(|(_, count)| count * 100 >= all * 99);
    match found.map(|(bound, _)| bound.parse::<f64>()) {
        Some(Ok(seconds)) if seconds.is_finite() => format!("≤{} ms", seconds * 1000.0),
        _ => "beyond".to_owned(),
    }
}

async fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?)
}

fn spawn(
    program: &Path,
    data_dir: &Path,
    opamp: SocketAddr,
    api: SocketAddr,
    connect_rate: u32,
) -> Result<Child> {
    let mut command = Command::new(program);
    command.arg("--opamp-listen").arg(opamp.to_string()).arg("--api-listen").arg(api.to_string());
    command.arg("--data-dir").arg(data_dir).arg("--connect-rate").arg(connect_rate.to_string());
    command.args(["--log-level", "error"]).stdin(Stdio::null()).kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot start {}", program.display()))
}
