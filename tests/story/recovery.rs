//! Interrupted exchanges: what a slot holds decides, and nothing is sent for it.

use insta::assert_snapshot;
use keyfresh::store;
use keyfresh::store::claim::Claim;
use secrecy::ExposeSecret as _;

use crate::world::World;

/// Claims as the refresher does, and stops there.
async fn claimed(world: &mut World) -> Claim {
    let row = world.row("main").await;
    let config = world.config();
    let client = &config.credentials[0].client;
    let parts = world.parts();
    let claim = parts.store.claim(
        &parts.refresher.owner,
        row,
        client.digest_text(),
        client.preset,
        &world.clock,
    );
    claim.await.unwrap()
}

/// What the provider answers to `claim`, as it comes over the wire.
async fn answer(world: &World, claim: &Claim) -> String {
    let http = keyfresh::http::Http::new().unwrap();
    let config = world.config();
    let request = config.credentials[0].client.request(&claim.refresh_token);
    let answer = http.send(request).await.unwrap();
    let body = std::str::from_utf8(&answer.body).unwrap();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn interrupted(keep: impl Fn(&str) -> &str) -> World {
    let mut world = World::new().await;
    world.start().await;
    let mut claim = claimed(&mut world).await;
    let whole = answer(&world, &claim).await;
    claim.slot.write(keep(&whole).as_bytes());
    claim.slot.sync().unwrap();
    drop(claim);
    world.again().await;
    world
}

#[tokio::test]
async fn an_answer_in_its_slot_is_settled_without_a_request() {
    let mut world = interrupted(|whole| whole).await;
    assert_snapshot!(world.tell().await);
    assert!(world.authority.alive(0));
}

#[tokio::test]
async fn half_an_answer_leaves_the_credential_unconfirmed() {
    let mut world = interrupted(|whole| &whole[..whole.len() / 2]).await;
    let told = world.tell().await;
    assert!(told.contains("unconfirmed"), "{told}");
    assert!(told.contains("requests: token 0 granted\n"), "{told}");
}

#[tokio::test]
async fn a_cut_answer_with_a_whole_refresh_token_is_gone_on_with() {
    let mut world = interrupted(|whole| &whole[..whole.len() - 1]).await;
    assert_snapshot!(world.tell().await);
    world.wait(chrono::TimeDelta::minutes(5));
    world.pass().await;
    assert_eq!(world.requests(), "token 1 granted");
}

#[tokio::test]
async fn an_empty_slot_leaves_the_credential_unconfirmed() {
    let mut world = World::new().await;
    world.start().await;
    drop(claimed(&mut world).await);
    world.again().await;
    assert_snapshot!(world.tell().await);
}

#[tokio::test]
async fn an_answer_kept_beside_its_slot_is_found() {
    let mut world = World::new().await;
    world.start().await;
    let mut claim = claimed(&mut world).await;
    let whole = answer(&world, &claim).await;
    claim.slot.write(whole.as_bytes());
    let state = world.path("state");
    claim.slot.keep_elsewhere(&state).unwrap();
    // The slot itself was never written.
    std::fs::write(state.join("slots/00"), vec![0; 128 * 1024]).unwrap();
    drop(claim);
    world.again().await;
    assert_snapshot!(world.tell().await);
    let left = std::fs::read_dir(&state).unwrap();
    let names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.starts_with("answer")));
}

#[tokio::test]
async fn state_restored_from_an_old_backup_sends_no_spent_token() {
    let mut world = World::new().await;
    world.pass().await;
    world.stop();
    let backup = world.path("backup");
    let state = world.path("state");
    copy(&state, &backup);
    world.wait(chrono::TimeDelta::days(7));
    world.pass().await;
    world.tell().await;
    world.stop();
    std::fs::remove_dir_all(&state).unwrap();
    copy(&backup, &state);
    world.wait(chrono::TimeDelta::days(7));
    world.again().await;
    assert_snapshot!(world.tell().await);
    assert!(world.authority.alive(0));
}

/// A copy of a folder with its modes.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    let done = std::process::Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status();
    assert!(done.unwrap().success());
}

#[tokio::test]
async fn no_token_appears_in_plain_in_the_state() {
    let mut world = World::new().await;
    world.pass().await;
    let store = world.store().await;
    let row = world.row("main").await;
    let key = store.key();
    let token = store.read(move |db| store::credential::refresh_token(db, &key, row.id));
    let token = token.await.unwrap().unwrap();
    let issued = world.authority.issued();
    assert!(
        issued
            .iter()
            .any(|known| known.expose_secret() == token.expose_secret())
    );
    world.stop();
    for entry in walk(&world.path("state")) {
        let bytes = std::fs::read(&entry).unwrap();
        for token in &issued {
            let token = token.expose_secret().as_bytes();
            assert!(
                !bytes.windows(token.len()).any(|window| window == token),
                "{entry:?}"
            );
        }
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                walk(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}
