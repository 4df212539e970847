//! `[credentials.NAME]`: a provider's client, a seed, the channels it feeds.

use std::time::Duration;

use figment::value::Value;
use secrecy::{ExposeSecret, SecretString};

use super::raw::Table;
use super::secret::Secret;
use super::value::{integer, listed};
use crate::provider::{self, Client, ClientAuth, Encoding, Overrides, Rotation};

/// How long before expiry a token is refreshed unless `refresh_before` says otherwise.
const REFRESH_BEFORE: Duration = Duration::from_hours(24);

/// One credential as configured.
#[derive(Clone, Debug)]
pub struct CredentialSettings {
    /// The name in `[credentials.NAME]`.
    pub name: String,
    /// Its OAuth client.
    pub client: Client,
    /// The refresh token to start from; not needed once it was adopted.
    pub seed: Option<SecretString>,
    /// The file or variable that holds the seed, for people.
    pub seed_source: Option<String>,
    /// The channels it feeds.
    pub channels: Vec<ChannelRef>,
    /// How long before its expiry the access token is refreshed, besides the schedule.
    pub refresh_before: Duration,
}

/// A channel, or one line of a channel that holds several keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelRef {
    /// `channels.id`.
    pub id: i64,
    /// The line of `channels.key`, counted from zero as `channel_info` does.
    pub line: Option<usize>,
}

impl ChannelRef {
    /// Whether both would write into the same place; no line means all of the channel.
    fn overlaps(self, other: Self) -> bool {
        let same_line = self.line.is_none() || other.line.is_none() || self.line == other.line;
        self.id == other.id && same_line
    }
}

/// Every credential, in the order of names. `has_gateway`: somebody meant to name a gateway's database.
pub(super) fn read(root: &mut Table<'_>, has_gateway: bool) -> Vec<CredentialSettings> {
    let mut found = Vec::new();
    let mut claims: Vec<Claim> = Vec::new();
    for (name, mut table) in root.tables("credentials") {
        let client = client(&mut table);
        let seed = seed(&mut table);
        let channels = channels(&mut table);
        let refresh_before = table.duration("refresh_before").unwrap_or(REFRESH_BEFORE);
        if !channels.is_empty() && !has_gateway {
            table.report(
                "channels",
                "channels need gateway.database, the file that holds them",
                "set database = \"sqlite:PATH\" in [gateway]",
            );
        }
        let claim = Claim {
            name: name.clone(),
            seed: seed.as_ref().map(|seed| seed.value.clone()),
            channels: channels.clone(),
        };
        for other in &claims {
            claim.compare(&table, other);
        }
        claims.push(claim);
        table.finish();
        let (seed, seed_source) = seed.map(|seed| (seed.value, seed.source)).unzip();
        // A client with a problem stands in for nothing: the load fails anyway.
        if let Some(client) = client {
            found.push(CredentialSettings {
                name,
                client,
                seed,
                seed_source,
                channels,
                refresh_before,
            });
        }
    }
    found
}

fn client(table: &mut Table<'_>) -> Option<Client> {
    let overrides = overrides(table);
    let presets: Vec<_> = provider::PRESETS
        .iter()
        .map(|preset| (preset.name, preset))
        .collect();
    let preset = table.choice("provider", &presets);
    if !table.has("provider") {
        let names: Vec<&str> = presets.iter().map(|(name, _)| *name).collect();
        table.report(
            "provider",
            format!("missing: expected one of {}", names.join(", ")),
            "write for example provider = \"openai-auth0\"",
        );
    }
    match preset?.client(overrides) {
        Ok(client) => Some(client),
        Err(problems) => {
            for problem in problems {
                let was_typed =
                    table.has(problem.key) || table.has(&format!("{}_file", problem.key));
                // What was typed and could not be read was reported already.
                if !(was_typed && problem.message.starts_with("missing")) {
                    let (fault, remedy) = problem
                        .message
                        .split_once(": ")
                        .unwrap_or((problem.message, "correct it"));
                    table.report(problem.key, fault, remedy);
                }
            }
            None
        }
    }
}

fn overrides(table: &mut Table<'_>) -> Overrides {
    let auth = [
        ("none", ClientAuth::None),
        ("basic", ClientAuth::Basic),
        ("post", ClientAuth::Post),
    ];
    let body = [("json", Encoding::Json), ("form", Encoding::Form)];
    let rotation = [
        ("rotates", Rotation::Rotates),
        ("keeps", Rotation::Keeps),
        ("unknown", Rotation::Unknown),
    ];
    Overrides {
        token_url: table.text("token_url"),
        client_id: table.text("client_id"),
        client_secret: table.secret("client_secret").map(|secret| secret.value),
        client_auth: table.choice("client_auth", &auth),
        body: table.choice("body", &body),
        scope: table.text("scope"),
        redirect_uri: table.text("redirect_uri"),
        extra: table.strings("extra").unwrap_or_default(),
        rotation: table.choice("rotation", &rotation),
        grace: table.duration("grace"),
        timeout: table.duration("timeout"),
        proxy: table.secret("proxy").map(|secret| secret.value),
        lifetime: table.duration("lifetime"),
    }
}

/// RFC 6749 appendix A.17: visible ASCII and blanks; a blank at an end or a second line is a slip.
fn seed(table: &mut Table<'_>) -> Option<Secret> {
    let seed = table.secret("refresh_token")?;
    let text = seed.value.expose_secret();
    let is_plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if is_plain && text.trim() == text {
        return Some(seed);
    }
    table.report(
        "refresh_token",
        "expected one line of plain ASCII without blanks at its ends",
        "copy the refresh token again, nothing else",
    );
    None
}

fn channels(table: &mut Table<'_>) -> Vec<ChannelRef> {
    let expected = "a list of channel ids, or { id = 5, line = 0 } for one line of a channel with several keys";
    let channels = table
        .parsed("channels", expected, "[1]", |value| {
            listed(value)?
                .iter()
                .map(channel)
                .collect::<Option<Vec<_>>>()
        })
        .unwrap_or_default();
    let twice = channels
        .iter()
        .enumerate()
        .find(|(index, one)| channels[..*index].iter().any(|other| other.overlaps(**one)));
    if let Some((_, one)) = twice {
        table.report(
            "channels",
            format!("channel {} is named twice", one.id),
            "name it once, or give each line of it",
        );
    }
    channels
}

fn channel(value: &Value) -> Option<ChannelRef> {
    let Some(entries) = value.as_dict() else {
        return Some(ChannelRef {
            id: integer(value).filter(|id| *id > 0)?,
            line: None,
        });
    };
    let line = match entries.get("line") {
        Some(line) => Some(usize::try_from(integer(line)?).ok()?),
        None => None,
    };
    let known = entries.len() == 1 + usize::from(line.is_some());
    Some(ChannelRef {
        id: integer(entries.get("id")?).filter(|id| known && *id > 0)?,
        line,
    })
}

/// What two credentials must not share: the token, which only one can spend, and a channel's place.
struct Claim {
    name: String,
    seed: Option<SecretString>,
    channels: Vec<ChannelRef>,
}

impl Claim {
    /// Reports what this one, read from `table`, shares with `other`.
    fn compare(&self, table: &Table<'_>, other: &Self) {
        let tokens =
            [self, other].map(|claim| claim.seed.as_ref().map(ExposeSecret::expose_secret));
        if self.seed.is_some() && tokens[0] == tokens[1] {
            table.report(
                "refresh_token",
                format!(
                    "the same refresh token stands in credentials.{}",
                    other.name
                ),
                "keep one of the two and list all channels there: a token can be spent once",
            );
        }
        let mut shared = self.channels.iter().filter(|own| {
            let mut theirs = other.channels.iter();
            theirs.any(|channel| channel.overlaps(**own))
        });
        if let Some(channel) = shared.next() {
            table.report(
                "channels",
                format!(
                    "channel {} is fed by credentials.{} too",
                    channel.id, other.name
                ),
                "leave it to one of them, or give each a line of its own",
            );
        }
    }
}
