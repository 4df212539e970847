//! A loopback OAuth authorization server that rotates refresh tokens, detects reuse and fails on demand.
//!
//! Used by `keyfresh demo` and by the tests, for which its log ([`Authority::requests`]) is the judge:
//! it alone knows what was handled, whatever the client heard. It speaks as much HTTP/1.1 as one POST
//! needs, has one endpoint and one grant type, and asks no client for a proof. Not for production.

mod family;
mod wire;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use url::Url;

use self::family::Families;
use self::wire::Reply;
use crate::clock::{Clock, Timestamp};
use crate::secret;

const PATH: &str = "/oauth/token";

/// How the server behaves when nothing goes wrong.
#[derive(Clone, Debug)]
pub struct Settings {
    /// An access token's life.
    pub lifetime: Duration,
    /// Whether a refresh token works once; else it is echoed and stays valid.
    pub rotates: bool,
    /// How long a used refresh token is still exchanged; later it kills its family.
    pub grace: Duration,
    /// How long an exchange takes, in real time.
    pub latency: Duration,
    /// Whether an access token is a JWT with `exp`, or opaque.
    pub jwt: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_hours(1),
            rotates: true,
            grace: Duration::ZERO,
            latency: Duration::ZERO,
            jwt: false,
        }
    }
}

/// What goes wrong with one request. `handled` tells apart what looks alike to the client: whether
/// the token was exchanged all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut without an answer.
    Cut {
        /// Whether the token was exchanged.
        handled: bool,
    },
    /// The answer breaks off in its body. The refresh token comes last there.
    CutBody {
        /// How many bytes are missing at its end.
        missing: usize,
    },
    /// The answer comes this much later.
    Slow(Duration),
    /// An answer without an error code.
    Status {
        /// Its status.
        status: u16,
        /// Its `Retry-After`: seconds or a date.
        retry_after: Option<String>,
        /// Whether the token was exchanged.
        handled: bool,
    },
    /// A page for people, with status 200.
    Html,
    /// An error as RFC 6749 §5.2 has it; the token is not looked at.
    Error(u16, &'static str),
    /// An error as an object with `code`; the token is not looked at.
    ErrorObject(u16, &'static str),
    /// The answer lacks this member.
    Omit(&'static str),
    /// `expires_in` is this JSON, like `"3600"` or `-1`.
    ExpiresIn(String),
    /// The client is sent to the same endpoint again, with 307.
    Redirect,
    /// The answer comes byte by byte, chunked.
    Trickle,
    /// The answer is of 50 MB.
    Huge,
}

impl Fault {
    /// Whether the request fails before its token is looked at.
    fn precedes_handling(&self) -> bool {
        matches!(
            self,
            Self::Cut { handled: false }
                | Self::Status { handled: false, .. }
                | Self::Html
                | Self::Error(..)
                | Self::ErrorObject(..)
                | Self::Redirect
        )
    }
}

/// What the server did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// The token was exchanged.
    Granted,
    /// A used token was exchanged once more, within the grace.
    Graced,
    /// A used token came again: its family is dead.
    Reused,
    /// The token belongs to a dead family or was never issued.
    Refused,
    /// The token was not looked at: a fault, or not a refresh request.
    Untouched,
}

/// What a token is to the server that issued it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issued {
    /// A refresh token.
    Refresh {
        /// The login it belongs to: 0 for the first seed, and so on.
        family: usize,
        /// Its place there: 0 for the seed.
        generation: usize,
    },
    /// An access token.
    Access {
        /// The login it came of.
        family: usize,
        /// Which grant of that login brought it, counted from 1.
        grant: usize,
    },
}

/// One request, as the server saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When it was read.
    pub at: Timestamp,
    /// The login its token belongs to: 0 for the first seed, and so on.
    pub family: Option<usize>,
    /// The token's place in its family: 0 for the seed.
    pub generation: Option<usize>,
    /// What was done.
    pub ruling: Ruling,
}

/// The running server; it stops when dropped.
pub struct Authority {
    url: Url,
    desk: Arc<Desk>,
    task: JoinHandle<()>,
}

struct Desk {
    settings: Settings,
    clock: Clock,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    families: Families,
    faults: VecDeque<Fault>,
    seen: Vec<Seen>,
}

impl Authority {
    /// Listens on a free loopback port, on the runtime this is called in.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start(settings: Settings, clock: Clock) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}{PATH}", listener.local_addr()?);
        let url = Url::parse(&url).map_err(io::Error::other)?;
        let desk = Arc::new(Desk {
            settings,
            clock,
            books: Mutex::default(),
        });
        let task = tokio::spawn(listen(listener, Arc::clone(&desk)));
        Ok(Self { url, desk, task })
    }

    /// The token endpoint.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// A person logs in: the first refresh token of a new family.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn seed(&self) -> Result<SecretString, secret::Error> {
        self.desk.books().families.found()
    }

    /// Every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.desk.books().seen.clone()
    }

    /// The refresh token issued last in a family, delivered or not.
    #[must_use]
    pub fn newest(&self, family: usize) -> Option<SecretString> {
        self.desk.books().families.newest(family)
    }

    /// What `token` is, if it was issued here.
    #[must_use]
    pub fn what_is(&self, token: &SecretString) -> Option<Issued> {
        self.desk.books().families.what_is(token.expose_secret())
    }

    /// Whether a family's newest token can still be exchanged.
    #[must_use]
    pub fn alive(&self, family: usize) -> bool {
        self.desk.books().families.alive(family)
    }

    /// Every refresh and access token ever issued.
    #[must_use]
    pub fn issued(&self) -> Vec<SecretString> {
        self.desk.books().families.issued().to_vec()
    }

    /// Lets the next `times` requests without a fault yet fail by this one.
    pub fn fault(&self, fault: &Fault, times: usize) {
        let faults = std::iter::repeat_n(fault.clone(), times);
        self.desk.books().faults.extend(faults);
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(listener: TcpListener, desk: Arc<Desk>) {
    // Dropped with this task, which ends every connection.
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = Arc::clone(&desk);
                connections.spawn(async move {
                    if let Err(error) = desk.serve(stream).await {
                        tracing::debug!(%error, "the demo's client left");
                    }
                });
            }
            Err(error) => tracing::debug!(%error, "the demo's server cannot accept"),
        }
        while connections.try_join_next().is_some() {}
    }
}

impl Desk {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let request = wire::read(&mut stream).await?;
        if !self.settings.latency.is_zero() {
            self.clock.pause(self.settings.latency).await;
        }
        let (fault, reply) = self.rule(&request).map_err(io::Error::other)?;
        match fault {
            None => reply.write(&mut stream).await,
            Some(fault) => self.fail(&fault, reply, &mut stream).await,
        }
    }

    /// Takes the decision and writes it into the books, at one moment for all connections.
    fn rule(&self, request: &wire::Asked) -> Result<(Option<Fault>, Reply), secret::Error> {
        let now = self.clock.now();
        let mut books = self.books();
        let fault = books.faults.pop_front();
        let token = request.refresh_token(PATH);
        let place = token
            .as_ref()
            .ok()
            .and_then(|token| books.families.place(token));
        let (ruling, reply) = match (&fault, token) {
            (Some(fault), _) if fault.precedes_handling() => (Ruling::Untouched, Reply::empty(500)),
            (_, Err(reply)) => (Ruling::Untouched, reply),
            (_, Ok(_)) => {
                let ruling = books.families.judge(place, &self.settings, now);
                (ruling, self.reply(&mut books.families, ruling, place, now)?)
            }
        };
        books.seen.push(Seen {
            at: now,
            family: place.map(|(family, _)| family),
            generation: place.map(|(_, generation)| generation),
            ruling,
        });
        Ok((fault, reply))
    }

    fn reply(
        &self,
        families: &mut Families,
        ruling: Ruling,
        place: Option<(usize, usize)>,
        now: Timestamp,
    ) -> Result<Reply, secret::Error> {
        let (Ruling::Granted | Ruling::Graced, Some(place)) = (ruling, place) else {
            return Ok(Reply::error(400, "invalid_grant"));
        };
        let (access, refresh) = families.exchange(place, &self.settings, now)?;
        Ok(Reply::json(
            200,
            &serde_json::json!({
                "access_token": access.expose_secret(),
                "token_type": "Bearer",
                "expires_in": self.settings.lifetime.as_secs(),
                "refresh_token": refresh.expose_secret(),
            }),
        ))
    }

    async fn fail(&self, fault: &Fault, reply: Reply, stream: &mut TcpStream) -> io::Result<()> {
        let reply = match fault {
            Fault::Cut { .. } => return Ok(()),
            Fault::CutBody { missing } => return reply.write_without(*missing, stream).await,
            Fault::Trickle => return reply.trickle(stream).await,
            Fault::Huge => return wire::write_huge(stream).await,
            Fault::Slow(span) => {
                self.clock.pause(*span).await;
                reply
            }
            Fault::Status {
                status,
                retry_after,
                ..
            } => Reply::empty(*status).with("Retry-After", retry_after.as_deref()),
            Fault::Html => Reply::html("<html><body>Please sign in.</body></html>"),
            Fault::Error(status, code) => Reply::error(*status, code),
            Fault::ErrorObject(status, code) => {
                let error = serde_json::json!({"error": {"message": "no", "code": code}});
                Reply::json(*status, &error)
            }
            Fault::Omit(member) => reply.without(member),
            Fault::ExpiresIn(json) => reply.with_expires_in(json),
            Fault::Redirect => Reply::empty(307).with("Location", Some(PATH)),
        };
        reply.write(stream).await
    }
}

#[cfg(test)]
mod tests;
