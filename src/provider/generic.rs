//! Any other provider: plain RFC 6749 §6, with `token_url` and `client_id` from the configuration.
//!
//! Nothing is guessed: a form body, a public client, rotation unknown (treated as rotating) and an
//! hour's life where neither the answer nor the token tells it.

use std::time::Duration;

use super::{ClientAuth, Encoding, Preset, Rotation};

pub(super) const PRESET: Preset = Preset {
    name: "generic",
    token_url: None,
    client_id: None,
    client_auth: ClientAuth::None,
    body: Encoding::Form,
    scope: None,
    redirect_uri: None,
    extra: &[],
    rotation: Rotation::Unknown,
    grace: Duration::ZERO,
    timeout: Duration::from_secs(90),
    lifetime: Duration::from_hours(1),
    rejections: &[],
};

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::super::tests::written;
    use super::PRESET;
    use crate::clock::Timestamp;
    use crate::provider::{Overrides, Verdict, names_reuse, preset};
    use crate::wire::Answer;

    #[test]
    fn golden() {
        let overrides = Overrides {
            token_url: Some("https://id.example/token".into()),
            client_id: Some("me".into()),
            ..Overrides::default()
        };
        assert_eq!(
            written(
                &preset(PRESET.name).unwrap().client(overrides).unwrap(),
                "the-seed"
            ),
            "POST https://id.example/token\n\
             accept: application/json\n\
             content-type: application/x-www-form-urlencoded\n\n\
             grant_type=refresh_token&client_id=me&refresh_token=the-seed"
        );
    }

    #[test]
    fn a_code_that_names_reuse_is_final_at_any_endpoint() {
        let overrides = Overrides {
            token_url: Some("https://id.example/token".into()),
            client_id: Some("me".into()),
            ..Overrides::default()
        };
        let client = preset(PRESET.name).unwrap().client(overrides).unwrap();
        let answer = Answer {
            status: 401,
            headers: HeaderMap::new(),
            body: br#"{"error":{"code":"refresh_token_reused"}}"#.to_vec().into(),
            cut: None,
        };
        let now = Timestamp::from_timestamp(1_800_000_000, 0).unwrap();
        let Verdict::Rejected { code } = client.outcome(&answer, now).verdict else {
            panic!("it would be sent again");
        };
        assert!(names_reuse(&code));
    }
}
