//! The token API put together of the configuration and the parts that it shares with the loops.

use std::sync::Arc;

use anyhow::Result;

use super::{Parts, secrets};
use crate::api::{Style, Throttle, TokenApi};
use crate::config::Config;
use crate::gateway::OnDemand;
use crate::mint::Mint;

/// What the listener serves below `/api/token`; `gateway` is opened by the first call.
///
/// # Errors
/// When One-Hub itself would not start with its secrets.
pub(super) fn assemble(
    config: &Config,
    parts: &Parts,
    gateway: Arc<OnDemand>,
    mint: Mint,
) -> Result<Arc<TokenApi>> {
    Ok(Arc::new(TokenApi {
        gateway,
        store: parts.store.clone(),
        mint,
        one_hub: secrets::one_hub_mint(config)?,
        throttle: Throttle::new(config.api.auth_failures, &parts.clock),
        clock: parts.clock.clone(),
        style: Style {
            locale: config.locale,
            name_limit: config.api.name_limit,
            search_shape: config.api.search_shape,
            public_ids: config.api.public_ids,
            error_status: config.api.error_status,
        },
    }))
}
