//! What a token endpoint's answer means: [`Client::outcome`], called by `refresh.rs` through
//! [`super`].
//!
//! The judgement goes by the status and by what [`Members`] found in the body. Once its JSON object
//! is closed a body is complete, whatever the transport says of its end. A provider's own words are
//! never passed on, except an error code that looks like one.

use std::time::Duration;

use base64::Engine as _;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use zeroize::Zeroizing;

use super::members::{Members, number};
use super::{Client, Outcome, Verdict};
use crate::clock::Timestamp;
use crate::wire::Answer;

/// RFC 6749 §5.2: refused for good, until token, client or endpoint changes.
const REJECTIONS: [&str; 6] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

/// Refused because the token was used already, by the provider's own word (openai/codex
/// `codex-rs/login`): a client of any preset may point at an endpoint that says so.
const REUSED: [&str; 1] = ["refresh_token_reused"];

/// Refused for the token's sake: RFC 6749 §5.2's code and openai/codex's two like it.
const UNUSABLE: [&str; 3] = [
    "invalid_grant",
    "invalid_refresh_token",
    "refresh_token_invalidated",
];

/// RFC 6749 §4.1.2.1's two passing errors, which some token endpoints use, and RFC 8628 §3.5's.
const PASSING: [&str; 3] = ["temporarily_unavailable", "server_error", "slow_down"];

/// Nothing said by a provider is believed below or beyond this.
const SHORTEST: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_hours(400 * 24);

/// The outcome of a request that never left: it can be sent again. `reason` holds no secret.
#[must_use]
pub fn never_sent(reason: &str) -> Outcome {
    retry(reason.to_owned(), None)
}

/// The outcome of a request that may have left, with nothing readable in return. `reason` holds no
/// secret.
#[must_use]
pub fn silence(reason: &str) -> Outcome {
    unconfirmed(reason.to_owned())
}

/// Whether `code` says that the refresh token had been used before.
#[must_use]
pub fn names_reuse(code: &str) -> bool {
    REUSED.contains(&code)
}

/// Whether `code` says that the refresh token itself is at fault, and not the request or its client,
/// but not why: it may have been revoked, expired or used.
#[must_use]
pub fn blames_token(code: &str) -> bool {
    UNUSABLE.contains(&code)
}

impl Client {
    /// What `answer` means, read at `now`.
    #[must_use]
    pub fn outcome(&self, answer: &Answer, now: Timestamp) -> Outcome {
        let members = Members::read(&answer.body);
        let mut outcome = if answer.is_success() {
            self.judge_success(&members, now)
        } else {
            self.judge_failure(answer, &members, now)
        };
        if answer.is_success() {
            outcome.refresh_token = members.refresh_token;
        } else if let (Verdict::Unconfirmed { reason }, Some(cut)) =
            (&mut outcome.verdict, &answer.cut)
        {
            *reason = format!("{reason}, cut: {cut}");
        }
        outcome
    }

    fn judge_success(&self, members: &Members, now: Timestamp) -> Outcome {
        if !members.closed {
            return unconfirmed("the answer is not one whole JSON object".to_owned());
        }
        match (&members.error, &members.access_token) {
            (Some(code), _) if self.rejects(code) => rejected(code),
            (Some(code), _) if PASSING.contains(&code.as_str()) => {
                retry(format!("the provider says {code}"), None)
            }
            (Some(code), _) => unconfirmed(format!("answered with {}", members.shown(code))),
            (None, None) => unconfirmed("the answer has no usable access token".to_owned()),
            (None, Some(access_token)) => Outcome {
                verdict: Verdict::Granted {
                    access_token: access_token.clone(),
                    lifetime: self.lifetime_of(members, access_token, now),
                },
                refresh_token: None,
            },
        }
    }

    /// A 429 and a passing error prove that nothing was spent, whatever else the answer says.
    fn judge_failure(&self, answer: &Answer, members: &Members, now: Timestamp) -> Outcome {
        let status = answer.status;
        let code = members.error.as_deref().or(members.code.as_deref());
        let retry_after = retry_after(answer, now);
        let refused = (400..500).contains(&status);
        match code {
            _ if status == 429 => {
                retry("the provider limits the rate (429)".to_owned(), retry_after)
            }
            Some(code) if status >= 400 && PASSING.contains(&code) => {
                retry(format!("the provider says {code} ({status})"), retry_after)
            }
            Some(code) if refused && self.rejects(code) => rejected(code),
            Some(code) if refused => retry(
                format!("refused with {status}, {}", members.shown(code)),
                retry_after,
            ),
            None if refused => retry(format!("refused with {status}, no error code"), retry_after),
            _ if status == 503 && answer.headers.contains_key(http::header::RETRY_AFTER) => {
                retry("the provider is unavailable (503)".to_owned(), retry_after)
            }
            _ => unconfirmed(format!("answered with status {status}")),
        }
    }

    fn rejects(&self, code: &str) -> bool {
        REJECTIONS.contains(&code) || REUSED.contains(&code) || self.rejections.contains(&code)
    }

    fn lifetime_of(
        &self,
        members: &Members,
        access_token: &SecretString,
        now: Timestamp,
    ) -> Duration {
        let seconds = members.expires_in.or_else(|| {
            #[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years")]
            let now = now.timestamp_millis() as f64 / 1000.0;
            jwt_expiry(access_token.expose_secret()).map(|expiry| expiry - now)
        });
        seconds
            .and_then(span)
            .unwrap_or(self.lifetime)
            .clamp(SHORTEST, LONGEST)
    }
}

fn rejected(code: &str) -> Outcome {
    judged(Verdict::Rejected {
        code: code.to_owned(),
    })
}

fn retry(reason: String, retry_after: Option<Duration>) -> Outcome {
    judged(Verdict::Retry {
        reason,
        retry_after,
    })
}

fn unconfirmed(reason: String) -> Outcome {
    judged(Verdict::Unconfirmed { reason })
}

fn judged(verdict: Verdict) -> Outcome {
    Outcome {
        verdict,
        refresh_token: None,
    }
}

/// RFC 9110 §10.2.3: seconds or a date.
fn retry_after(answer: &Answer, now: Timestamp) -> Option<Duration> {
    let text = answer.header("retry-after")?.trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let until = Timestamp::from(httpdate::parse_http_date(text).ok()?);
        (until - now).to_std().unwrap_or_default()
    };
    Some(wait.min(LONGEST))
}

/// A positive number of seconds as a span; zero, negative and unreadable numbers count as absent.
fn span(seconds: f64) -> Option<Duration> {
    (seconds > 0.0).then(|| Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64())))
}

/// RFC 7519 §4.1.4 `exp`, unverified: the token is for the gateway, we only plan by it.
fn jwt_expiry(token: &str) -> Option<f64> {
    let mut parts = token.split('.');
    let (_header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(claims.trim_end_matches('='))
        .map(Zeroizing::new)
        .ok()?;
    number(serde_json::from_slice::<Value>(&claims).ok()?.get("exp")?)
}

#[cfg(test)]
mod tests;
