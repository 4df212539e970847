//! A thousand credentials: all due at once, then at rest.

use std::fmt::Write as _;
use std::time::Duration;

use keyfresh::clock::{Clock, Timestamp};
use keyfresh::demo::authority::Settings;
use keyfresh::secret::ExposeSecret as _;

use crate::support::daemon::Daemon;
use crate::support::installation::Installation;
use crate::table::{Table, Target};
use crate::{current, process, reach, ready};

const CREDENTIALS: usize = 1000;

/// The channels added to the gateway's file have ids above this one.
const CHANNELS: usize = 1000;

const LATENCY: Duration = Duration::from_millis(50);

/// What the endpoint alone takes, in seconds: 64 exchanges at once, each of [`LATENCY`].
const IDEAL: f64 = 1000.0 / 64.0 * 0.05;

/// How long an idle daemon is watched: a round of its slowest loop, the one over the channels.
const IDLE: Duration = Duration::from_secs(62);

/// How long threads that the burst needed stay around, and the watch after a write.
const COOL_DOWN: Duration = Duration::from_secs(12);

const SETTLED: &str = "SELECT count(*) FROM credential WHERE phase = 'resting' AND generation = 1";

pub(crate) fn measure(table: &mut Table) {
    let alone = world(false);
    let daemon = alone.serve();
    reach(&alone, &daemon, SETTLED, CREDENTIALS);
    let settled = until_last(&alone, &daemon, "refreshed");
    let what = "1,000 due at once, no channels: settled";
    table.line(what, settled / IDEAL, Target::Most(1.5), "x ideal");
    daemon.stop();
    drop(alone);

    let linked = world(true);
    let daemon = linked.serve();
    let first = daemon.ready_after.as_secs_f64() * 1000.0;
    table.line(
        "READY=1 of the first start, 1,000 seeds",
        first,
        Target::Shown,
        "ms",
    );
    reach(&linked, &daemon, SETTLED, CREDENTIALS);
    reach(&linked, &daemon, &current(1), CREDENTIALS);
    let settled = until_last(&linked, &daemon, "refreshed");
    let what = "1,000 due at once, each with a channel: settled";
    table.line(what, settled / IDEAL, Target::Most(1.5), "x ideal");
    let written = until_last(&linked, &daemon, "channel written");
    table.line(
        "  … every channel written",
        written / IDEAL,
        Target::Shown,
        "x ideal",
    );
    at_rest(&linked, &daemon, table);
    daemon.stop();
    ready(&linked, "1,000 credentials", table);
}

/// A thousand credentials, each with a channel of its own if they are `linked`.
fn world(linked: bool) -> Installation {
    let world = Installation::with(
        "one-api.db",
        Settings {
            latency: LATENCY,
            ..Settings::default()
        },
    );
    let cron = "cron = \"0 5 * * 1\"\n";
    world.edit(
        cron,
        &format!("{cron}concurrency = 64\nper_endpoint = 64\n"),
    );
    // At rest no gateway is watched any more for serving an old key, which is two of these.
    world.edit("[gateway]\n", "[gateway]\nsync_interval = \"5s\"\n");
    let text = world.configuration();
    let (head, _) = text.split_once("[credentials.main]").unwrap();
    let mut text = head.to_owned();
    for number in 1..=CREDENTIALS {
        let seed = world.authority.seed().unwrap();
        writeln!(
            text,
            "[credentials.c{number:04}]\nprovider = \"openai-auth0\"\ntoken_url = \"{}\"\n\
             refresh_token = \"{}\"\nchannels = [{}]",
            world.authority.url(),
            seed.expose_secret(),
            if linked {
                (CHANNELS + number).to_string()
            } else {
                String::new()
            },
        )
        .unwrap();
    }
    world.configure(&text);
    let mut gateway = world.other();
    let transaction = gateway.transaction().unwrap();
    for id in CHANNELS + 1..=CHANNELS + CREDENTIALS {
        let rows = format!(
            r#"INSERT INTO channels (id, type, "key", status, name, created_time, models, "group")
               VALUES ({id}, 1, 'old-{id}', 1, 'bench', 1760000000, 'gpt-4o', 'default');
               INSERT INTO abilities ("group", model, channel_id, enabled)
               VALUES ('default', 'gpt-4o', {id}, 1);"#
        );
        transaction.execute_batch(&rows).unwrap();
    }
    transaction.commit().unwrap();
    world
}

/// The seconds from READY, or the first request if that was sooner, to the last log line that says `what`.
fn until_last(world: &Installation, daemon: &Daemon, what: &str) -> f64 {
    let log = daemon.log();
    let moment = |what: &str| -> Timestamp {
        let line = log.lines().rfind(|line| line.contains(what)).unwrap();
        line.split(' ').next().unwrap().parse().unwrap()
    };
    let begun = world.authority.requests()[0].at.min(moment(": ready"));
    (moment(what) - begun).to_std().unwrap().as_secs_f64()
}

/// Memory and processor time of a daemon that has nothing to do but look.
fn at_rest(world: &Installation, daemon: &Daemon, table: &mut Table) {
    let clock = Clock::system();
    let wait = |span| world.runtime.block_on(clock.pause(span));
    wait(COOL_DOWN);
    let with = "1,000 credentials and channels after the burst";
    let resident = process::memory(daemon.pid(), "status", "VmRSS:");
    table.line(format!("RSS, {with}"), resident, Target::Most(20.0), "MB");
    let share = process::memory(daemon.pid(), "smaps_rollup", "Pss:");
    table.line(format!("PSS, {with}"), share, Target::Shown, "MB");
    let before = process::processor_times(daemon.pid());
    let watch = clock.stopwatch();
    wait(IDLE);
    let spent: u64 = process::processor_times(daemon.pid())
        .into_iter()
        .map(|(thread, time)| time - before.get(&thread).unwrap_or(&0))
        .sum();
    let share = Duration::from_nanos(spent).as_secs_f64() / watch.elapsed().as_secs_f64();
    let what = format!(
        "CPU at rest over {} s, 1,000 credentials and channels",
        IDLE.as_secs()
    );
    table.line(what, share * 100.0, Target::Most(0.1), "% of a core");
}
