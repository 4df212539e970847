//! `config.example.toml`: every key, every default.

use keyfresh::config::Config;

use super::place::Place;
use super::{CANARY, known};

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// The example with every key in force; `to` stays out, for it excludes `topic`.
fn uncommented() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(key) if key.starts_with("to = ") => String::new(),
        Some(key) if !key.starts_with(' ') => key.to_owned(),
        _ => line.to_owned(),
    };
    EXAMPLE.lines().map(|text| line(text) + "\n").collect()
}

fn complete() -> Place {
    let files = [
        "gateway.token",
        "one-hub.user_token_secret",
        "one-hub.hashids_salt",
        "chatgpt.token",
    ];
    let files = files.iter().chain(&[
        "chatgpt.client_secret",
        "pushplus.token",
        "token_secret",
        "hashids_salt",
        "token_secret.previous",
    ]);
    let tls = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    files
        .fold(Place::with(&uncommented()), |place, name| {
            place.file(name, CANARY)
        })
        .file("chatgpt.proxy", "socks5://u:CANARY@127.0.0.1:1080")
        .file("tls.crt", &tls.cert.pem())
        .file("tls.key", &tls.signing_key.serialize_pem())
}

#[test]
fn the_example_shows_every_default() {
    assert!(Place::with(EXAMPLE).config().credentials.is_empty());
    let place = complete();
    let (shown, default) = (place.config(), Place::with("").config());
    let settings = |config: &Config| {
        let (api, log) = (&config.api, &config.log);
        let words = (
            config.locale,
            &config.state_dir,
            log.level,
            log.format,
            log.keep_days,
        );
        let listener = (&api.listen, api.allow_plaintext, &api.trusted_proxies);
        let answers = (
            api.name_limit,
            api.search_shape,
            api.public_ids,
            api.error_status,
            api.auth_failures,
        );
        format!("{words:?} {listener:?} {answers:?} {:?}", config.schedule)
    };
    assert_eq!(settings(&shown), settings(&default));

    let least = Place::with(
        "[gateway]\ndatabase = \"/opt/one-api/one-api.db\"\n\
         [credentials.chatgpt]\nprovider = \"openai-auth0\"\n\
         [notify.wechat]\ntype = \"pushplus\"\ntoken = \"t\"\n",
    );
    let (shown, default) = (place.config(), least.config());
    assert_eq!(shown.notifiers[0].events, default.notifiers[0].events);
    assert_eq!(
        shown.credentials[0].refresh_before,
        default.credentials[0].refresh_before
    );
    let client = |config: &Config| {
        let client = &config.credentials[0].client;
        let words = (
            &client.token_url,
            &client.client_id,
            client.client_auth,
            client.body,
            &client.redirect_uri,
        );
        format!(
            "{words:?} {:?}",
            (
                client.rotation,
                client.grace,
                client.timeout,
                client.lifetime
            )
        )
    };
    assert_eq!(client(&shown), client(&default));
    let (shown, default) = (shown.gateway.unwrap(), default.gateway.unwrap());
    assert_eq!(shown.database, default.database);
    assert_eq!(
        (shown.kind, shown.busy_timeout),
        (default.kind, default.busy_timeout)
    );
}

#[test]
fn the_example_shows_every_key() {
    for (table, keys) in known() {
        let keys = keys
            .iter()
            .filter(|key| !table.is_empty() || *key == "locale");
        for key in keys {
            let is_shown = |key: &str| {
                EXAMPLE
                    .lines()
                    .any(|line| line.starts_with(&format!("#{key} = ")))
            };
            assert!(
                is_shown(key) || is_shown(&format!("{key}_file")),
                "{table}: {key}"
            );
        }
    }
}

#[test]
fn a_good_configuration_hides_its_secrets() {
    let text = format!("{:?}", complete().config());
    assert!(!text.contains("CANARY"), "{text}");
}
