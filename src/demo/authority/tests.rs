use super::*;
use crate::exchange::{Door, Keep, Sent};
use crate::provider::{Client, Encoding, Outcome, Overrides, Verdict, preset, silence};

struct Unkept;

impl Keep for Unkept {
    fn keep(&mut self, _received: &[u8]) {}
}

/// A client's whole exchange, as the daemon makes it.
async fn exchange(authority: &Authority, token: &SecretString) -> Outcome {
    exchange_as(authority, token, Encoding::Form).await
}

async fn exchange_as(authority: &Authority, token: &SecretString, body: Encoding) -> Outcome {
    let overrides = Overrides {
        token_url: Some(authority.url().to_string()),
        client_id: Some("demo".into()),
        body: Some(body),
        ..Overrides::default()
    };
    let client: Client = preset("generic").unwrap().client(overrides).unwrap();
    let sent = Door::new()
        .send(
            client.request(token),
            None,
            Duration::from_secs(20),
            &mut Unkept,
        )
        .await;
    match sent {
        Sent::Answered(answer) => client.outcome(&answer, authority.desk.clock.now()),
        Sent::Silence(reason) => silence(&reason),
        Sent::Never(reason) => panic!("{reason}"),
    }
}

async fn started(settings: Settings) -> (Authority, Clock) {
    let clock = Clock::manual(Timestamp::from_timestamp(1_800_000_000, 0).unwrap());
    (
        Authority::start(settings, clock.clone()).await.unwrap(),
        clock,
    )
}

fn rulings(authority: &Authority) -> Vec<Ruling> {
    authority
        .requests()
        .iter()
        .map(|seen| seen.ruling)
        .collect()
}

#[tokio::test]
async fn each_token_works_once_and_a_reuse_kills_the_family() {
    let (authority, _) = started(Settings::default()).await;
    let (seed, other) = (authority.seed().unwrap(), authority.seed().unwrap());
    let first = exchange(&authority, &seed).await;
    let second = exchange_as(&authority, &first.refresh_token.unwrap(), Encoding::Json).await;
    assert!(matches!(second.verdict, Verdict::Granted { .. }));
    let replay = exchange(&authority, &seed).await;
    assert!(matches!(replay.verdict, Verdict::Rejected { .. }));
    let newest = authority.newest(0).unwrap();
    assert_eq!(
        newest.expose_secret(),
        second.refresh_token.unwrap().expose_secret()
    );
    exchange(&authority, &newest).await;
    exchange(&authority, &"made up".into()).await;
    let log: Vec<_> = authority
        .requests()
        .iter()
        .map(|seen| (seen.family, seen.generation, seen.ruling))
        .collect();
    assert_eq!(
        log,
        [
            (Some(0), Some(0), Ruling::Granted),
            (Some(0), Some(1), Ruling::Granted),
            (Some(0), Some(0), Ruling::Reused),
            (Some(0), Some(2), Ruling::Refused),
            (None, None, Ruling::Refused),
        ]
    );
    assert!(!authority.alive(0) && authority.alive(1));
    exchange(&authority, &other).await;
    // Two seeds, three grants of a pair each.
    assert_eq!(authority.issued().len(), 2 + 3 * 2);
}

#[tokio::test]
async fn a_grace_forgives_a_reuse_for_a_while() {
    let grace = Duration::from_secs(10);
    let (authority, clock) = started(Settings {
        grace,
        ..Settings::default()
    })
    .await;
    let seed = authority.seed().unwrap();
    exchange(&authority, &seed).await;
    clock.set(clock.now() + Duration::from_secs(9));
    exchange(&authority, &seed).await;
    clock.set(clock.now() + Duration::from_secs(1));
    exchange(&authority, &seed).await;
    assert_eq!(
        rulings(&authority),
        [Ruling::Granted, Ruling::Graced, Ruling::Reused]
    );
}

#[tokio::test]
async fn without_rotation_the_token_stays() {
    let settings = Settings {
        rotates: false,
        jwt: true,
        ..Settings::default()
    };
    let (authority, _) = started(settings).await;
    authority.fault(&Fault::Omit("expires_in"), 2);
    let seed = authority.seed().unwrap();
    for _ in 0..2 {
        let outcome = exchange(&authority, &seed).await;
        assert_eq!(
            outcome.refresh_token.unwrap().expose_secret(),
            seed.expose_secret()
        );
        let Verdict::Granted { lifetime, .. } = outcome.verdict else {
            panic!()
        };
        assert_eq!(lifetime, Duration::from_hours(1));
    }
}

/// What one fault looks like to the client, and what was done with the token.
async fn check(fault: Fault, heard: &str, ruling: Ruling) {
    let (authority, _) = started(Settings::default()).await;
    authority.fault(&fault, 1);
    let outcome = exchange(&authority, &authority.seed().unwrap()).await;
    let mut line = match outcome.verdict {
        Verdict::Granted { lifetime, .. } => format!("granted {}s", lifetime.as_secs()),
        Verdict::Rejected { code } => format!("rejected {code}"),
        Verdict::Retry { retry_after, .. } => format!("retry in {retry_after:?}"),
        Verdict::Unconfirmed { .. } => "unconfirmed".to_owned(),
    };
    if outcome.refresh_token.is_some() {
        line += " +";
    }
    assert_eq!(
        (line.as_str(), rulings(&authority)),
        (heard, vec![ruling]),
        "{fault:?}"
    );
}

fn status(status: u16, retry_after: Option<&str>, handled: bool) -> Fault {
    Fault::Status {
        status,
        retry_after: retry_after.map(str::to_owned),
        handled,
    }
}

#[tokio::test]
async fn some_faults_leave_the_token_alone() {
    let check = |fault, heard| check(fault, heard, Ruling::Untouched);
    let date = "Fri, 15 Jan 2027 08:00:09 GMT";
    check(Fault::Cut { handled: false }, "unconfirmed").await;
    check(status(503, Some("7"), false), "retry in Some(7s)").await;
    check(status(429, Some(date), false), "retry in Some(9s)").await;
    check(status(502, None, false), "unconfirmed").await;
    check(Fault::Html, "unconfirmed").await;
    check(Fault::Error(200, "invalid_grant"), "rejected invalid_grant").await;
    check(
        Fault::ErrorObject(401, "invalid_client"),
        "rejected invalid_client",
    )
    .await;
    check(Fault::Redirect, "unconfirmed").await;
}

#[tokio::test]
async fn other_faults_spend_the_token_all_the_same() {
    let check = |fault, heard| check(fault, heard, Ruling::Granted);
    check(Fault::Cut { handled: true }, "unconfirmed").await;
    check(Fault::CutBody { missing: 10 }, "unconfirmed").await;
    check(Fault::CutBody { missing: 1 }, "unconfirmed +").await;
    check(Fault::Slow(Duration::from_millis(1)), "granted 3600s +").await;
    check(status(502, None, true), "unconfirmed").await;
    check(Fault::Omit("refresh_token"), "granted 3600s").await;
    check(Fault::Omit("access_token"), "unconfirmed +").await;
    check(Fault::ExpiresIn("\"120\"".into()), "granted 120s +").await;
    check(Fault::ExpiresIn("-1".into()), "granted 3600s +").await;
    check(Fault::Trickle, "granted 3600s +").await;
    check(Fault::Huge, "unconfirmed").await;
}
