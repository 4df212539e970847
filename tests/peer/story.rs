//! One credential at the server: a normal refresh, a fault, and what a later refresh shows of it.

use crate::rows::After::{self, Dead, Granted, Retry, Unconfirmed, Wait};
use crate::rows::Row;
use crate::support::installation::{Installation, Ran};
use crate::support::peer::{Grant, Peer};

/// A credential at a server, and the login that feeds it.
pub(crate) struct Story<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) world: Installation,
    pub(crate) grant: Grant,
}

impl<'a> Story<'a> {
    /// One that has had a normal refresh.
    pub(crate) fn new(peer: &'a Peer) -> Self {
        let (world, grant) = Installation::at(peer, "one-api.db");
        let this = Self { peer, world, grant };
        this.world.done(&["once"]);
        assert_eq!(
            (this.asked(), this.stands(), this.holds()),
            (1, Granted, true)
        );
        this
    }

    /// How many requests of this login the server has seen.
    pub(crate) fn asked(&self) -> usize {
        self.peer.requests_of(&self.grant).len()
    }

    pub(crate) fn stands(&self) -> After {
        After::of(&self.world)
    }

    pub(crate) fn holds(&self) -> bool {
        self.world.holds(self.peer, &self.grant)
    }

    /// What a person does who wants a refresh now.
    pub(crate) fn force(&self) -> Ran {
        self.world.run(&["once", "--force"])
    }

    /// A day passes: the access token expires, and a `Retry-After` is over.
    pub(crate) fn sleep_over_it(&self) {
        let day = 24 * 3600 * 1000;
        let moved: Vec<String> = [
            "since",
            "since_uptime",
            "due_at",
            "not_before",
            "resend_at",
            "obtained_at",
            "obtained_uptime",
            "expires_at",
        ]
        .iter()
        .map(|moment| format!("{moment} = {moment} - {day}"))
        .collect();
        let sql = format!("UPDATE credential SET {}", moved.join(", "));
        self.world.state().execute(&sql, []).unwrap();
    }

    fn told(&self, event: &str) -> bool {
        let sql = "SELECT count(*) FROM event WHERE kind = ?1";
        let count: i64 = self
            .world
            .state()
            .query_row(sql, [event], |row| row.get(0))
            .unwrap();
        count > 0
    }

    /// The channel has the newest access token, whatever went wrong.
    fn serves(&self) -> bool {
        self.world.tokens("main").1 == Some(self.world.key(1))
    }

    /// The login is lost or refused: another one heals it.
    pub(crate) fn log_in_again(&mut self) {
        self.grant = self.peer.grant();
        self.world.run_with(
            &self.grant.refresh_token,
            &["credential", "replace", "main"],
        );
        self.world.done(&["once"]);
        assert_eq!(
            (self.asked(), self.stands(), self.holds()),
            (1, Granted, true)
        );
    }
}

/// The event that tells of it.
fn event(after: After) -> &'static str {
    match after {
        Granted => "refreshed",
        Retry | Wait => "failing",
        Unconfirmed => "unconfirmed",
        Dead => "dead",
    }
}

/// Drives the story of one row.
pub(crate) fn check(story: &mut Story, row: &Row) {
    let &Row { after, held, order } = row;
    story.peer.order(&[order]);
    let ran = story.force();
    let met = story.peer.requests_of(&story.grant).pop().unwrap();
    assert!(
        met.fault.is_some_and(|fault| order.contains(&fault)),
        "{order}"
    );
    assert_eq!(story.asked(), 2, "{order}: one claim, one request");
    assert_eq!(
        (story.stands(), story.holds()),
        (after, held),
        "{order}: {ran:?}"
    );
    assert_eq!(
        ran.code,
        Some(i32::from(after != Granted)),
        "{order}: {ran:?}"
    );
    assert!(story.told(event(after)), "{order}: {ran:?}");
    assert!(story.serves(), "{order}");
    let (refresh, access) = story.world.tokens("main");
    for token in [refresh, access].into_iter().flatten() {
        let said = ran.stdout.contains(&token) || ran.stderr.contains(&token);
        assert!(!said, "{order}: a token is told");
    }

    if after == Wait {
        let row = story.world.row();
        let wait = row.not_before.unwrap() - row.since.wall;
        assert!((590..=600).contains(&wait.num_seconds()), "{order}: {wait}");
    }

    story.force();
    assert_eq!(
        story.asked(),
        2 + usize::from(after.may_be_forced()),
        "{order}"
    );
    if !after.may_be_forced() {
        assert_eq!(story.stands(), after, "{order}");
        story.sleep_over_it();
        story.world.run(&["once"]);
        assert_eq!(story.asked(), 2 + usize::from(after != Dead), "{order}");
    }

    let (ends, replays) = match (after, held) {
        (Dead, _) => (Dead, 0),
        (_, true) => (Granted, 0),
        // The token was spent and the new one never came: the next request is a replay, and tells so.
        (_, false) => (Dead, 1),
    };
    assert_eq!(story.stands(), ends, "{order}: the refresh after it");
    assert_eq!(story.peer.replays(&story.grant), replays, "{order}");
    assert!(story.serves(), "{order}");
    if ends == Dead {
        assert!(story.told("dead"), "{order}");
        story.log_in_again();
    }
    assert!(
        story.holds(),
        "{order}: the newest token is in use, its grant alive"
    );
}
