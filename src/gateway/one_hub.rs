//! One-Hub (MartialBE/one-hub): no `abilities`; channels are soft-deleted.
//!
//! Recognised by `channels.plugin` and `channels.deleted_at` without `abilities` (seen at 387f8bf1). The
//! master holds the channels in memory and never looks again by itself, a slave every 600 s (facts:
//! live-one-api-one-hub 2). NULL in `weight` or `priority` keeps it from starting: neither is touched.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::layout::{Holds, Layout, MOST_QUOTA, TokenLayout};
use super::token::column::{self, GROUP, Own, text};
use super::token::{Native, Token, TokenChange};
use super::{Kind, Telling};
use crate::database::{Form, Value};

pub(super) static LAYOUT: Layout = Layout {
    kind: Kind::OneHub,
    form: Form {
        name: "one-hub",
        present: &[
            (
                "channels",
                &[
                    "id",
                    "type",
                    "key",
                    "status",
                    "name",
                    "created_time",
                    "plugin",
                    "deleted_at",
                ],
            ),
            ("users", &["id", "access_token", "deleted_at"]),
        ],
        absent: &[("abilities", "channel_id"), ("channels", "channel_info")],
    },
    sync_interval: Duration::from_mins(10),
    telling: Some(Telling::Needed),
    abilities: false,
    multi_key: false,
    soft_delete: &["channels", "users", "tokens"],
    deleted_user: None,
    json_type: None,
    tokens: &TOKENS,
};

/// `setting` holds the limits of models and addresses beside what is One-Hub's alone. NULL, `null` and
/// `{}` are readable; '' or what is no JSON breaks the owner's whole list (live-one-api-one-hub 1.3).
static TOKENS: TokenLayout = TokenLayout {
    own: &[
        GROUP,
        Own {
            name: "backup_group",
            holds: &[],
            read: |token, cell| {
                let value = Native::Text(cell.nullable());
                token.more.push(("backup_group", value));
            },
            write: |stored, _| Ok(stored.is_none().then(|| text(""))),
        },
        Own {
            name: "setting",
            holds: &["model_limits_enabled", "model_limits", "allow_ips"],
            read: |token, cell| {
                let setting = column::json(cell.nullable());
                Limits::read(setting.as_deref()).tell(token);
                token.more.push(("setting", Native::Json(setting)));
            },
            write: |stored, change| Ok(setting(stored, change)),
        },
    ],
    holds: |_| Holds {
        quota: MOST_QUOTA,
        ranges: true,
    },
};

/// The limits in `setting`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Limits {
    models_enabled: bool,
    models: Vec<String>,
    /// Those in force.
    addresses: Vec<String>,
}

impl Limits {
    fn read(setting: Option<&str>) -> Self {
        let setting: Json = setting
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let models = &setting["limits"]["limit_model_setting"];
        let addresses = &setting["limits"]["limits_ip_setting"];
        Self {
            models_enabled: models["enabled"] == true,
            models: texts(&models["models"]),
            addresses: if addresses["enabled"] == true {
                texts(&addresses["whitelist"])
            } else {
                Vec::new()
            },
        }
    }

    fn tell(self, token: &mut Token) {
        token.model_limits_enabled = self.models_enabled;
        token.model_limits = self.models.join(",");
        token.allow_ips = Some(self.addresses.join("\n"));
    }
}

fn texts(list: &Json) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}

fn setting(stored: Option<&Token>, change: &TokenChange) -> Option<Value> {
    let is_asked = change.model_limits_enabled.is_some()
        || change.model_limits.is_some()
        || change.allow_ips.is_some();
    if !is_asked {
        return None;
    }
    let stored = match stored.and_then(|token| token.native("setting")) {
        Some(Native::Json(setting)) => setting.as_deref(),
        _ => None,
    };
    Some(text(changed(stored, change)))
}

/// `setting` with other limits; all else that stands in it stays as it is. Where nothing stood, it is
/// what One-Hub itself writes for a new token.
fn changed(stored: Option<&str>, change: &TokenChange) -> String {
    let held = Limits::read(stored).models.join(",");
    let stored = stored.and_then(|text| serde_json::from_str(text).ok());
    let mut setting = match stored {
        Some(Json::Object(setting)) => setting,
        _ => fresh(),
    };
    within(&mut setting, "limits", |limits| {
        if change.model_limits_enabled.is_some() || change.model_limits.is_some() {
            within(limits, "limit_model_setting", |models| {
                if let Some(enabled) = change.model_limits_enabled {
                    models.insert("enabled".to_owned(), enabled.into());
                }
                if let Some(list) = change.model_limits.as_ref().filter(|list| **list != held) {
                    models.insert("models".to_owned(), listed(list.split(',')));
                }
            });
        }
        if let Some(lines) = &change.allow_ips {
            within(limits, "limits_ip_setting", |addresses| {
                let whitelist = listed(lines.lines());
                addresses.insert("enabled".to_owned(), whitelist.is_array().into());
                addresses.insert("whitelist".to_owned(), whitelist);
            });
        }
    });
    Json::Object(setting).to_string()
}

/// Changes the object under `name`, in its place; one is made if there is none.
fn within(object: &mut Map<String, Json>, name: &str, change: impl FnOnce(&mut Map<String, Json>)) {
    let mut member = match object.get_mut(name).map(Json::take) {
        Some(Json::Object(member)) => member,
        _ => Map::new(),
    };
    change(&mut member);
    object.insert(name.to_owned(), Json::Object(member));
}

/// An array of the texts that are not blank; null if there is none, as One-Hub has it.
fn listed<'t>(texts: impl Iterator<Item = &'t str>) -> Json {
    let texts = texts.map(str::trim).filter(|text| !text.is_empty());
    let texts: Vec<Json> = texts.map(Json::from).collect();
    if texts.is_empty() {
        Json::Null
    } else {
        Json::Array(texts)
    }
}

fn fresh() -> Map<String, Json> {
    let heartbeat = json!({"enabled": false, "timeout_seconds": 0});
    let limits = json!({
        "limit_model_setting": {"enabled": false, "models": null},
        "limits_ip_setting": {"enabled": false, "whitelist": null},
    });
    let members = [("heartbeat", heartbeat), ("limits", limits)];
    let named = members.into_iter();
    named
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: &str = r#"{"heartbeat":{"enabled":false,"timeout_seconds":0},"limits":{"limit_model_setting":{"enabled":false,"models":null},"limits_ip_setting":{"enabled":false,"whitelist":null}}}"#;

    #[test]
    fn limits_are_read_from_whatever_one_hub_reads() {
        let check = |setting: Option<&str>, models: &str, enabled: bool, addresses: &str| {
            let limits = Limits::read(setting);
            assert_eq!(limits.models.join(","), models, "{setting:?}");
            assert_eq!(limits.models_enabled, enabled, "{setting:?}");
            assert_eq!(limits.addresses.join(" "), addresses, "{setting:?}");
        };
        for nothing in [None, Some("null"), Some("{}"), Some("[]"), Some(FRESH)] {
            check(nothing, "", false, "");
        }
        check(
            Some(r#"{"limits":{"limit_model_setting":{"enabled":true,"models":["a","b"]}}}"#),
            "a,b",
            true,
            "",
        );
        check(
            Some(
                r#"{"limits":{"limit_model_setting":{"enabled":1,"models":["a",2]},"limits_ip_setting":{"enabled":true,"whitelist":["::1","10.0.0.0/8"]}}}"#,
            ),
            "a",
            false,
            "::1 10.0.0.0/8",
        );
        check(
            Some(r#"{"limits":{"limits_ip_setting":{"enabled":false,"whitelist":["::1"]}}}"#),
            "",
            false,
            "",
        );
    }

    #[test]
    fn a_change_of_limits_leaves_the_rest_of_setting_alone() {
        let none = TokenChange {
            model_limits_enabled: Some(false),
            model_limits: Some(String::new()),
            allow_ips: Some(String::new()),
            ..TokenChange::default()
        };
        let some = TokenChange {
            model_limits_enabled: Some(true),
            model_limits: Some("a, b".to_owned()),
            allow_ips: Some("::1\n10.0.0.0/8".to_owned()),
            ..TokenChange::default()
        };
        let check = |stored: Option<&str>, change: &TokenChange, expected: &str| {
            assert_eq!(changed(stored, change), expected, "{stored:?}");
        };
        for nothing in [None, Some("null"), Some(""), Some("{"), Some(FRESH)] {
            check(nothing, &none, FRESH);
            let full = FRESH
                .replace(
                    r#""enabled":false,"models":null"#,
                    r#""enabled":true,"models":["a","b"]"#,
                )
                .replace(
                    r#""enabled":false,"whitelist":null"#,
                    r#""enabled":true,"whitelist":["::1","10.0.0.0/8"]"#,
                );
            check(nothing, &some, &full);
        }
        let addresses = TokenChange {
            allow_ips: Some("::1".to_owned()),
            ..TokenChange::default()
        };
        check(
            Some(
                r#"{"z":[1],"limits":{"limit_model_setting":{"enabled":true,"x":2},"y":3},"heartbeat":7}"#,
            ),
            &addresses,
            r#"{"z":[1],"limits":{"limit_model_setting":{"enabled":true,"x":2},"y":3,"limits_ip_setting":{"enabled":true,"whitelist":["::1"]}},"heartbeat":7}"#,
        );
        check(
            Some(r#"{"limits":"none"}"#),
            &addresses,
            r#"{"limits":{"limits_ip_setting":{"enabled":true,"whitelist":["::1"]}}}"#,
        );
    }
}
