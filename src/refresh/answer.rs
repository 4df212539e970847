//! After the POST: the answer made durable, judged and settled; also the one that an earlier process
//! left in its slot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::TimeDelta;
use tracing::{error, info, warn};

use super::flight::lock;
use super::{AGAIN, Refresher};
use crate::clock::{Reading, SLICE, Timestamp};
use crate::credential::{Credential, Phase, Terms};
use crate::exchange::{Sent, replay};
use crate::provider::{self, Outcome, Verdict};
use crate::secret::ExposeSecret as _;
use crate::store::claim::Tokens;
use crate::store::{self, Slot, Store};
use crate::telemetry::chain;

/// Where an answer was made durable.
enum Kept {
    InSlot,
    Elsewhere,
}

impl Refresher {
    /// Makes the answer durable before anything else happens with it: in its slot, or, while that
    /// cannot be written, in a file beside it; until then nobody claims.
    pub(super) async fn secure(&self, mut slot: Slot) -> Slot {
        let places: Vec<PathBuf> = self.elsewhere().map(Path::to_owned).collect();
        let mut complained = false;
        loop {
            let places = places.clone();
            let attempt = tokio::task::spawn_blocking(move || {
                let kept = slot.sync().map(|()| Kept::InSlot).or_else(|error| {
                    let elsewhere = places.iter().any(|dir| slot.keep_elsewhere(dir).is_ok());
                    elsewhere.then_some(Kept::Elsewhere).ok_or(error)
                });
                (slot, kept)
            });
            let kept = match attempt.await {
                Ok((back, kept)) => {
                    slot = back;
                    kept
                }
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            };
            let trouble = slot.take_trouble().filter(|_| !complained);
            let trouble = trouble.as_ref().map(|error| chain(error));
            match (kept, trouble) {
                (Ok(Kept::InSlot), None) => return slot,
                (Ok(Kept::InSlot), Some(error)) => {
                    warn!(error, "an answer was stored in its slot after a failure");
                    return slot;
                }
                (Ok(Kept::Elsewhere), error) => {
                    self.store.distrust();
                    error!(
                        error,
                        "an answer cannot be stored in its slot: it is kept in a file beside it"
                    );
                    return slot;
                }
                (Err(_), None) => {}
                (Err(_), Some(error)) => {
                    self.store.distrust();
                    error!(
                        error,
                        "an answer cannot be stored: it is held in memory until the disk takes it"
                    );
                    complained = true;
                }
            }
            self.clock.pause(AGAIN).await;
        }
    }

    /// Settles an exchange, trying again for as long as this process lives: `slot` has the answer. A
    /// copy kept elsewhere is removed once it is settled, not when this process has to give up.
    pub(super) async fn conclude(
        &self,
        claimed: Credential,
        outcome: Outcome,
        slot: &Slot,
        terms: Arc<Terms>,
    ) {
        let outcome = Arc::new(outcome);
        let mut complained = false;
        loop {
            let now = self.clock.read();
            match self.settle(&claimed, &outcome, &terms, now).await {
                Ok(row) => {
                    log(&row, &outcome, &self.store);
                    self.forget(slot);
                    // Later than a slice the loop looks again by itself: a thousand settlings must not
                    // each make it read all rows.
                    if row
                        .ready_at(now)
                        .is_some_and(|ready| ready < now.wall + SLICE)
                    {
                        self.wakers.refresh.notify_one();
                    }
                    break;
                }
                // The commit that seemed to fail had happened.
                Err(store::Error::Changed(_)) => {
                    self.forget(slot);
                    break;
                }
                Err(error) if !complained => {
                    complained = true;
                    error!(
                        credential.name = claimed.name,
                        error = chain(&error),
                        "an answer in its slot cannot be settled yet"
                    );
                }
                Err(_) if self.flight.is_closed() => break,
                Err(_) => {}
            }
            self.clock.pause(AGAIN).await;
        }
        self.wakers.links.notify_one();
        self.wakers.notices.send_replace(());
    }

    async fn settle(
        &self,
        claimed: &Credential,
        outcome: &Arc<Outcome>,
        terms: &Arc<Terms>,
        now: Reading,
    ) -> Result<Credential, store::Error> {
        let tokens = Tokens {
            access: match &outcome.verdict {
                Verdict::Granted { access_token, .. } => Some(access_token.clone()),
                _ => None,
            },
            refresh: outcome.refresh_token.clone(),
        };
        let (outcome, terms) = (Arc::clone(outcome), Arc::clone(terms));
        let rule = move |row: &mut Credential| {
            row.settle(
                &outcome.verdict,
                outcome.refresh_token.is_some(),
                &terms,
                now,
            )
        };
        let settled = self.store.settle(claimed.clone(), tokens, rule, now.wall);
        settled.await
    }

    /// Settles the claims that an earlier process left, by what their slots hold.
    pub(super) async fn recover(&self) -> Result<(), store::Error> {
        let settings = self.settings.borrow().clone();
        for interrupted in self.store.interrupted(&self.owner).await? {
            let claimed = interrupted.credential;
            // Without terms it waits, parked, for its return to the configuration.
            let Some(terms) = settings.terms.get(&claimed.name) else {
                continue;
            };
            if !self.flight.board(claimed.id) {
                continue;
            }
            let mut terms = Terms::clone(terms);
            if let Some(asked) = provider::preset(&interrupted.preset) {
                terms.client.rejections = asked.rejections;
            }
            let sent = match self.kept(&interrupted.slot) {
                Ok(Some(received)) => replay(&received).await,
                Ok(None) => Sent::Silence("interrupted before an answer was stored".to_owned()),
                Err(error) => {
                    error!(
                        credential.name = claimed.name,
                        error = chain(&error),
                        "a slot cannot be read: its credential waits"
                    );
                    continue;
                }
            };
            let id = claimed.id;
            let outcome = aged(
                judge(&sent, &terms.client, claimed.since.wall),
                self.clock.read().age_of(claimed.since),
            );
            self.conclude(claimed, outcome, &interrupted.slot, Arc::new(terms))
                .await;
            lock(&self.flight.aboard).remove(&id);
        }
        Ok(())
    }

    /// Where an answer is kept whose slot cannot be written.
    fn elsewhere(&self) -> impl Iterator<Item = &Path> {
        [Some(self.store.dir()), self.runtime_dir.as_deref()]
            .into_iter()
            .flatten()
    }

    fn kept(&self, slot: &Slot) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, std::io::Error> {
        for dir in self.elsewhere() {
            if let Some(received) = slot.read_elsewhere(dir)? {
                return Ok(Some(received));
            }
        }
        slot.read()
    }

    fn forget(&self, slot: &Slot) {
        for dir in self.elsewhere() {
            if let Err(error) = slot.forget_elsewhere(dir) {
                warn!(
                    error = chain(&error),
                    "a settled answer's spare copy could not be removed"
                );
            }
        }
    }
}

pub(super) fn judge(sent: &Sent, client: &provider::Client, now: Timestamp) -> Outcome {
    match sent {
        Sent::Never(reason) => provider::never_sent(reason),
        Sent::Silence(reason) => provider::silence(reason),
        Sent::Answered(answer) => client.outcome(answer, now),
    }
}

/// An outcome as of its claim, `age` later: an access token has lived that long already.
fn aged(mut outcome: Outcome, age: TimeDelta) -> Outcome {
    if let Verdict::Granted { lifetime, .. } = &mut outcome.verdict {
        *lifetime = lifetime.saturating_sub(age.to_std().unwrap_or_default());
    }
    outcome
}

/// One line for each exchange that was settled.
fn log(row: &Credential, outcome: &Outcome, store: &Store) {
    let name = row.name.as_str();
    let reason = row.last_error.as_deref().unwrap_or_default();
    match (&outcome.verdict, row.phase) {
        (Verdict::Granted { access_token, .. }, _) => info!(
            credential.name = name,
            generation = row.generation,
            token.fingerprint = %store.key().fingerprint(access_token.expose_secret()),
            expires_at = row.expires_at.map(|moment| moment.to_rfc3339()),
            due_at = row.due_at.to_rfc3339(),
            "refreshed"
        ),
        (_, Phase::Dead) => error!(credential.name = name, reason, "the refresh token is dead"),
        (_, Phase::Unconfirmed { resend_at }) => warn!(
            credential.name = name,
            reason,
            resend_at = resend_at.to_rfc3339(),
            "whether the refresh token was spent is not known"
        ),
        _ => warn!(
            credential.name = name,
            reason,
            due_at = row.due_at.to_rfc3339(),
            failures = row.failures,
            "the exchange failed and will be tried again"
        ),
    }
}
