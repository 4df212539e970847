//! `ChatGPT`'s former iOS login: what the One-API community's cron script calls each week.
//!
//! Endpoint, client id and redirect URI are the script's. It never looks whether the refresh token
//! rotates, so neither do we claim to know. The script trusts an access token for more than a week.

use std::time::Duration;

use super::{ClientAuth, Encoding, Preset, Rotation};

pub(super) const PRESET: Preset = Preset {
    name: "openai-auth0",
    token_url: Some("https://auth0.openai.com/oauth/token"),
    client_id: Some("pdlLIX2Y72MIl2rhLhTE9VV9bN905kBh"),
    client_auth: ClientAuth::None,
    body: Encoding::Json,
    scope: None,
    redirect_uri: Some("com.openai.chat://auth0.openai.com/ios/com.openai.chat/callback"),
    extra: &[],
    rotation: Rotation::Unknown,
    grace: Duration::ZERO,
    timeout: Duration::from_secs(90),
    lifetime: Duration::from_hours(7 * 24),
    rejections: &[],
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
            "POST https://auth0.openai.com/oauth/token\n\
             accept: application/json\n\
             content-type: application/json\n\n\
             {\"redirect_uri\":\"com.openai.chat://auth0.openai.com/ios/com.openai.chat/callback\",\
             \"grant_type\":\"refresh_token\",\
             \"client_id\":\"pdlLIX2Y72MIl2rhLhTE9VV9bN905kBh\",\
             \"refresh_token\":\"the-seed\"}"
        );
    }
}
