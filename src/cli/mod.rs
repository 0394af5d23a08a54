//! `opampctl`, the operator's command line: what a person types, turned into calls of the server's REST API
//! and a page of text.
//!
//! It is a client and nothing more: no rule about agents or configs lives here, only how to ask and how to show.
//! Called by `src/bin/opampctl.rs`. Where to look:
//!
//! | file | is |
//! |---|---|
//! | `args` | the grammar of the command line |
//! | `settings` | which server, which credential: flag > environment > file > default |
//! | `client`, `tls`, `sse` | HTTP: requests, pages, errors, the event stream |
//! | `model`, `kind` | what is read out of the server's JSON |
//! | `output`, `bar` | tables, JSON, YAML, bars; control characters from the server never reach a terminal |
//! | `get`, `apply`, `push`, `restart`, `message`, `discover`, `watch`, `delete`, `create`, `context`, `about` | one command each |
//! | `package` | `package keygen`, `sign`, `inspect`: files and keys on this machine, no server; `upload`, `offer`, `status`, `withdraw`, `retry` |
//! | `decide` | `revoke`, `rotate`, `approve`, `deny`; `enrolment`: what `get` shows of those things |

mod about;
mod apply;
mod args;
mod bar;
mod client;
mod context;
mod create;
mod decide;
mod delete;
mod discover;
mod enrolment;
mod error;
mod get;
mod kind;
mod lint;
mod manifest;
mod message;
mod model;
mod output;
mod package;
mod push;
mod restart;
mod select;
mod settings;
mod sse;
mod tls;
mod wait;
mod watch;

pub use args::Args;
pub use error::{EXIT_USAGE, Error};

use args::{Command, ConfigCommand, CreateCommand};
use client::Client;
use settings::{Environment, Settings};

/// Performs one command.
pub async fn run(args: Args) -> Result<(), Error> {
    let env = Environment::of_process();
    if let Command::Context(command) = &args.command {
        return context::run(command, &args.global, &env);
    }
    if let Command::Version(version) = &args.command
        && version.client_only
    {
        return about::client_version();
    }
    if let Command::Package(command) = &args.command
        && let Some(done) = package::run_here(command, &env)
    {
        return done;
    }
    let settings = Settings::resolve(&args.global, &env)?;
    let client = Client::connect(&settings).await?;
    match &args.command {
        Command::Get(get) => get::run(&client, get).await,
        Command::Apply(apply) => apply::run(&client, apply).await,
        Command::Config(ConfigCommand::Push(push)) => push::run(&client, push).await,
        Command::Restart(restart) => restart::run(&client, restart).await,
        Command::Message(message) => message::run(&client, message).await,
        Command::Discover(discover) => discover::run(&client, discover).await,
        Command::Watch(watch) => watch::run(&client, watch).await,
        Command::Delete(delete) => delete::run(&client, delete).await,
        Command::Create(CreateCommand::EnrollmentToken(create)) => create::token(&client, create).await,
        Command::Revoke(revoke) => decide::revoke(&client, revoke).await,
        Command::Rotate(rotate) => decide::rotate(&client, rotate).await,
        Command::Approve(approve) => decide::approve(&client, approve).await,
        Command::Deny(deny) => decide::deny(&client, deny).await,
        Command::Package(command) => package::run(&client, command).await,
        Command::Whoami => about::whoami(&client).await,
        Command::Version(_) => about::version(&client).await,
        Command::Context(_) => unreachable!("answered above, without a server"),
    }
}
