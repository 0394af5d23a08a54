//! opamp-server: arguments, settings, runtime, and how it ends.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Parser, error::ErrorKind};
use jiff::SignedDuration;
use opamp::{
    server::{
        Server, ServerError, announce,
        config::{AgentAuth, Settings},
        identity::Approval,
    },
    telemetry::logs,
};
use tokio::signal::unix::{SignalKind, signal};

/// The OpAMP server: an endpoint for agents, a REST API and a page for operators.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// YAML file with the same keys as the flags, such as `api-listen: 127.0.0.1:4321`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where agents connect [default: 127.0.0.1:4320]
    #[arg(long, value_name = "ADDR")]
    opamp_listen: Option<String>,
    /// Where operators connect: REST, page, metrics [default: 127.0.0.1:4321]
    #[arg(long, value_name = "ADDR")]
    api_listen: Option<String>,
    /// Database and admin token [default: ./opamp-server-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The certificate that agents are shown (PEM, with its chain); read anew when the file changes
    #[arg(long, value_name = "FILE")]
    opamp_tls_cert: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE")]
    opamp_tls_key: Option<PathBuf>,
    /// A CA (PEM) whose certificates are believed of agents, besides the server's own; may be repeated
    #[arg(long, value_name = "FILE")]
    opamp_client_ca: Vec<PathBuf>,
    /// The certificate that operators are shown (PEM, with its chain); read anew when the file changes
    #[arg(long, value_name = "FILE")]
    api_tls_cert: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE")]
    api_tls_key: Option<PathBuf>,
    /// The oldest TLS version spoken, 1.2 or 1.3 [default: 1.2]
    #[arg(long, value_name = "VERSION")]
    tls_min_version: Option<String>,
    /// Whether agents must prove who they are: none or required [default: required with TLS, else none]
    #[arg(long, value_name = "WORD")]
    agent_auth: Option<AgentAuth>,
    /// What agents that enrol are told to connect to [default: what they dialled]
    #[arg(long, value_name = "URL")]
    opamp_advertise: Option<String>,
    /// Who grants agents' requests for certificates: automatic or manual [default: automatic]
    #[arg(long, value_name = "WORD")]
    csr_approval: Option<Approval>,
    /// How long agents' certificates live [default: 90]
    #[arg(long, value_name = "DAYS")]
    client_cert_days: Option<u32>,
    /// Let agents connect from beyond loopback without TLS, and without a credential unless --agent-auth required
    #[arg(long)]
    insecure_agents: bool,
    /// Serve operators beyond loopback without TLS
    #[arg(long)]
    insecure_api: bool,
    /// Largest OpAMP message in bytes [default: 67108864]
    #[arg(long, value_name = "BYTES")]
    max_message_size: Option<usize>,
    /// Largest file of a package in bytes [default: 1073741824]
    #[arg(long, value_name = "BYTES")]
    max_package_size: Option<u64>,
    /// A custom capability that operators use, such as com.example.echo/v1; may be repeated
    #[arg(long, value_name = "NAME")]
    custom_capability: Vec<String>,
    /// Agents that may be connected over WebSockets at once [default: 15000]
    #[arg(long, value_name = "NUMBER")]
    max_connections: Option<usize>,
    /// Agents that may connect in a second; others are told when to come back [default: 500]
    #[arg(long, value_name = "NUMBER")]
    connect_rate: Option<u32>,
    /// Messages that an agent may send in a second over a WebSocket [default: 100]
    #[arg(long, value_name = "NUMBER")]
    max_message_rate: Option<u32>,
    /// Show agents as stale after such a silence, such as 90s [default: three times the heartbeat offered to an
    /// agent; 90s for one that polls; no silence is stale where nothing was offered]
    #[arg(long, value_name = "DURATION")]
    stale_after: Option<SignedDuration>,
    /// Show agents as gone after such a silence [default: 24h]
    #[arg(long, value_name = "DURATION")]
    gone_after: Option<SignedDuration>,
    /// One JSON object a line instead of text
    #[arg(long)]
    log_json: bool,
    /// error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            let wanted = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return ExitCode::from(if wanted { 0 } else { 64 });
        }
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.downcast_ref::<ServerError>().map_or(1, ServerError::exit_code);
            let _ = writeln!(std::io::stderr(), "opamp-server: {error}");
            ExitCode::from(code)
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let file = args.config.as_deref().map(Settings::read).transpose().map_err(ServerError::from)?;
    let flags = Settings {
        opamp_listen: args.opamp_listen,
        api_listen: args.api_listen,
        data_dir: args.data_dir,
        opamp_tls_cert: args.opamp_tls_cert,
        opamp_tls_key: args.opamp_tls_key,
        opamp_client_ca: args.opamp_client_ca,
        api_tls_cert: args.api_tls_cert,
        api_tls_key: args.api_tls_key,
        tls_min_version: args.tls_min_version,
        agent_auth: args.agent_auth,
        opamp_advertise: args.opamp_advertise,
        csr_approval: args.csr_approval,
        client_cert_days: args.client_cert_days,
        insecure_agents: args.insecure_agents.then_some(true),
        insecure_api: args.insecure_api.then_some(true),
        max_message_size: args.max_message_size,
        max_package_size: args.max_package_size,
        custom_capabilities: args.custom_capability,
        max_connections: args.max_connections,
        connect_rate: args.connect_rate,
        max_message_rate: args.max_message_rate,
        stale_after: args.stale_after,
        gone_after: args.gone_after,
        log_level: args.log_level,
        log_json: args.log_json.then_some(true),
    };
    let settings = flags.or(file.unwrap_or_default());
    logs::init(&settings.logs().map_err(ServerError::from)?, None)?;
    let options = settings.options().map_err(ServerError::from)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let server = Server::start(&options).await?;
        announce::ready(&server);
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        announce::stopping();
        Ok(server.stop().await?)
    })
}
