//! `/healthz` (the process lives) and `/readyz` (it can do its job), for monitors and load balancers.
//!
//! Open to whoever reaches the listener, so nothing but fixed phrases may appear in an answer: no name,
//! path or error text of ours.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use super::envelope::{done, unready};

/// Asked at each call of `/readyz`; must answer at once, from memory.
pub type Probe = Arc<dyn Fn() -> Readiness + Send + Sync>;

/// What stands in the way of the job; empty when nothing does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Phrases fit for strangers, such as `the gateway's database cannot be written`.
    pub obstacles: Vec<&'static str>,
}

pub(super) fn routes(ready: Probe) -> Router {
    Router::new().route("/healthz", get(async || done())).route(
        "/readyz",
        get(async move || {
            let obstacles = ready().obstacles;
            if obstacles.is_empty() {
                done()
            } else {
                unready(obstacles)
            }
        }),
    )
}
