//! The life of a running Collector: start, ready, reloads, and one of many ends.

use std::{env, net::TcpListener as StdListener, process, thread, time::Duration};

use tokio::{
    net::TcpListener,
    select,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::{interval, sleep, timeout},
};

use crate::{answers, args::Args, config::Config, event, fail, health, opamp::Session, switches::Switches};

/// How one configuration's service ended.
enum End {
    Stop,
    Reload,
    Crash,
}

struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

pub(crate) fn run(args: &Args) -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    event("start");
    runtime.block_on(async {
        let mut signals = None;
        loop {
            let (config, switches) = answers::load(args).unwrap_or_else(|error| fail(&error));
            match serve(&config, &switches, &mut signals).await {
                End::Stop => return 0,
                End::Reload => event("reload"),
                End::Crash => return switches.exit_code(),
            }
        }
    })
}

/// One configuration, from start to end.
async fn serve(config: &Config, switches: &Switches, signals: &mut Option<Signals>) -> End {
    let marker = switches.text("config_marker").filter(|marker| !marker.is_empty());
    // The switch itself stands in a comment or outside; what counts is the text in the config proper.
    let marked = |marker: &str| {
        config.texts().flat_map(str::lines).any(|l| !l.contains("fake_collector:") && l.contains(marker))
    };
    if marker.is_some_and(marked) {
        eprintln!("Error: cannot start pipelines: the config contains {:?}", marker.unwrap_or_default());
        return End::Crash;
    }
    if switches.has("crash_at_start") {
        eprintln!("panic: runtime error: invalid memory address or nil pointer dereference");
        return End::Crash;
    }
    if let Some(late) = switches.duration("late_listen") {
        sleep(late).await;
    }
    let signals = signals.get_or_insert_with(|| {
        misbehave(switches);
        let listen = |kind| signal(kind).expect("a signal handler");
        Signals {
            term: listen(SignalKind::terminate()),
            int: listen(SignalKind::interrupt()),
            hup: listen(SignalKind::hangup()),
        }
    });
    let _listeners: Vec<_> =
        config.receiver_addresses().iter().map(|address| bind("otlp", address)).collect();
    let (healthy, health_seen) = watch::channel(false);
    let (stop, stop_seen) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for (address, path) in config.health_checks() {
        let listener = bind("health_check", &address);
        listener.set_nonblocking(true).expect("a nonblocking listener");
        let listener = TcpListener::from_std(listener).expect("a listener");
        tasks.spawn(health::serve(listener, path, health_seen.clone()));
    }
    let mut sessions = JoinSet::new();
    if let Some(settings) = config.opamp().filter(|_| !switches.has("no_connect")) {
        sessions.spawn(Session::new(settings, config, switches, health_seen, stop_seen).run());
    }
    if !switches.has("never_healthy") {
        healthy.send_replace(true);
    }
    eprintln!("info\tEverything is ready. Begin running and processing data.");
    event("ready");
    let end = until_end(switches, signals, &healthy).await;
    if !matches!(end, End::Crash) {
        healthy.send_replace(false);
        stop.send_replace(true);
        // A peer that does not take the farewell is not waited for.
        let _ = timeout(Duration::from_secs(2), sessions.join_next()).await;
    }
    end
}

async fn until_end(switches: &Switches, signals: &mut Signals, healthy: &watch::Sender<bool>) -> End {
    let flip = switches.duration("flip_health");
    let mut flips = interval(flip.unwrap_or(Duration::from_secs(3600)));
    flips.tick().await;
    let crash = async {
        match switches.duration("crash_after") {
            Some(after) => sleep(after).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(crash);
    loop {
        let asked = select! {
            _ = signals.term.recv() => "SIGTERM",
            _ = signals.int.recv() => "SIGINT",
            _ = signals.hup.recv() => {
                event("SIGHUP");
                return End::Reload;
            }
            () = &mut crash => {
                eprintln!("panic: crash_after has passed\n\ngoroutine 1 [running]:");
                return End::Crash;
            }
            _ = flips.tick() => {
                healthy.send_modify(|healthy| *healthy = !*healthy);
                continue;
            }
        };
        event(asked);
        if !switches.has("ignore_term") {
            return End::Stop;
        }
    }
}

fn bind(component: &str, address: &str) -> StdListener {
    StdListener::bind(address).unwrap_or_else(|_| {
        fail(&format!(
            "cannot start pipelines: failed to start {component:?}: listen tcp {address}: bind: address already \
             in use"
        ))
    })
}

/// What goes on beside the service, from the first start on.
fn misbehave(switches: &Switches) {
    if let Some(address) = switches.text("fork_child") {
        let mut child = process::Command::new(env::current_exe().expect("the path of this program"));
        child.arg("hold").args(Some(address).filter(|address| !address.is_empty()));
        let mut child = child.stdin(process::Stdio::null()).spawn().expect("a grandchild");
        event(&format!("forked {}", child.id()));
        thread::spawn(move || child.wait());
    }
    if switches.has("fork_bomb") {
        thread::spawn(|| {
            let mut held = process::Command::new(env::current_exe().expect("the path of this program"));
            held.arg("hold").stdin(process::Stdio::null()).stdout(process::Stdio::null());
            let (mut count, mut told) = (0, false);
            while count < 300 {
                match held.spawn() {
                    Ok(_) => count += 1,
                    Err(_) if told => thread::sleep(Duration::from_millis(1)),
                    Err(error) => {
                        event(&format!("no more than {count}: {error}"));
                        told = true;
                    }
                }
            }
        });
    }
    if switches.has("flood") {
        thread::spawn(|| {
            use std::io::Write;
            let chunk = "a line of noise that nobody asked for and somebody has to drain\n".repeat(512);
            let mut out = std::io::stdout().lock();
            while out.write_all(chunk.as_bytes()).is_ok() {}
        });
    }
    if switches.has("tally") {
        thread::spawn(tally);
    }
    if switches.has("oom") {
        let most = switches.number("oom", 256);
        thread::spawn(move || {
            let mut taken = Vec::new();
            for n in 0..most {
                // Written to, or it would not be taken.
                taken.push(vec![n as u8 | 1; 1 << 20]);
            }
            eprintln!("fatal error: runtime: out of memory: cannot allocate {} MiB", taken.len());
            event("exit 2");
            process::exit(2);
        });
    }
}

/// Counts, as long as somebody reads.
fn tally() {
    use std::io::Write;
    for number in 0_u64.. {
        let mut err = std::io::stderr().lock();
        let told = writeln!(std::io::stdout(), "out {number} and a few words more");
        let told =
            told.and_then(|()| write!(err, "err {number} ")).and_then(|()| writeln!(err, "in two pieces"));
        if told.is_err() {
            return event("nobody reads");
        }
        drop(err);
        if number % 4 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The grandchild: holds an address if one is given, and minds no SIGTERM.
pub(crate) fn hold(address: Option<&str>) -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut term = signal(SignalKind::terminate()).expect("a signal handler");
        let _held = address.map(|address| bind("grandchild", address));
        event("holding");
        loop {
            term.recv().await;
        }
    })
}
