//! What was away and comes back: a channel, a state from a backup, an answer kept beside its slot; and
//! what no force brings back.

use std::fs;
use std::path::Path;
use std::process::Command;

use insta::assert_snapshot;
use keyfresh::demo::authority::Fault;
use keyfresh::exchange::Door;
use keyfresh::refresh::Pick;

use crate::support::world::{World, hours, minutes, whole};

#[tokio::test]
async fn a_channel_that_goes_may_come_back() {
    let mut world = World::new("one-api.db").await;
    world.settings("main").channels = whole(&[1, 4]);
    world.once().await;
    world.sql("CREATE TABLE away AS SELECT * FROM channels WHERE id = 4; DELETE FROM channels WHERE id = 4");
    world.after(minutes(1)).await;
    let gone = world.picture().await;
    world.sql("INSERT INTO channels SELECT * FROM away; DROP TABLE away");
    world.after(minutes(1)).await;
    assert_snapshot!(format!("{gone}\n{}", world.picture().await));
}

/// A folder with its modes, whole.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

#[tokio::test]
async fn a_state_from_an_old_backup_sends_no_spent_token() {
    let mut world = World::new("one-api.db").await;
    world.once().await;
    world.stop();
    let (state, backup) = (world.path("state"), world.path("backup"));
    copy(&state, &backup);
    world.when_due().await;
    world.stop();
    fs::remove_dir_all(&state).unwrap();
    copy(&backup, &state);
    world.after(hours(1)).await;
    assert_snapshot!(world.picture().await);
    assert!(world.authority.alive(0));
}

#[tokio::test]
async fn an_answer_kept_beside_its_slot_is_found_and_settled() {
    let mut world = World::new("one-api.db").await;
    let client = world.settings("main").client.clone();
    let row = world.row("main").await;
    world.check_channels().await;
    world.stop();
    let store = world.store();
    let owner = store.own().unwrap();
    let text = client.digest_text();
    let claim = store.claim(&owner, row, text, client.preset, &world.clock);
    let mut claim = claim.await.unwrap();
    let request = client.request(&claim.refresh_token);
    let door = Door::new();
    drop(
        door.send(request, None, client.timeout, &mut claim.slot)
            .await,
    );
    let state = world.path("state");
    claim.slot.keep_elsewhere(&state).unwrap();
    // As if the slot itself could not be written.
    fs::write(state.join("slots/00"), vec![0; 128 * 1024]).unwrap();
    drop((claim, owner, store));
    world.once().await;
    assert_snapshot!(world.picture().await);
    let names = fs::read_dir(&state)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert!(
        names
            .into_iter()
            .all(|name| !name.to_string_lossy().starts_with("answer"))
    );
}

/// A pass with `--force`; what the provider was asked by it.
async fn forced(world: &mut World) -> Vec<String> {
    let before = world.asked_at().len();
    let force = Pick {
        names: Vec::new(),
        force: true,
    };
    world.parts().await.once(&force).await.unwrap();
    world.asked_at().split_off(before)
}

#[tokio::test]
async fn force_overrides_schedule_and_back_off_alone() {
    let wait = |retry_after: Option<&str>| Fault::Status {
        status: 429,
        retry_after: retry_after.map(str::to_owned),
        handled: false,
    };
    let cases = [
        (None, 1),
        (Some(wait(None)), 1),
        (Some(wait(Some("600"))), 0),
        (Some(Fault::Error(400, "invalid_grant")), 0),
        (Some(Fault::Cut { handled: false }), 0),
    ];
    for (fault, asked) in cases {
        let mut world = World::new("one-api.db").await;
        if let Some(fault) = &fault {
            world.authority.fault(fault, 1);
        }
        world.once().await;
        assert_eq!(forced(&mut world).await.len(), asked, "{fault:?}");
    }
}
