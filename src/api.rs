//! The embedded HTTP module: a router over an own accept loop.
//!
//! `daemon.rs` binds, builds the [`router`] and serves it. Every answer of this module, refusals too,
//! wears the gateways' envelope `{"data":…,"message":…,"success":…}`. A resource is one file in `api/`
//! and one line in [`router`]; what holds for all of them is in `manners.rs`. Handlers read and change
//! rows; none exchanges, delivers or notifies (I5).

mod auth;
mod envelope;
mod health;
mod listener;
mod manners;
mod message;
mod openapi;
mod peer;
mod settings;
mod throttle;
mod token;

use std::sync::Arc;

use axum::Router;

pub use health::{Probe, Readiness};
pub use listener::{Error, Listener, Terms, bind, serve};
pub use manners::RequestId;
pub use peer::{Peer, Proxies};
pub use settings::{ErrorStatus, PublicIds, SearchShape};
pub use throttle::{RetryAfter, Throttle};
pub use token::{Style, TokenApi};

/// Everything that is served; `ready` tells at each call whether the process can do its job. Whoever asks
/// for what there is not is answered by `manners.rs`, in the envelope.
pub fn router(ready: Probe, tokens: Option<Arc<TokenApi>>) -> Router {
    Router::new()
        .merge(health::routes(ready))
        .merge(tokens.map_or_else(Router::new, token::routes))
}
