//! PushPlus (推送加): one message to WeChat and the other channels that the account has set up.
//!
//! Wire facts: guide/api.md V1.17 and guide/code.md of the official documentation. The answer's
//! `code` decides, never the HTTP status. Absent on purpose: `timestamp` (an expiry: the service
//! would drop a late message), `callbackUrl`, `batchSend` and the result query.

use std::time::Duration;

use http::{HeaderValue, Method, header};
use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

use super::{Delivery, Format, Limits, Message, Notifier};
use crate::clock::Timestamp;
use crate::secret::{ExposeSecret, SecretString, mask};
use crate::wire;

/// Where the service listens unless `url` says otherwise.
pub const URL: &str = "https://www.pushplus.plus/send";

/// A verified account's limits (help/limit.md); requests count, also wrong ones.
const LIMITS: Limits = Limits {
    per_minute: 5,
    per_day: 200,
    same_per_hour: 3,
    day: chrono_tz::Asia::Shanghai,
    title: 100,
    content: 20_000,
};

/// What a GET can carry: servers refuse a request line over 8 KiB, a Chinese character takes 9 bytes.
const GET_CONTENT: usize = 700;

/// How long a refusal that may concern this one message is left alone.
const REFUSED: Duration = Duration::from_hours(1);

/// The most of the service's own words that a reason repeats, in characters.
const REASON: usize = 200;

/// `[notify.NAME]` with `type = "pushplus"`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address that takes messages, [`URL`] by default; https but for `allow_plaintext`.
    pub url: Url,
    /// The account's token (用户令牌) or a message token (消息令牌).
    pub token: SecretString,
    /// How the text is marked up.
    pub template: Format,
    /// A group's code (群组编码): one message to many. Never with `to`, over which it has precedence.
    pub topic: Option<String>,
    /// `wechat` (the service's default), `app`, `extension`, `webhook`, `cp`, `mail`, `sms` and so on.
    pub channel: Option<String>,
    /// Friends' tokens, or a `WeCom` user, separated by commas.
    pub to: Option<String>,
    /// The code of a channel set up in the web console; `webhook` and `cp` need one.
    pub option: Option<String>,
    /// Send by GET, everything in the query: for relays that take nothing else (`method = "get"`).
    pub get: bool,
}

/// The notifier.
#[derive(Clone, Debug)]
pub struct PushPlus(Settings);

impl PushPlus {
    /// A notifier with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self(settings)
    }

    /// The request's parameters in the documentation's order; what is unset is left out.
    fn parameters<'a>(&'a self, message: &'a Message) -> Vec<(&'static str, &'a str)> {
        let settings = &self.0;
        let always = [
            ("token", settings.token.expose_secret()),
            ("title", &message.title),
            ("content", &message.body),
            ("template", settings.template.word()),
        ];
        let optional = [
            ("topic", &settings.topic),
            ("channel", &settings.channel),
            ("to", &settings.to),
            ("option", &settings.option),
        ];
        let set = optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)));
        always.into_iter().chain(set).collect()
    }

    /// The service's words as a reason: one line, bounded, without the token.
    fn reason(&self, code: &str, words: &str) -> String {
        let token = self.0.token.expose_secret();
        let words = words
            .replace(token, &mask(token))
            .replace(&*urlencoding::encode(token), &mask(token));
        let line: String = words
            .split(|character: char| character.is_whitespace() || character.is_control())
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        let line: String = line.chars().take(REASON).collect();
        format!("PushPlus {code}: {line}")
            .trim_end_matches([':', ' '])
            .to_owned()
    }

    fn judge(&self, code: i64, words: &str, data: Option<&str>) -> Delivery {
        let reason = self.reason(&code.to_string(), words);
        match code {
            200 => Delivery::Accepted {
                serial: data.map(str::to_owned),
            },
            900 => Delivery::StopToday { reason },
            // Not logged in, address not allowed, not permitted, no points, invalid token, not verified.
            302 | 403 | 805 | 888 | 903 | 905 => Delivery::StopUntilChanged { reason },
            // Bad content as well as bad settings: the next message may pass, so the notifier lives on.
            600 | 999 => Delivery::Later {
                reason,
                after: Some(REFUSED),
            },
            _ => Delivery::Later {
                reason,
                after: None,
            },
        }
    }
}

impl Notifier for PushPlus {
    fn request(&self, message: &Message, _at: Timestamp) -> wire::Request {
        let parameters = self.parameters(message);
        let mut url = self.0.url.clone();
        if self.0.get {
            let given = url.query().filter(|query| !query.is_empty());
            let pairs = parameters
                .iter()
                .map(|(name, value)| format!("{name}={}", urlencoding::encode(value)));
            let query: Vec<_> = given.map(str::to_owned).into_iter().chain(pairs).collect();
            url.set_query(Some(&query.join("&")));
            return wire::Request {
                method: Method::GET,
                url,
                headers: Vec::new(),
                body: Zeroizing::new(Vec::new()),
            };
        }
        let fields: Map<String, Value> = parameters
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        wire::Request {
            method: Method::POST,
            url,
            headers: vec![(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )],
            body: Zeroizing::new(Value::Object(fields).to_string().into_bytes()),
        }
    }

    fn accepted(&self, answer: &wire::Answer) -> Delivery {
        let parsed: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let text = |name| parsed.as_ref()?.get(name)?.as_str();
        let code = parsed
            .as_ref()
            .and_then(|answer| match answer.get("code")? {
                Value::String(digits) => digits.trim().parse().ok(),
                number => number.as_i64(),
            });
        match code {
            Some(code) if answer.is_success() || code != 200 => {
                self.judge(code, text("msg").unwrap_or_default(), text("data"))
            }
            _ => Delivery::Later {
                reason: self.reason(
                    &format!("HTTP {}", answer.status),
                    answer.cut.as_deref().unwrap_or("no verdict in the answer"),
                ),
                after: answer
                    .header("retry-after")
                    .and_then(|seconds| seconds.trim().parse().ok())
                    .map(Duration::from_secs),
            },
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            content: if self.0.get {
                GET_CONTENT
            } else {
                LIMITS.content
            },
            ..LIMITS
        }
    }

    fn format(&self) -> Format {
        self.0.template
    }

    fn identity(&self) -> Zeroizing<String> {
        let nothing = Message {
            title: String::new(),
            body: String::new(),
        };
        let parameters = self.parameters(&nothing);
        Zeroizing::new(format!("{} {} {parameters:?}", self.0.url, self.0.get))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn settings() -> Settings {
        Settings {
            url: URL.parse().unwrap(),
            token: TOKEN.into(),
            template: Format::Html,
            topic: None,
            channel: None,
            to: None,
            option: None,
            get: false,
        }
    }

    fn request(settings: Settings) -> wire::Request {
        let message = Message {
            title: "keyfresh：chatgpt 已刷新".into(),
            body: "<p>a&amp;b \"c\" d+e</p>".into(),
        };
        PushPlus::new(settings).request(&message, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn posts_exactly_this_json() {
        let check = |settings, json: &str| {
            let request = request(settings);
            assert_eq!(request.method, Method::POST);
            assert_eq!(request.url.as_str(), URL);
            assert_eq!(
                request.headers,
                [(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("application/json")
                )]
            );
            assert_eq!(std::str::from_utf8(&request.body).unwrap(), json);
        };
        check(
            settings(),
            r#"{"token":"0123456789abcdef0123456789abcdef","title":"keyfresh：chatgpt 已刷新","content":"<p>a&amp;b \"c\" d+e</p>","template":"html"}"#,
        );
        check(
            Settings {
                template: Format::Text,
                topic: Some("ops".into()),
                channel: Some("webhook".into()),
                option: Some("bark".into()),
                ..settings()
            },
            r#"{"token":"0123456789abcdef0123456789abcdef","title":"keyfresh：chatgpt 已刷新","content":"<p>a&amp;b \"c\" d+e</p>","template":"txt","topic":"ops","channel":"webhook","option":"bark"}"#,
        );
    }

    #[test]
    fn gets_exactly_this_address() {
        let request = request(Settings {
            url: "http://127.0.0.1:9/relay/send?to_app=1".parse().unwrap(),
            to: Some("friend1,friend2".into()),
            get: true,
            ..settings()
        });
        assert_eq!(request.method, Method::GET);
        assert!(request.headers.is_empty() && request.body.is_empty());
        assert_eq!(
            request.url.as_str(),
            "http://127.0.0.1:9/relay/send?to_app=1&token=0123456789abcdef0123456789abcdef\
             &title=keyfresh%EF%BC%9Achatgpt%20%E5%B7%B2%E5%88%B7%E6%96%B0\
             &content=%3Cp%3Ea%26amp%3Bb%20%22c%22%20d%2Be%3C%2Fp%3E&template=html&to=friend1%2Cfriend2"
        );
        assert!(!format!("{request:?}").contains("0123"));
    }

    fn judged(status: u16, body: &str) -> Delivery {
        PushPlus::new(settings()).accepted(&wire::Answer {
            status,
            headers: [(header::RETRY_AFTER, HeaderValue::from_static("90"))]
                .into_iter()
                .collect(),
            body: Zeroizing::new(body.as_bytes().to_vec()),
            cut: None,
        })
    }

    #[test]
    fn the_code_decides() {
        let accepted = judged(200, r#"{"code":200,"msg":"请求成功","data":"a1b2"}"#);
        let serial = Some("a1b2".to_owned());
        assert_eq!(accepted, Delivery::Accepted { serial });

        let check = |code: &str, verdict: &str| {
            let delivery = judged(
                200,
                &format!(r#"{{"code":{code},"msg":"为什么","data":null}}"#),
            );
            let name = format!("{delivery:?}");
            assert!(name.starts_with(verdict), "{code}: {name}");
            if verdict != "Accepted" {
                assert!(name.contains("为什么"), "{code}: {name}");
            }
        };
        check("200", "Accepted");
        check("\"200\"", "Accepted");
        check("900", "StopToday");
        for code in ["302", "403", "805", "888", "903", "905"] {
            check(code, "StopUntilChanged");
        }
        for code in ["401", "500", "600", "999", "-1", "12345"] {
            check(code, "Later");
        }
    }

    #[test]
    fn http_200_alone_is_not_acceptance() {
        let check = |status, body, reason: &str| {
            let after = Some(Duration::from_secs(90));
            let reason = reason.to_owned();
            assert_eq!(judged(status, body), Delivery::Later { reason, after });
        };
        check(200, "", "PushPlus HTTP 200: no verdict in the answer");
        check(200, "ok", "PushPlus HTTP 200: no verdict in the answer");
        check(200, "{}", "PushPlus HTTP 200: no verdict in the answer");
        check(200, "[200]", "PushPlus HTTP 200: no verdict in the answer");
        check(
            200,
            r#"{"code":20"#,
            "PushPlus HTTP 200: no verdict in the answer",
        );
        check(
            502,
            r#"{"code":200}"#,
            "PushPlus HTTP 502: no verdict in the answer",
        );
        check(429, "<html>", "PushPlus HTTP 429: no verdict in the answer");
        // A code in an error answer still says more than the status.
        let delivery = judged(400, r#"{"code":903,"msg":"无效的用户令牌"}"#);
        let reason = "PushPlus 903: 无效的用户令牌".to_owned();
        assert_eq!(delivery, Delivery::StopUntilChanged { reason });
    }

    #[test]
    fn a_reason_is_one_short_line_without_the_token() {
        let words = format!("令牌 {TOKEN}\\n 无效{}", "！".repeat(1000));
        let body = format!(r#"{{"code":903,"msg":"{words}"}}"#);
        let Delivery::StopUntilChanged { reason } = judged(200, &body) else {
            panic!("903 stops");
        };
        assert!(
            reason.starts_with("PushPlus 903: 令牌 0123…cdef 无效！"),
            "{reason}"
        );
        assert!(reason.chars().count() < 250);
    }

    #[test]
    fn the_identity_changes_with_each_setting() {
        let changes: [fn(&mut Settings); 6] = [
            |_| {},
            |settings| settings.token = "other".into(),
            |settings| settings.topic = Some("a".into()),
            |settings| settings.to = Some("a".into()),
            |settings| settings.get = true,
            |settings| settings.template = Format::Markdown,
        ];
        let identity = |change: fn(&mut Settings)| {
            let mut settings = settings();
            change(&mut settings);
            PushPlus::new(settings).identity().to_string()
        };
        let identities: std::collections::BTreeSet<_> = changes.into_iter().map(identity).collect();
        assert_eq!(identities.len(), changes.len());
    }
}
