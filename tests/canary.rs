//! No secret shows (I7): after a long and unlucky life none of the tokens minted in it is found in
//! anything that keyfresh prints, logs, tells or keeps in plain sight.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use keyfresh::clock::Clock;
use keyfresh::demo::authority::Fault;
use keyfresh::secret::ExposeSecret;
use support::installation::{Installation, Ran};
use support::until;
use tokio::net::TcpListener;

/// Where something may have been told, and what.
type Said = Vec<(String, Vec<u8>)>;

/// A token endpoint that repeats what it was sent in an error, and in a page.
fn parrot(world: &Installation) -> String {
    let listener = world
        .runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let url = format!("http://{}/error", listener.local_addr().unwrap());
    let error = async |body: String| {
        let answer = serde_json::json!({"error": body, "error_description": body});
        (StatusCode::BAD_REQUEST, answer.to_string())
    };
    let page = async |body: String| format!("<html>{body}</html>");
    let router = axum::Router::new()
        .route("/error", axum::routing::post(error))
        .route("/page", axum::routing::post(page));
    world.runtime.spawn(async move {
        axum::serve(listener, router).await.unwrap();
    });
    url
}

fn note(said: &mut Said, name: &str, ran: Ran) {
    said.push((format!("{name}: stdout"), ran.stdout.into_bytes()));
    said.push((format!("{name}: stderr"), ran.stderr.into_bytes()));
}

/// The faults of a provider, one exchange each; a login that is given up gets a new one.
fn unlucky_life(world: &Installation, said: &mut Said) {
    let faults = [
        Fault::Cut { handled: true },
        Fault::CutBody { missing: 20 },
        Fault::Status {
            status: 500,
            retry_after: None,
            handled: true,
        },
        Fault::Html,
        Fault::Error(400, "invalid_grant"),
        Fault::ErrorObject(401, "refresh_token_reused"),
        Fault::Omit("access_token"),
        Fault::ExpiresIn("\"soon\"".into()),
        Fault::Trickle,
    ];
    for fault in faults {
        world.authority.fault(&fault, 1);
        note(said, &format!("{fault:?}"), world.run(&["once", "--force"]));
        note(said, "status", world.run(&["status"]));
        renew(world, said);
    }
    let url = world.authority.url().as_str();
    let error = parrot(world);
    for answer in [error.clone(), error.replace("/error", "/page")] {
        world.edit(url, &answer);
        note(said, "parrot", world.run(&["once", "--force"]));
        note(said, "status", world.run(&["status", "--json"]));
        renew(world, said);
        world.edit(&answer, url);
    }
}

fn renew(world: &Installation, said: &mut Said) {
    let seed = world.authority.seed().unwrap();
    let ran = world.run_with(seed.expose_secret(), &["credential", "replace", "main"]);
    note(said, "replace", ran);
    fs::remove_file(world.path("input")).unwrap();
}

/// What everybody may see of a process.
fn process(said: &mut Said, pid: u32) {
    for file in ["cmdline", "environ", "comm"] {
        let path = format!("/proc/{pid}/{file}");
        said.push((path.clone(), fs::read(&path).unwrap()));
    }
}

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let inside = |path: PathBuf| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    };
    entries
        .flat_map(|entry| inside(entry.unwrap().path()))
        .collect()
}

#[test]
fn nothing_that_was_minted_is_found_anywhere() {
    let world = Installation::new("one-api.db");
    world.edit(
        "level = \"info\"",
        "level = \"trace\"\nformat = \"json\"\ndir = \"logs\"",
    );
    world.edit("[notify.wechat]\n", "[notify.wechat]\nevents = [\"refreshed\", \"failing\", \"dead\", \"unconfirmed\", \"recovered\", \"conflict\", \"starting\", \"stopping\"]\n");
    let mut said = Said::new();
    note(&mut said, "check", world.run(&["check"]));
    note(&mut said, "once", world.run(&["once"]));
    unlucky_life(&world, &mut said);

    let daemon = world.serve();
    let generation = world.row().generation;
    world.make_due(Clock::system().now());
    until("the daemon has refreshed", || {
        (world.row().generation > generation).then_some(())
    });
    process(&mut said, daemon.pid());
    world.change("UPDATE channels SET key = 'a-stranger' WHERE id = 1");
    note(
        &mut said,
        "refresh",
        world.run(&["credential", "refresh", "main"]),
    );
    until("the conflict is seen", || {
        (world.status()["channels"][0]["state"] == "conflict").then_some(())
    });
    note(
        &mut said,
        "take-over",
        world.run(&["credential", "take-over", "main"]),
    );
    until("the channel is ours", || {
        (world.tokens("main").1 == Some(world.key(1))).then_some(())
    });
    let page = daemon.page("/readyz").1;
    said.push(("/readyz".into(), page.into_bytes()));
    note(&mut said, "serve", daemon.stop());
    note(&mut said, "notify test", world.run(&["notify", "test"]));
    note(&mut said, "check", world.run(&["check"]));

    // Not the seed, which a person put there, and not the gateway's file, which the keys are for.
    let plain = ["logs", "state"]
        .map(|folder| files(&world.path(folder)))
        .concat();
    assert!(plain.len() > 64, "logs, slots and database are looked into");
    said.extend(
        plain
            .iter()
            .map(|path| (path.display().to_string(), fs::read(path).unwrap())),
    );
    let notices = world.sink.messages();
    assert!(notices.len() >= 3, "{notices:?}");
    said.extend(
        notices
            .into_iter()
            .map(|text| ("a notice".to_owned(), text.into_bytes())),
    );

    search(&world, &said);
}

/// Looks for everything secret in everything said.
fn search(world: &Installation, said: &Said) {
    let minted = world.authority.issued();
    assert!(minted.len() > 20);
    let secrets = ["pushplus.token", "token_secret", "hashids_salt"];
    let secrets = secrets.map(|name| fs::read_to_string(world.path(name)).unwrap());
    let sought = minted.iter().map(ExposeSecret::expose_secret);
    for token in sought.chain(secrets.iter().map(String::as_str)) {
        for (place, text) in said {
            let found = text
                .windows(token.len())
                .any(|part| part == token.as_bytes());
            assert!(
                !found,
                "a secret stands in {place}: {}",
                String::from_utf8_lossy(text)
            );
        }
    }
}
