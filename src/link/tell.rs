//! Telling the gateway of a write: its own management API, asked to read one channel again.

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method};
use secrecy::{ExposeSecret as _, SecretString};
use tracing::warn;
use url::Url;
use zeroize::Zeroizing;

use super::{Error, Links, decide, learns};
use crate::gateway::Gateway;
use crate::store;
use crate::store::link::Link;
use crate::wire::{Answer, Request};

impl Links {
    /// Tells the gateway of every write among `seen` and `acted` that it was not told of yet. A failure
    /// is noted with the link and tried again with the next pass.
    pub(super) async fn tell(
        &self,
        gateway: &Gateway,
        seen: &[Link],
        acted: Vec<Link>,
    ) -> Result<(), Error> {
        let Some((url, token)) = self
            .settings
            .as_ref()
            .and_then(|settings| settings.url.as_ref().zip(settings.access_token.as_ref()))
        else {
            return Ok(());
        };
        let earlier = seen
            .iter()
            .filter(|link| acted.iter().all(|acted| acted.id != link.id))
            .cloned();
        let untold: Vec<Link> = earlier
            .chain(acted.iter().cloned())
            .filter(|link| link.untold)
            .collect();
        if untold.is_empty() {
            return Ok(());
        }
        let user = gateway.access_token_owner(token).await?;
        let mut told = Vec::with_capacity(untold.len());
        for mut link in untold {
            let request = reread(url, token, user, link.channel);
            let refused = match self.http.send(request).await {
                Ok(answer) => refusal(&answer),
                Err(error) => Some(crate::telemetry::chain(&error)),
            };
            if let Some(reason) = &refused {
                warn!(
                    channel = link.channel,
                    reason, "the gateway could not be told"
                );
            }
            link.untold = refused.is_some();
            link.last_error =
                refused.map(|reason| format!("the gateway could not be told: {reason}"));
            decide::settle_state(&mut link, learns(gateway));
            told.push(link);
        }
        Ok(self
            .store
            .write(move |db| told.iter().try_for_each(|link| store::link::save(db, link)))
            .await?)
    }
}

/// `PUT /api/channel/` with the id and nothing else: One-Hub and New API then read the row again and
/// change none of it. Any further field may overwrite what it does not name.
fn reread(base: &Url, token: &SecretString, user: Option<i64>, channel: i64) -> Request {
    let mut url = base.clone();
    url.set_path(&format!(
        "{}/api/channel/",
        base.path().trim_end_matches('/')
    ));
    let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    if let Ok(mut value) = HeaderValue::from_str(token.expose_secret()) {
        value.set_sensitive(true);
        headers.push((AUTHORIZATION, value));
    }
    if let Some(user) = user {
        headers.push((HeaderName::from_static("new-api-user"), user.into()));
    }
    Request {
        method: Method::PUT,
        url,
        headers,
        body: Zeroizing::new(format!("{{\"id\":{channel}}}").into_bytes()),
    }
}

/// Why the gateway did not do it: it answers 200 to refusals too.
fn refusal(answer: &Answer) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Envelope {
        success: bool,
        #[serde(default)]
        message: String,
    }
    if !answer.is_success() {
        return Some(format!("HTTP status {}", answer.status));
    }
    match serde_json::from_slice::<Envelope>(&answer.body) {
        Ok(envelope) if envelope.success => None,
        Ok(envelope) => Some(envelope.message),
        Err(_) => Some("an answer that is not the gateway's".to_owned()),
    }
}
