//! `keyfresh once` against the shell script that it replaces, turn by turn in one run.
//!
//! Both do the whole job in every round: exchange, channel, message. The endpoint answers at once and
//! keeps its refresh tokens, since the script cannot follow a rotation.

use std::process::{Command, Stdio};
use std::time::Duration;

use keyfresh::clock::Clock;
use keyfresh::demo::authority::Settings;
use keyfresh::secret::ExposeSecret as _;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use rusqlite::config::DbConfig;

use crate::support::installation::Installation;
use crate::table::{Table, Target};
use crate::{is_installed, median, search_path};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/script.sh");

/// What the script needs beyond a shell.
const TOOLS: [&str; 3] = ["curl", "jq", "sqlite3"];

/// Rounds that count, and those before them that warm the caches.
const ROUNDS: usize = 25;
const WARM_UP: usize = 2;

/// What one run took: wall time, and processor time of all its processes, in milliseconds.
struct Cost {
    wall: f64,
    processor: f64,
}

pub(crate) fn measure(table: &mut Table) {
    let missing: Vec<&str> = TOOLS
        .into_iter()
        .filter(|tool| !is_installed(tool))
        .collect();
    if !missing.is_empty() {
        let missing = missing.join(" ");
        let reason = format!("missing: {missing} (apt-get install {missing})");
        table.unmeasured("`once` beside the script", reason);
        return;
    }
    let settings = Settings {
        rotates: false,
        ..Settings::default()
    };
    let world = Installation::with("one-api.db", settings);
    let rounds = WARM_UP + ROUNDS;
    let mut costs: Vec<(Cost, Cost)> = (0..rounds)
        .map(|_| (once(&world), script(&world)))
        .collect();
    assert_eq!(world.authority.requests().len(), 2 * rounds);
    assert_eq!(world.sink.messages().len(), 2 * rounds);
    costs.drain(..WARM_UP);
    let median = |of: fn(&(Cost, Cost)) -> f64| median(costs.iter().map(of).collect());
    let wall = [
        median(|(once, _)| once.wall),
        median(|(_, script)| script.wall),
    ];
    let processor = [
        median(|(once, _)| once.processor),
        median(|(_, script)| script.processor),
    ];
    for (what, [ours, theirs]) in [("wall time", wall), ("CPU", processor)] {
        let what = format!("`once` beside the script, {what}, medians of {ROUNDS}");
        table.line(what, ours, Target::Most(theirs), "ms");
    }
}

/// One forced pass. The notifier's counts are put back first, or PushPlus's limits would hold back the
/// sixth message of a minute; as by any process of ours, the state's log is left to the next one.
fn once(world: &Installation) -> Cost {
    let forget = "UPDATE notifier SET not_before = NULL, tries = 0, detail = '{}'";
    let rows = world.state();
    rows.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .unwrap();
    rows.execute(forget, []).unwrap();
    drop(rows);
    cost(world.command(&["once", "--force"]).stderr(Stdio::null()))
}

/// Its own token is that of the same login; the channel is another.
fn script(world: &Installation) -> Cost {
    let mut command = Command::new(SCRIPT);
    world.prepare(&mut command);
    command
        .env("PATH", search_path())
        .env("TOKEN_URL", world.authority.url().as_str())
        .env(
            "REFRESH_TOKEN",
            world.authority.newest(0).unwrap().expose_secret(),
        )
        .env("DATABASE", &world.gateway)
        .env("CHANNEL", "4")
        .env("PUSHPLUS_URL", world.sink.url().as_str());
    cost(&mut command)
}

/// Runs `command` and all that it starts.
fn cost(command: &mut Command) -> Cost {
    command.stdout(Stdio::null());
    let before = spent();
    let watch = Clock::system().stopwatch();
    let status = command.status().unwrap();
    let wall = watch.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    let milliseconds = |span: Duration| span.as_secs_f64() * 1000.0;
    Cost {
        wall: milliseconds(wall),
        processor: milliseconds(spent().saturating_sub(before)),
    }
}

/// The processor time of every process that this one has waited for, and of theirs.
fn spent() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let span = |time: TimeVal| {
        Duration::from_secs(time.tv_sec().cast_unsigned())
            + Duration::from_micros(time.tv_usec().cast_unsigned())
    };
    span(usage.user_time()) + span(usage.system_time())
}
