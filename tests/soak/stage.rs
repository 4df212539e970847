//! Who takes part: credentials with a channel each, in a copy of a real One-API's database.

use std::fmt::Write as _;

use keyfresh::demo::authority::Settings;
use keyfresh::secret::ExposeSecret as _;

use crate::support::installation::Installation;

/// The id before that of the first channel.
const CHANNELS: i64 = 1000;

/// The channel that a credential of this number feeds.
pub(crate) fn channel(number: usize) -> i64 {
    CHANNELS + i64::try_from(number).unwrap()
}

/// What a credential of this number is called.
pub(crate) fn name(number: usize) -> String {
    format!("c{number:04}")
}

/// As many `credentials` as asked for, numbered from 1 as the provider numbers their logins.
pub(crate) fn installation(credentials: usize) -> Installation {
    let world = Installation::with("one-api.db", Settings::default());
    // Once a year: what is due the run decides.
    world.edit(
        "cron = \"0 5 * * 1\"\n",
        "cron = \"0 5 1 1 *\"\nconcurrency = 16\nper_endpoint = 16\n",
    );
    let text = world.configuration();
    let (head, _) = text.split_once("[credentials.main]").unwrap();
    let mut text = head.replace("[log]\n", "[log]\ndir = \"logs\"\n");
    let mut gateway = world.other();
    let transaction = gateway.transaction().unwrap();
    for number in 1..=credentials {
        let (name, id) = (name(number), channel(number));
        let seed = world.authority.seed().unwrap();
        world.secret(&format!("{name}.token"), seed.expose_secret());
        writeln!(
            text,
            "[credentials.{name}]\nprovider = \"generic\"\ntoken_url = \"{}\"\nclient_id = \"soak\"\n\
             refresh_token_file = \"{name}.token\"\nchannels = [{id}]",
            world.authority.url(),
        )
        .unwrap();
        let rows = format!(
            r#"INSERT INTO channels (id, type, "key", status, name, created_time, models, "group")
               VALUES ({id}, 1, 'fixture-key-{id}', 1, 'soak', 1760000000, 'gpt-4o', 'default');
               INSERT INTO abilities ("group", model, channel_id, enabled)
               VALUES ('default', 'gpt-4o', {id}, 1);"#
        );
        transaction.execute_batch(&rows).unwrap();
    }
    transaction.commit().unwrap();
    world.configure(&text);
    world
}
