//! One-API (songquanpeng/one-api): `abilities` repeats `status`; no multi-key, no soft delete: a user of
//! status 3 counts as deleted.
//!
//! Recognised by `channels.config` (since 2024-04; seen at 8df4a267). With its memory cache it reloads
//! every 600 s and offers no way to be told (facts: live-one-api-one-hub 2.1).

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::Kind;
use super::layout::{Holds, Layout, MOST_QUOTA, TokenLayout};
use super::token::column::{Misfit, Own, text};
use super::token::{Native, Token, TokenChange};
use crate::database::{Form, Value};

pub(super) static LAYOUT: Layout = Layout {
    kind: Kind::OneApi,
    form: Form {
        name: "one-api",
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
                    "config",
                ],
            ),
            ("abilities", &["group", "model", "channel_id", "enabled"]),
            ("users", &["id", "access_token"]),
        ],
        absent: &[("channels", "channel_info"), ("channels", "deleted_at")],
    },
    sync_interval: Duration::from_mins(10),
    telling: None,
    abilities: true,
    multi_key: false,
    soft_delete: &[],
    deleted_user: Some(3),
    json_type: None,
    tokens: &TOKENS,
};

/// A list in `models` is in force, and NULL or '' is none; `subnet` holds CIDRs alone, joined by commas
/// (facts: live-one-api-one-hub 5, gateways 1.7 and 2.2).
static TOKENS: TokenLayout = TokenLayout {
    own: &[
        Own {
            name: "models",
            holds: &["model_limits_enabled", "model_limits"],
            read: |token, cell| {
                let models = cell.nullable();
                token.model_limits = cell.text();
                token.model_limits_enabled = !token.model_limits.is_empty();
                token.more.push(("models", Native::Text(models)));
            },
            write: models,
        },
        Own {
            name: "subnet",
            holds: &["allow_ips"],
            read: |token, cell| {
                let subnet = cell.nullable();
                token.allow_ips = subnet.as_ref().map(|subnet| lines(subnet));
                token.more.push(("subnet", Native::Text(subnet)));
            },
            write: subnet,
        },
    ],
    holds: |_| Holds {
        quota: MOST_QUOTA,
        ranges: true,
    },
};

const APART: Misfit = Misfit {
    field: "model_limits",
    partner: Some("model_limits_enabled"),
};

/// A list that is not in force cannot be held, nor can a limit to no model at all. Who switches the
/// limit off without a word of the list gives the list up; who sends the list along does not.
fn models(stored: Option<&Token>, change: &TokenChange) -> Result<Option<Value>, Misfit> {
    if change.model_limits_enabled.is_none() && change.model_limits.is_none() {
        return Ok(None);
    }
    let stored = stored.map_or("", |token| &token.model_limits);
    let list = match (&change.model_limits, change.model_limits_enabled) {
        (Some(list), _) => list,
        (None, Some(false)) => "",
        (None, _) => stored,
    };
    let enabled = change.model_limits_enabled.unwrap_or(!stored.is_empty());
    match (enabled, list) {
        (false, "") => Ok(Some(Value::Null)),
        (true, list) if !list.is_empty() => Ok(Some(text(list))),
        _ => Err(APART),
    }
}

fn subnet(stored: Option<&Token>, change: &TokenChange) -> Result<Option<Value>, Misfit> {
    let Some(wished) = &change.allow_ips else {
        return Ok(None);
    };
    let subnet = subnets(wished).ok_or(Misfit::of("allow_ips"))?;
    let held = Native::Text(Some(subnet.clone()));
    let is_held = stored.is_some_and(|token| token.native("subnet") == Some(&held));
    Ok((!is_held).then(|| text(subnet)))
}

/// Addresses and CIDRs, one a line, as One-API wants them; nothing if a line is neither.
fn subnets(lines: &str) -> Option<String> {
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    let subnets: Option<Vec<String>> = lines
        .map(|line| match line.parse::<IpNet>() {
            Ok(_) => Some(line.to_owned()),
            Err(_) => Some(IpNet::from(line.parse::<IpAddr>().ok()?).to_string()),
        })
        .collect();
    Some(subnets?.join(","))
}

fn lines(subnet: &str) -> String {
    let subnets: Vec<&str> = subnet.split(',').map(str::trim).collect();
    subnets.join("\n")
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn addresses_become_subnets() {
        let check = |wished: &str, subnet: Option<&str>| {
            assert_eq!(subnets(wished).as_deref(), subnet, "{wished:?}");
        };
        check("", Some(""));
        check("10.0.0.1", Some("10.0.0.1/32"));
        check("::1\n10.0.0.0/8", Some("::1/128,10.0.0.0/8"));
        check(
            " 10.0.0.1 \r\n\n2001:db8::/32\n",
            Some("10.0.0.1/32,2001:db8::/32"),
        );
        check("10.0.0.1,10.0.0.2", None);
        check("10.0.0.0/33", None);
        check("here", None);
        assert_eq!(
            lines("127.0.0.0/8, 10.0.0.0/24"),
            "127.0.0.0/8\n10.0.0.0/24"
        );
        assert_eq!(lines(""), "");
    }

    #[test]
    fn a_list_of_models_is_in_force_or_is_not() {
        let check = |change: (Option<bool>, Option<&str>), column: Result<Option<&str>, Misfit>| {
            let change = TokenChange {
                model_limits_enabled: change.0,
                model_limits: change.1.map(str::to_owned),
                ..TokenChange::default()
            };
            let written = models(None, &change).map(|value| match value {
                Some(Value::Text(list)) => Some(list.expose_secret().to_owned()),
                Some(_) => Some("NULL".to_owned()),
                None => None,
            });
            let column = column.map(|column| column.map(str::to_owned));
            assert_eq!(written, column, "{change:?}");
        };
        check((None, None), Ok(None));
        check((Some(false), Some("")), Ok(Some("NULL")));
        check((Some(false), None), Ok(Some("NULL")));
        check((None, Some("")), Ok(Some("NULL")));
        check((Some(true), Some("a,b")), Ok(Some("a,b")));
        check((Some(true), Some("")), Err(APART));
        check((Some(true), None), Err(APART));
        check((Some(false), Some("a")), Err(APART));
        check((None, Some("a")), Err(APART));
    }
}
