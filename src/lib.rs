//! OpAMP for a fleet of OpenTelemetry Collectors: a supervisor beside each Collector, a server for all of
//! them, and a command line for people. One package, one library, three thin programs.
//!
//! This page is the map. What a person needs to run it is in `README.md`; what is promised, and which test
//! keeps each promise, in `docs/promises.md`; the protocol's requirements by id in `docs/opamp-conformance.md`, and
//! the tests that prove each in `docs/conformance.md`.
//!
//! # Rooms
//!
//! | room | is | does not |
//! |---|---|---|
//! | `src/bin/` | arguments → settings → runtime → `run` | decide anything |
//! | [`supervisor`] | the daemon beside one Collector: its config, its process, what the server is told | know how bytes travel |
//! | [`server`] | the OpAMP endpoint, the fleet, REST, the page | know the supervisor: any OpAMP agent will do |
//! | [`cli`] | `opampctl`: a client of the REST API | hold rules about agents or configs |
//! | [`transport`] | sockets around [`protocol`]'s machines: WebSocket, plain HTTP, TLS, both ways | know what is said |
//! | [`collector`] | what is known of otelcol: components, `validate`, lint with line and column, probe | keep one running |
//! | [`package`] | artefacts: how one is downloaded, whether it is what was signed and offered, unpacking | know when one is taken; hold a socket |
//! | [`telemetry`] | the logs of supervisor and server; the supervisor's logs, numbers and spans over OTLP | know what is said |
//! | [`protocol`] | OpAMP's rules as machines without I/O, for both ends | read a clock, open a socket |
//! | [`os`] | every system call of the supervisor: processes, signals, files, lock, host facts | have policy |
//! | [`wire`] | bytes ⇄ messages, ids, capability bits, limits | have policy or I/O |
//!
//! # Arrows
//!
//! Imports only go down, and never sideways between the three on one floor.
//!
//! ```text
//!                     bin/opamp-supervisor   bin/opamp-server   bin/opampctl
//!                               │                   │                │
//!                               ▼                   ▼                ▼
//!                           supervisor            server            cli
//!                               └─────────┬─────────┴────────────────┘
//!                                         ▼
//!                 transport   collector   package   telemetry
//!                               └─────────┬─────────┘
//!                                         ▼
//!                              protocol       os
//!                                  └─────┬─────┘
//!                                        ▼
//!                                      wire
//! ```
//!
//! # How the parts move
//!
//! ```text
//!   person ── opampctl / page ──▶ server::api ──▶ server::hub ◀── server::accept ◀═ OpAMP ═▶ agents
//!                                      │              │ owns fleet, store, wake-ups
//!                                      ▼              ▼
//!                                 server::auth    server::fleet (pure), server::store (SQLite)
//!                                                 server::packages (files)
//!
//!                                           ┌──────── supervisor::driver, the one task ───────────┐
//!   server ◀═ OpAMP ═▶ transport::client ──▶│ machine (pure) ─▶ effects: check, write files,      │
//!                                           │ journal          spawn, SIGHUP, TERM, KILL, report  │
//!                                           └──▲────────────────────────────────────────────┬─────┘
//!                                              │ health, effective config, components       ▼
//!                        supervisor::local ◀═ OpAMP on loopback ═══════════════════════ Collector
//!
//!   person ── supervisor::commands ── Unix socket ──▶ supervisor::control ──▶ supervisor::driver
//! ```
//!
//! A config travels: `AgentRemoteConfig` in the store → `fleet::desired` computes what each agent should run and
//! its hash → an offer → the supervisor stores the body (`journal::configs`) → `check` (text, components,
//! `validate`) → `compose` → `live` → SIGHUP or a restart → a healthy report of the new life → APPLIED. Anything
//! else ends in FAILED with the reason, and what ran before runs on or runs again.
//!
//! # Invariants
//!
//! What must always hold, and what keeps it.
//!
//! | invariant | kept by |
//! |---|---|
//! | Arrows point down; pure rooms name no clock, file, socket or randomness; `unsafe` in `os` only; a file has at most 400 lines | `tests/architecture.rs`, on the text of `src/` |
//! | What `wire`, `protocol` and `transport` offer says what it is | `missing_docs` in their `mod.rs`; `tests/run.sh` has the documentation made without a warning |
//! | The messages are those of OpAMP, no more and no fewer | `tests/wire`: compiled descriptors against the table |
//! | Unchanged parts are not sent twice, a loss is noticed and repaired | [`protocol::client`], [`protocol::server`]: one machine for each end; `tests/protocol` simulates both |
//! | One owner of each machine: the driver of [`supervisor::machine`], a task of each `Client`, the hub of the fleet | they are moved into their owner; others hold a handle with a bounded queue |
//! | A late timer, check, child or report cannot act on what is newer | `Generation`, `CheckToken` and the session number in [`supervisor::machine`] |
//! | Nothing of a package is run before it was verified | [`package::Verified`] has one constructor, and `Slots::install` takes nothing else; what is run is looked up in a slot's manifest, `supervisor::upgrade::Places` |
//! | A Collector on trial is undone by itself, also by the next life of the supervisor | `machine::binary`, `upgrade::Record::begin`; the simulation plants faults in both |
//! | A state is on disk before the server is told of it | `Driver::status` is the only way to a status; [`supervisor::journal`] is the only writer of `state.json` |
//! | A committed state is never lost and a torn one never read | `journal::slots`, whose tests cut power between any two steps |
//! | Restrictions are judged on what the Collector will read | `collector::lint` reads a remote layer twice, by two parsers, and both must agree |
//! | Only `opampctl` can sign a package; neither server nor host has a secret key | `package::signing` is there under the feature `cli` alone |
//! | A person's Collector config is never re-serialised | a layer is `LiveFile { contents: Vec<u8> }`; the parsed tree in `collector::lint` cannot be written out |
//! | What the supervisor must own comes last | `compose` adds one overlay file after all layers; `owned` refuses `--set` on its keys |
//! | A `supervisor.yaml` that does not pass its checks changes nothing; one that does, as little as it can | `supervisor::reload` judges beside, `driver::reload` swaps; every key is in `changes.rs` |
//! | The running Collector is not touched before a config passed its checks | `machine::apply`: `Checking` comes before `Proving` |
//! | SIGHUP goes only to a process that was heard from | `machine::apply::switch` and `machine::refresh` need a session |
//! | An operator's change is durable before it is acknowledged or offered | `Hub::operate`: store, then memory, then wake-ups |
//! | A file of a package is whole and on the disk before it has a name | `PackageFiles::keep` is the only way to one |
//! | An enrolment, and the first use of a credential, is durable before the message that brings it is taken in | `Gate::settle`: store, then memory, then the hub |
//! | No identity speaks for an agent that is another's | [`server::identity::rules`], asked for each message |
//! | One supervisor at a time, and one on trial is on disk before it runs | the lock travels through each exec; `Driver::hand_over` arms before it execs, and `supervisor::succession` decides each start from that |
//! | Secrets show in no log, message or `Debug` | `config::Secret`, `cli::settings::Secret`, `auth::token::Token`, `identity::Secret` |
//! | Each wait has a deadline, each queue a length, each peer-sent size a limit | constants at the top of the file that waits, queues or reads |
//!
//! # Where to add X
//!
//! | X | where |
//! |---|---|
//! | a key of `supervisor.yaml` | a row in `supervisor/config/keys.rs`, its words in `supervisor/config/schema/texts.rs`, a field in `model.rs`, a line in `decode/`, what a change of it needs in `supervisor/reload/changes.rs` (the compiler insists), a line in `tests/config/samples/every-key.yaml` and one in `packaging/supervisor.example.yaml` (tests insist); then `UPDATE_SCHEMA=1 cargo test --test config schema` |
//! | something that can happen to the supervisor | `supervisor/driver/happenings.rs`; if it decides anything, an `Input` of [`supervisor::machine`] |
//! | something the supervisor does | an `Effect` of [`supervisor::machine`], performed in `supervisor/driver/effects.rs` |
//! | something that outlives the supervisor | `supervisor/journal/state.rs`; its meaning in `supervisor/record.rs` |
//! | something that the next supervisor in the same process must know | [`supervisor::succession`]'s note, packed and taken over in `supervisor/driver/inheritance.rs`; older notes must still be read |
//! | something that is done with a package | a `Stage` of `supervisor/upgrade/terms.rs`, done in `supervisor/driver/packages/` |
//! | a rule about which packages a host takes | `supervisor/upgrade/policy.rs` where the offer tells, else `package/verify.rs` |
//! | a reason to take a new Collector back | `supervisor/machine/binary/` |
//! | a check of configs | `collector/lint/checks.rs` if the text shows it, else `supervisor/check.rs` |
//! | a rule about what remote configs may ask for | `supervisor/fence/walk.rs`; which keys it is about, `keys.rs` beside it; a line in `supervisor/fence/tests.rs` that tries to get round it |
//! | a key that no config may take from the supervisor | `supervisor/compose.rs`, and `OWNED` in `supervisor/owned.rs` |
//! | a capability | of the agent: `supervisor/agent.rs`; of the server: `capabilities` in `server/hub/mod.rs` |
//! | a rule of the protocol | [`protocol::client`] or [`protocol::server`], with a test that carries the rule's id |
//! | something that the Collector gives up | `os/sandbox`; its key in `supervisor/config/decode/sandbox.rs` |
//! | a system call | [`os`] |
//! | a REST path | the router in `server/api/mod.rs`, a handler beside it, its shape in `view.rs`, `docs/rest.md` |
//! | something operators write | `server/fleet/resource.rs`, a `Change` in `server/store/mod.rs`, for a kind that is written whole a `Spec` beside `server/api/configs.rs`; tables only by a new migration at the end of `server/store/schema.rs` |
//! | a rule about which config an agent gets | `server/fleet/desired.rs`; about its connection settings, `server/fleet/settings/` |
//! | a rule about which package an agent gets | `server/fleet/offers/claims.rs`; about when, `progress.rs` beside it |
//! | a product that discovery knows | a row in `supervisor/discovery/products.rs` |
//! | a number or span of the supervisor | `telemetry/otlp/meters.rs`, `supervisor/driver/instruments.rs` |
//! | a number of the server to watch | `server/hub/metrics.rs` and `server/api/metrics.rs` |
//! | a reason to turn an agent away for now | `server/accept/load.rs`, its counter in `server/hub/metrics.rs` |
//! | a rule about who is there | `server/fleet/presence.rs`; about two that use one uid, `protocol/server/duplicates` |
//! | a way for agents to prove who they are | a `Proof` in `server/identity/rules.rs`, read off a request in `server/accept/admission.rs` |
//! | a flag of the server | `Settings` in `server/config/mod.rs`, what is made of it in `options.rs` beside it, `src/bin/opamp-server.rs` |
//! | a command on the supervisor's host | the grammar in `supervisor/commands/args.rs`, a file of its own beside it, one arm in `mod.rs`, a row in `docs/supervisor.md` |
//! | something that is asked of the running supervisor | a `Request` in `supervisor/control/mod.rs`, done in `supervisor/driver/requests.rs` |
//! | something that `status` tells | `supervisor/control/status.rs`, filled in `supervisor/driver/requests.rs`, said in `supervisor/commands/human.rs` |
//! | something that a signature says | `package/claims.rs`, held against host and offer in `package/verify.rs`, given in `cli/args/packages.rs` |
//! | a command of `opampctl` | the grammar in `cli/args/`, a file of its own, one arm in `cli/mod.rs` |
//! | a way for a Collector to misbehave | `examples/fake_collector/switches.rs` |
//! | a requirement that is not followed | its reason, a line in `docs/conformance-reasons.yaml` |
//! | a dependency | optional in `Cargo.toml`, under the feature whose room needs it |
//! | a promise | a test or bench, and its line in `docs/promises.md` (a test looks the names up) |
//!
//! # Tests
//!
//! | where | proves |
//! |---|---|
//! | beside the code | the rules of one file or room, without sockets where the room has none |
//! | `src/supervisor/simulation/` | machine and journal against a hostile world, in seeded schedules that replay |
//! | `tests/architecture.rs`, `tests/docs.rs` | this map, and that documents name what is there |
//! | `tests/wire` | the messages, against the table of OpAMP's |
//! | `tests/protocol` | both machines against each other in virtual time, under seeded loss, reconnects and restarts |
//! | `tests/fuzz_corpus.rs` | the inputs that `fuzz/` found, once more; `tests/mutants.sh`: that the tests of `wire` and `protocol` notice a change |
//! | `tests/sdk.rs` | `examples/custom_capability.rs`: both ends by `wire`, `protocol` and `transport` alone |
//! | `tests/transport` | both transports over real sockets |
//! | `tests/config` | `supervisor.yaml`: every key, every wrong value |
//! | `tests/collector` | linter and fake Collector, against the real one |
//! | `tests/supervisor` | the built supervisor, with the fake Collector and real ones |
//! | `tests/nloop` | that it comes to rest whichever system call it was killed at, or refused |
//! | `tests/server`, `tests/browser` | the server over real sockets; its page in Chromium |
//! | `tests/cli` | the built `opampctl`, with a stub and with the real server; its signatures, with the `minisign` tool |
//! | `tests/fleet` | the three built programs together: a host that enrols, is let in, rotated and put out; a proxy by offer |
//! | `tests/packaging` | that what is shipped around the programs fits them |
//! | `tests/interop` | both ends against opamp-go; our server with the Collector project's supervisor, and with its `opamp` extension directly; haproxy between agents and our server |
//! | `examples/tour` | the main job as a person does it: `examples/quickstart.sh --once` |
//! | `examples/conformance` | that each requirement of OpAMP is proven or has its reason: writes and checks `docs/conformance.md` from the logs of `tests/run.sh` |
//! | `examples/storm` | what thousands of agents cost the server, and how soon they are back |
//! | `benches/supervisor` | what the supervisor costs and how fast it is |
//!
//! # Features
//!
//! `supervisor`, `server` and `cli` each turn on one program and the rooms below it; all are on by default.
//! Most of the supervisor's memory is code, so it ships without what it does not use:
//!
//! ```text
//! cargo build --profile small --bin opamp-supervisor --no-default-features --features supervisor
//! ```

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(any(feature = "supervisor", feature = "server", feature = "cli"))]
pub mod collector;
#[cfg(feature = "supervisor")]
pub mod os;
#[cfg(any(feature = "supervisor", feature = "server", feature = "cli"))]
pub mod package;
pub mod protocol;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "supervisor")]
pub mod supervisor;
pub mod telemetry;
#[cfg(any(feature = "supervisor", feature = "server"))]
pub mod transport;
pub mod wire;
