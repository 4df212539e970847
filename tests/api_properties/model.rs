//! The plain model: what each user would see if there were neither HTTP nor SQL, and which columns a
//! call may touch. It knows the rules from the words, not from the program's code.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// A token or a body, by its members' names.
pub(crate) type Object = Map<String, Value>;

/// What of a token is compared: the members that every gateway's answers have, and the last one where
/// they have it.
pub(crate) const VISIBLE: [&str; 16] = [
    "id",
    "user_id",
    "key",
    "status",
    "name",
    "created_time",
    "accessed_time",
    "expired_time",
    "remain_quota",
    "unlimited_quota",
    "model_limits_enabled",
    "model_limits",
    "allow_ips",
    "used_quota",
    "group",
    RETRY,
];

/// The member that not every gateway has.
const RETRY: &str = "cross_group_retry";

/// The last second of the year 9999.
const LATEST: i64 = 253_402_300_799;

/// What sets one gateway apart.
#[derive(Clone, Copy)]
pub(crate) struct Gateway {
    /// Members that its tokens cannot hold.
    pub(crate) lacks: &'static [&'static str],
    /// Whether a deleted token's row stays, with `deleted_at`.
    pub(crate) soft: bool,
    pub(crate) most_quota: i64,
    pub(crate) key_length: usize,
    /// Where members live that have no column of their name.
    pub(crate) columns: &'static [(&'static str, &'static str)],
    /// Whether a list of models is in force exactly when there is one, and addresses are ranges always:
    /// One-API.
    pub(crate) is_one_api: bool,
}

/// A call refused, and nothing written.
#[derive(Debug)]
pub(crate) struct Refused;

/// Every living token by its id.
pub(crate) struct Model {
    pub(crate) gateway: Gateway,
    pub(crate) tokens: BTreeMap<i64, Object>,
}

impl Model {
    /// The ids of one user's tokens, newest first.
    pub(crate) fn ids(&self, user: i64) -> Vec<i64> {
        let own = self.tokens.iter().rev();
        let own = own.filter(|(_, token)| token["user_id"] == user);
        own.map(|(id, _)| *id).collect()
    }

    /// One token, if it is this user's.
    pub(crate) fn own(&self, user: i64, id: i64) -> Option<&Object> {
        let token = self.tokens.get(&id);
        token.filter(|token| token["user_id"] == user)
    }

    /// The ids that a search finds, newest first.
    pub(crate) fn search(&self, user: i64, name: &str, key: &str) -> Vec<i64> {
        let key = key.strip_prefix("sk-").unwrap_or(key);
        let mut ids = self.ids(user);
        ids.retain(|id| {
            let contains = |member: &str, part: &str| {
                let text = self.tokens[id][member].as_str().unwrap();
                text.to_ascii_lowercase()
                    .contains(&part.to_ascii_lowercase())
            };
            contains("name", name) && contains("key", key)
        });
        ids
    }

    /// What a creation's token shows, but for its id, key and times.
    pub(crate) fn created(&self, user: i64, body: &Object) -> Result<Object, Refused> {
        let mut body = body.clone();
        let status = body.remove("status").unwrap_or_default();
        if !status.is_i64() && !status.is_null() {
            return Err(Refused);
        }
        let mut fresh = json!({
            "user_id": user, "status": 1, "name": "", "expired_time": -1, "remain_quota": 0,
            "unlimited_quota": false, "model_limits_enabled": false, "model_limits": "",
            "allow_ips": "", "used_quota": 0, "group": "",
        });
        if !self.gateway.lacks.contains(&RETRY) {
            fresh[RETRY] = json!(false);
        }
        self.changed(fresh.as_object().unwrap(), &body)
    }

    /// What `token` shows after an update with `body`.
    pub(crate) fn changed(&self, token: &Object, body: &Object) -> Result<Object, Refused> {
        let mut changed = token.clone();
        for (name, wished) in body.iter().filter(|(_, wished)| !wished.is_null()) {
            let wished = match (name.as_str(), token.get(name)) {
                ("expired_time", _) if *wished == 0 => continue,
                ("model_limits", _) => json!(parts(wished, &[','])?.join(",")),
                ("allow_ips", Some(stored)) => self.addresses(stored, wished)?,
                (_, Some(stored)) => {
                    let is_alike = match stored {
                        Value::Number(_) => wished.is_i64(),
                        Value::Bool(_) => wished.is_boolean(),
                        _ => wished.is_string(),
                    };
                    if !is_alike {
                        return Err(Refused);
                    }
                    wished.clone()
                }
                (_, None) if *wished == false => continue,
                (_, None) => return Err(Refused),
            };
            if Some(&wished) != token.get(name) {
                self.judge(name, &wished)?;
                changed.insert(name.clone(), wished);
            }
        }
        self.couple(token, &mut changed)?;
        if changed["status"] != token["status"] && changed["status"] == 1 {
            may_be_enabled(&changed)?;
        }
        Ok(changed)
    }

    /// Whether a value that is not stored yet may be.
    fn judge(&self, name: &str, wished: &Value) -> Result<(), Refused> {
        let number = wished.as_i64();
        let good = match name {
            "name" => wished.as_str().unwrap().chars().count() <= 30,
            "remain_quota" => (0..=self.gateway.most_quota).contains(&number.unwrap()),
            "expired_time" => number == Some(-1) || (1..=LATEST).contains(&number.unwrap()),
            "status" => [Some(1), Some(2)].contains(&number),
            "group" => wished == "" || !self.gateway.lacks.contains(&name),
            _ => true,
        };
        if good { Ok(()) } else { Err(Refused) }
    }

    fn addresses(&self, stored: &Value, wished: &Value) -> Result<Value, Refused> {
        let wished = parts(wished, &[',', '\n', '\r', ' '])?;
        let before = stored.as_str().unwrap_or_default();
        let kept: Vec<&str> = before.split_terminator([',', '\n']).collect();
        if kept == wished && !before.contains(',') {
            return Ok(stored.clone());
        }
        let mut lines = Vec::new();
        for entry in wished {
            let (address, range) = entry.split_once('/').unwrap_or((&entry, ""));
            let address: std::net::IpAddr = address.parse().map_err(|_| Refused)?;
            let widest = if address.is_ipv4() { "32" } else { "128" };
            lines.push(match range {
                "" if self.gateway.is_one_api => format!("{entry}/{widest}"),
                _ => entry,
            });
        }
        Ok(json!(lines.join("\n")))
    }

    /// What One-API can hold of a list of models: one in force, or none.
    fn couple(&self, token: &Object, changed: &mut Object) -> Result<(), Refused> {
        if !self.gateway.is_one_api {
            return Ok(());
        }
        let switched_off =
            changed["model_limits_enabled"] == false && token["model_limits_enabled"] == true;
        if switched_off && changed["model_limits"] == token["model_limits"] {
            changed.insert("model_limits".to_owned(), json!(""));
        }
        let is_there = changed["model_limits"] != "";
        if changed["model_limits_enabled"] == is_there {
            Ok(())
        } else {
            Err(Refused)
        }
    }

    /// The columns that differ when a token turns from one into the other.
    pub(crate) fn columns(&self, before: &Object, after: &Object) -> BTreeSet<&'static str> {
        let differ = VISIBLE
            .iter()
            .filter(|name| before.get(**name) != after.get(**name));
        differ
            .map(|name| {
                let mut columns = self.gateway.columns.iter();
                let found = columns.find(|(member, _)| member == name);
                found.map_or(*name, |(_, column)| *column)
            })
            .collect()
    }
}

/// The entries of a list: an array's, or those between separators.
fn parts(wished: &Value, separators: &[char]) -> Result<Vec<String>, Refused> {
    let texts = match wished {
        Value::String(text) => vec![text.as_str()],
        Value::Array(items) => {
            let items = items.iter().map(|item| item.as_str().ok_or(Refused));
            items.collect::<Result<_, _>>()?
        }
        _ => return Err(Refused),
    };
    let parts = texts.iter().flat_map(|text| text.split(separators));
    let parts = parts.map(str::trim).filter(|part| !part.is_empty());
    Ok(parts.map(str::to_owned).collect())
}

fn may_be_enabled(token: &Object) -> Result<(), Refused> {
    // No generated time lies between 2020 and 2100.
    let expires = token["expired_time"].as_i64().unwrap();
    let in_time = expires == -1 || expires > 4_000_000_000;
    let has_quota = token["unlimited_quota"] == true || token["remain_quota"].as_i64() > Some(0);
    if in_time && has_quota {
        Ok(())
    } else {
        Err(Refused)
    }
}
