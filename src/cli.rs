//! The commands: what was typed becomes a call, what came of it becomes lines and an exit code.
//!
//! `main.rs` calls [`main`]. Commands change rows and read them; the exchanging ones (`serve`, `once`)
//! are put together in `daemon.rs`. Exit codes: 0 done, 1 a person is needed or it failed, 64 usage,
//! 78 configuration.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the command line"
)]

mod check;
mod credential;
mod input;
mod once;
mod status;
mod token;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand};

use crate::clock::Clock;
use crate::config::{self, Config, Environment, Problems};
use crate::credential::Credential;
use crate::notify::Outcome;
use crate::{daemon, demo, gateway, store};

/// Keeps the OAuth keys of an LLM gateway (One-API, New API, One-Hub) fresh.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// The configuration [default: ./config.toml, then /etc/keyfresh/config.toml]
    #[arg(long, global = true, value_name = "PATH", env = "KEYFRESH_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the whole job in ten seconds: own provider, gateway file and PushPlus sink, all on loopback
    Demo {
        /// Make one pass in this folder of a demo: the process that the demo kills
        #[arg(long, hide = true, value_name = "DIR")]
        child: Option<PathBuf>,
    },
    /// Make what is missing of configuration and secrets, and the state; overwrite nothing
    Init {
        /// Who will own the files when root makes them
        #[arg(long, value_name = "USER", default_value = "keyfresh")]
        owner: String,
    },
    /// Run the daemon: refresh, links, notices, API
    Serve,
    /// Make one pass and exit: what cron ran the shell script for
    Once(Pass),
    /// Look at configuration, permissions, databases and secrets; exchange nothing
    Check,
    /// Show every credential: phase, expiry, refreshes, channels, last error
    Status {
        /// One credential only
        name: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Act on one credential
    #[command(subcommand)]
    Credential(CredentialCommand),
    /// List the users of the token API, add one, issue and revoke bearers
    #[command(subcommand)]
    User(UserCommand),
    /// Ask whose a key of the token API is, or accept changed secrets
    #[command(subcommand)]
    Token(TokenCommand),
    /// Act on the notifiers
    #[command(subcommand)]
    Notify(NotifyCommand),
}

#[derive(Args)]
struct Pass {
    /// The credentials to look at [default: all]
    names: Vec<String>,
    /// Override schedule and back-off, never a Retry-After, Unconfirmed or Dead
    #[arg(long)]
    force: bool,
}

#[derive(Subcommand)]
enum CredentialCommand {
    /// Make it due now
    Refresh {
        /// The credential
        name: String,
    },
    /// Install a new login: its refresh token is read from standard input
    Replace {
        /// The credential
        name: String,
    },
    /// Declare the key that is now in its channels ours to replace
    TakeOver {
        /// The credential
        name: String,
    },
}

#[derive(Subcommand)]
enum UserCommand {
    /// Show the users of the gateway, or of the embedded database where no gateway is configured
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Add a user to the embedded database; a gateway's users are made in its console
    Add {
        /// What the user will be called
        name: String,
    },
    /// Print a bearer, with which the user may call the token API
    Token {
        /// The user's id or name
        name: String,
        /// How long it is good: a whole number with s, m, h or d, at most 3650d
        #[arg(long, value_name = "SPAN", default_value = "30d", value_parser = ttl)]
        ttl: Duration,
        /// Revoke every bearer that the user was issued, and print none
        #[arg(long, conflicts_with = "ttl")]
        revoke_all: bool,
    },
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Tell whether this installation made the key on standard input, and for whom; exits with 1 if not
    Verify {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take the API's secrets as they are now for ours: what was signed with others is given up
    AcceptSecrets,
}

#[derive(Subcommand)]
enum NotifyCommand {
    /// Send a test message
    Test {
        /// The notifiers [default: all]
        names: Vec<String>,
    },
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Where this cannot be printed there is nobody to tell.
            let _printed = error.print();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    match run(arguments) {
        Ok(done) => ExitCode::from(u8::from(!done)),
        Err(error) => {
            eprintln!("keyfresh: {error:#}");
            ExitCode::from(if is_configuration(&error) { 78 } else { 1 })
        }
    }
}

/// `Ok(false)`: done, but a person is needed.
fn run(arguments: Arguments) -> Result<bool> {
    let environment = config::Environment::of_process(arguments.config)?;
    match arguments.command {
        Command::Demo { child } => runtime()?.block_on(demo::run(child.as_deref())),
        Command::Init { owner } => init(&environment, &owner),
        Command::Serve => serve(&environment),
        Command::Once(pass) => {
            let config = config::load(&environment)?;
            once::run(&environment, &config, pass.names, pass.force)
        }
        Command::Check => check::run(&environment),
        Command::Status { name, json } => {
            status::run(&config::load(&environment)?, name.as_deref(), json)
        }
        Command::Credential(command) => {
            let config = config::load(&environment)?;
            match command {
                CredentialCommand::Refresh { name } => credential::refresh(&config, &name),
                CredentialCommand::Replace { name } => credential::replace(&config, &name),
                CredentialCommand::TakeOver { name } => credential::take_over(&config, &name),
            }
        }
        Command::User(command) => {
            let config = config::load(&environment)?;
            match command {
                UserCommand::List { json } => user::list(&config, json),
                UserCommand::Add { name } => user::add(&config, &name),
                UserCommand::Token {
                    name,
                    revoke_all: true,
                    ..
                } => user::revoke_all(&config, &name),
                UserCommand::Token { name, ttl, .. } => user::token(&config, &name, ttl),
            }
        }
        Command::Token(command) => {
            let config = config::load(&environment)?;
            match command {
                TokenCommand::Verify { json } => token::verify(&config, json),
                TokenCommand::AcceptSecrets => token::accept_secrets(&config),
            }
        }
        Command::Notify(NotifyCommand::Test { names }) => {
            test_notifiers(&config::load(&environment)?, &names)
        }
    }
}

/// What to do about a gateway that must be told and is not.
const TELL: &str = "restart it or save the channel once in its console; set gateway.url and gateway.access_token_file to have keyfresh do it";

fn serve(environment: &Environment) -> Result<bool> {
    runtime()?.block_on(daemon::serve(environment))?;
    Ok(true)
}

fn init(environment: &Environment, owner: &str) -> Result<bool> {
    let installation = config::init(environment, owner)?;
    for piece in &installation.pieces {
        let news = if piece.made { "made" } else { "kept" };
        println!("{news}  {}", piece.path.display());
    }
    make_state(&installation)?;
    if installation.is_older() {
        println!("next: run `keyfresh check`");
        return Ok(true);
    }
    let path = installation.config.path.unwrap_or_default();
    println!(
        "next: describe your gateway and credentials in {}, then run `keyfresh check`",
        path.display()
    );
    Ok(true)
}

/// Makes the state and, where no gateway is configured, the embedded database: that one may also be
/// missing alone. Where nothing is missing, that is an error, as nothing is made twice.
fn make_state(installation: &config::Installation) -> Result<()> {
    let dir = &installation.config.state_dir;
    let embedded = store::embedded::path(dir);
    let wants_embedded = installation.config.gateway.is_none() && !embedded.exists();
    if wants_embedded && store::exists(dir) {
        println!("kept  {}", dir.display());
    } else {
        let (made, withheld) = create_state(installation)?;
        for path in made {
            println!("made  {}", path.display());
        }
        for row in withheld {
            println!("held  {}: {}", row.name, row.last_error.unwrap_or_default());
        }
        if let Some(owner) = installation.owner {
            store::give(dir, owner)?;
        }
    }
    if wants_embedded {
        gateway::embedded::create(&embedded)?;
        if installation.owner.is_some() {
            store::give(&embedded, store::owner_of(dir)?)?;
        }
        println!("made  {}", embedded.display());
    }
    Ok(())
}

/// The state's files, and the credentials that are withheld: beside a configuration and secrets that
/// were there already, a state was lost, or another host has one.
fn create_state(
    installation: &config::Installation,
) -> Result<(Vec<PathBuf>, Vec<Credential>), store::Error> {
    let dir = &installation.config.state_dir;
    let mut withheld = Vec::new();
    let made = store::create_with(dir, |db, key| {
        if installation.is_older() {
            let wanted = daemon::wanted(&installation.config);
            withheld = store::adopt::withhold(db, key, &wanted, Clock::system().now())?;
        }
        Ok(())
    })?;
    Ok((made, withheld))
}

/// How long a bearer is good, as typed.
fn ttl(text: &str) -> Result<Duration, &'static str> {
    config::span(text)
        .filter(|ttl| !ttl.is_zero())
        .ok_or("expected a whole number with s, m, h or d, from 1s to 3650d")
}

/// One thread drives all loops; what blocks runs on threads of its own.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

/// Whether the configuration or the installation is at fault: starting again will not help.
fn is_configuration(error: &anyhow::Error) -> bool {
    use store::Error::{
        Exists, Foreign, Incomplete, Missing, Newer, NoEmbedded, Owner, Readable, WrongKey,
    };
    error.is::<Problems>()
        || matches!(
            error.downcast_ref(),
            Some(
                Exists(_)
                    | Foreign(_)
                    | Incomplete(_)
                    | Missing(_)
                    | Newer(_)
                    | NoEmbedded(_)
                    | Owner { .. }
                    | Readable { .. }
                    | WrongKey
            )
        )
}

fn test_notifiers(config: &Config, names: &[String]) -> Result<bool> {
    let outcomes = runtime()?.block_on(daemon::test_notifiers(config, names))?;
    if outcomes.is_empty() {
        bail!("no notifier is configured: add [notify.wechat]");
    }
    for (name, outcome) in &outcomes {
        match outcome {
            Outcome::Sent => println!("{name}: the service accepted the test message"),
            Outcome::Idle => println!("{name}: nothing was sent"),
            Outcome::Waiting { until, reason } => {
                let reason = reason.as_deref().unwrap_or("the service's limits");
                println!("{name}: not before {until}: {reason}");
            }
            Outcome::Stopped { reason } => println!("{name}: stopped: {reason}"),
        }
    }
    Ok(outcomes
        .iter()
        .all(|(_, outcome)| *outcome == Outcome::Sent))
}
