//! keyfresh keeps the OAuth keys of an LLM gateway fresh: it exchanges refresh tokens for access tokens,
//! puts those into the gateway's `channels`, and tells the administrator. This page is the map.
//!
//! # Bird's-eye view
//!
//! Plug-ins translate, the core decides, the shell acts.
//!
//! - *Translate*: a provider preset, a gateway layout and a notifier are pure mappings between our words
//!   and somebody's wire format, one file each. No IO, no clock.
//! - *Decide*: [`credential`] is the life of one credential as a pure state machine, `link/decide.rs` that
//!   of one channel, `notify/step.rs` that of one notifier. Time is an argument.
//! - *Act*: [`refresh`], [`link`] and [`notify::courier`] are three loops that meet in the rows of
//!   [`store`] and nowhere else. Each looks at what is stored and does what is missing, so a pass may be
//!   repeated or cut off anywhere.
//!
//! One refresh, in the order that keeps its promise:
//!
//! ```text
//! preflight   the gateway can be written, a linked channel holds a key that we know
//! claim       phase, attempt, slot: committed                                  store/claim.rs
//! POST        exactly one; nothing is sent for a claim older than 5 s          exchange.rs
//! answer      as it comes, sealed, into the claim's slot; fdatasync            store/slot.rs
//! settle      tokens, ledger, events in one transaction                        refresh/answer.rs
//! link        compare-and-set into the gateway's channels                      link.rs
//! notice      the events behind a notifier's cursor become one message         notify.rs
//! ```
//!
//! The promise: a refresh token that the provider rotated is not lost once its answer is in its slot. Its
//! limit: an answer that never reached this process cannot be kept; the credential is then
//! `Unconfirmed`, which a person is told, and the old token is not replayed before that can cost nothing.
//!
//! # Code map, in reading order
//!
//! - [`refresh`]: the job. What was interrupted is settled, what is due is claimed, exchanged, settled.
//! - [`credential`]: the rules. Phases, when something is due, what an outcome does, back-off.
//! - [`link`]: channels brought to the current generation and kept there.
//! - [`schedule`]: the cron pattern, the due moment, and the wake-up that knocks every ten seconds.
//! - [`secret`], [`clock`], [`wire`]: the words. Masked, fingerprinted and sealed secrets; the one clock;
//!   requests and answers as plain values.
//! - [`mint`]: keys, hidden ids and bearers made of the API's two secrets; One-Hub's own keys.
//! - [`provider`]: presets, the POST of RFC 6749 §6, what an answer means.
//! - [`gateway`]: One-API, New API and One-Hub as columns; a wanted key as statements; users and tokens.
//! - [`notify`]: events folded into messages, a service's limits, PushPlus, the courier of each notifier.
//! - [`exchange`]: the door to token endpoints; [`http`]: the door for all that may be sent twice;
//!   [`tls`]: whom both trust, and who the listener is; [`database`]: the door to a gateway's SQLite file.
//! - [`store`]: our own state. Rows, ledger, events, slots, the lock.
//! - [`api`]: the listener and its manners, with `/healthz` and `/readyz`.
//! - [`config`]: what was typed and what it means, every problem at once.
//! - [`daemon`]: the parts put together; `serve`, its signals and systemd. [`cli`]: the commands.
//!   [`telemetry`]: the log. [`demo`]: the tour, whose loopback players the tests use as well.
//!
//! # Invariants
//!
//! - I1 No refresh token leaves before a claim for that attempt is committed: [`store::claim::Claim`],
//!   which holds the token and the slot, is made by [`store::Store::claim`] alone.
//! - I2 What is read from a token endpoint is written to the slot by the next system call, and synced
//!   before it is judged. Exchange and settling run in a task that nothing cancels: not a stop, a reload
//!   or another's time-out. A panic there parks that credential until the next start, nobody else.
//! - I3 Settling is one transaction: phase, tokens, ledger, events.
//! - I4 Links and notices decide from rows alone and may run twice. A channel's write is a
//!   compare-and-set; a notifier's cursor moves only after the service accepted.
//! - I5 API and commands do not act, they change rows; but `once` and the demo run a pass of their own,
//!   and `notify test` sends its message. The loops are woken in process, and see another process's
//!   changes by `PRAGMA data_version` within a second.
//! - I6 Time enters through [`clock`]; jitter is a hash of credential and attempt. The wall clock may jump:
//!   it tells the date, and within one boot the uptime tells how long a token of unknown fate, a grace
//!   window and a `Retry-After` have waited. Nobody sleeps for longer than was planned.
//! - I7 No secret reaches a log line, event, notice, error text, URL, process list or `Debug`. The one
//!   exception is asked for: PushPlus' GET form carries its own token in the URL.
//! - I8 A gateway's tables are never migrated. Only the columns that a layout names are written, in one
//!   short transaction that reads the key back.
//! - I9 Whoever refreshes holds an flock on `state.lock` for life. `once` that finds it held marks rows
//!   due and waits for the holder. `status`, `check`, `credential` and `user` need no lock.
//! - I10 A failed refresh leaves the channel's key alone.
//! - I11 Only [`store::create_with`] makes a state, and only `init` the embedded database beside it; whoever
//!   else misses a piece stops with exit 78. A seed that was configured before its state was made is sent
//!   by a person's word alone.
//! - I12 Only SQLite opens a live database file. A gateway's file is opened without CREATE, its device
//!   and inode are compared before each transaction, and the write probe changes a byte and rolls back.
//!
//! # Import arrows
//!
//! ```text
//! main → cli → daemon, demo → everything
//! refresh, link, notify/courier → credential, provider, gateway, notify, store and a door each
//! credential → provider, schedule, and the words of notify
//! gateway → database           notify/text → the link rows of store
//! exchange, http → tls         store → credential, notify           api → store, gateway, database, tls
//! config → credential, gateway, notify, provider, schedule, api, tls  (only cli, daemon and demo import it)
//! secret, clock, wire and telemetry::chain are open to all; plug-ins import nothing else
//! ```
//!
//! `tests/tidy.rs` holds these, the sizes and the banned calls.
//!
//! # Where building changed the plan
//!
//! - The exchange is hyper over our own IO, not reqwest: the system call after the one that reads must be
//!   the write into the slot, and a client whose connection lives in a task of its own cannot promise
//!   that. reqwest carries notices and calls to the gateway, which may be sent twice.
//! - A slot is two halves written in turn, each with everything received so far: a torn write leaves the
//!   one before it, and a cut answer is kept as far as it came.
//! - A slot that cannot be written has a second chance: the answer goes into a file beside the state, or
//!   in `$RUNTIME_DIRECTORY`, and is found there at the next start.
//! - Concurrent writes to our own state share one commit, each in its own SAVEPOINT.
//! - A gateway has two threads for point reads, one for scans and one writer, for links and the API alike:
//!   each drains what waits into one transaction. How long a lock is waited for is counted by those who
//!   ask, not by SQLite, so that calls queued behind a locked file fail together.
//! - Each notifier has a loop of its own instead of one for all: a dead service delays no other.

pub mod refresh;

pub mod credential;
pub mod link;
pub mod schedule;

pub mod clock;
pub mod secret;
pub mod wire;

pub mod gateway;
pub mod mint;
pub mod notify;
pub mod provider;

pub mod database;
pub mod exchange;
pub mod http;
pub mod tls;

pub mod store;

pub mod api;

pub mod cli;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod telemetry;
