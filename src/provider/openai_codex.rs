//! `OpenAI` Codex: the login of the Codex command line.
//!
//! Endpoint, client id and the codes of a dead token are openai/codex's (`codex-rs/login`, read, never
//! called live). Refresh tokens work once; the access token is a JWT that tells its own expiry,
//! seven to ten days ahead.

use std::time::Duration;

use super::{ClientAuth, Encoding, Preset, Rotation};

pub(super) const PRESET: Preset = Preset {
    name: "openai-codex",
    token_url: Some("https://auth.openai.com/oauth/token"),
    client_id: Some("app_EMoamEEZ73f0CkXaXp7hrann"),
    client_auth: ClientAuth::None,
    body: Encoding::Json,
    scope: None,
    redirect_uri: None,
    extra: &[],
    rotation: Rotation::Rotates,
    grace: Duration::ZERO,
    timeout: Duration::from_secs(90),
    lifetime: Duration::from_hours(7 * 24),
    rejections: &[
        "refresh_token_expired",
        "refresh_token_reused",
        "refresh_token_invalidated",
        "invalid_refresh_token",
    ],
};

#[cfg(test)]
mod tests {
    use super::super::tests::written;
    use super::PRESET;
    use crate::provider::{Overrides, preset};

    #[test]
    fn golden() {
        let client = preset(PRESET.name)
            .unwrap()
            .client(Overrides::default())
            .unwrap();
        assert_eq!(
            written(&client, "the-seed"),
            "POST https://auth.openai.com/oauth/token\n\
             accept: application/json\n\
             content-type: application/json\n\n\
             {\"grant_type\":\"refresh_token\",\
             \"client_id\":\"app_EMoamEEZ73f0CkXaXp7hrann\",\
             \"refresh_token\":\"the-seed\"}"
        );
    }
}
