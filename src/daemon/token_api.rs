//! The token API put together of the configuration and the parts that it shares with the loops.

use std::sync::Arc;

use anyhow::Result;

use super::Parts;
use crate::api::{Style, Throttle, TokenApi};
use crate::config::Config;
use crate::mint::Mint;

/// What the listener serves below `/api/token`; nothing is opened yet.
///
/// # Errors
/// When a secret is missing or cannot be used.
pub(super) fn assemble(config: &Config, parts: &Parts) -> Result<Option<Arc<TokenApi>>> {
    let secrets = config.api_secrets()?;
    let mint = Mint::new(
        &secrets.token_secret,
        secrets.token_secret_previous.as_ref(),
        &secrets.hashids_salt,
    )?;
    let Some(gateway) = parts.gateway.clone() else {
        return Ok(None);
    };
    Ok(Some(Arc::new(TokenApi {
        gateway,
        store: parts.store.clone(),
        mint,
        one_hub: None,
        throttle: Throttle::new(config.api.auth_failures, &parts.clock),
        clock: parts.clock.clone(),
        style: Style {
            locale: config.locale,
            name_limit: config.api.name_limit,
            search_shape: config.api.search_shape,
            public_ids: config.api.public_ids,
            error_status: config.api.error_status,
        },
    })))
}
