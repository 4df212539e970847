//! The shapes of bodies, as JSON Schema 2020-12.
//!
//! `token/input.rs`, `token/rules.rs` and `token/answer.rs` are what they describe; the tests of
//! `token/shape.rs` hold the two together.

use serde_json::{Map, Value, json};

use crate::api::PublicIds;
use crate::api::token::Style;

/// Text that a database can hold.
const TEXT: &str = "^[^\\u0000]*$";

/// What may stand around addresses, besides commas and line breaks.
const BLANK: &str =
    "\\t\\u000b\\f\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

/// An IPv4 address.
const ADDRESS: &str = "(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";

pub(super) fn all(style: Style) -> Value {
    let row = reference("Token");
    json!({
        "Token": token(style),
        "Refusal": {
            "type": "object",
            "required": ["message", "success"],
            "properties": {
                "message": { "type": "string", "minLength": 1 },
                "success": { "const": false },
            },
            "additionalProperties": false,
        },
        "Done": either(None),
        "TokenAnswer": either(Some(row.clone())),
        "TokensAnswer": either(Some(json!({ "type": "array", "items": row }))),
        "PageAnswer": either(Some(page())),
        "SearchAnswer": either(Some(json!({ "anyOf": [{ "type": "array", "items": row }, page()] }))),
        "CreatedAnswer": either(Some(json!({ "anyOf": [row, { "type": "array", "items": row }] }))),
        "CountAnswer": either(Some(json!({ "type": "integer", "format": "int64", "minimum": 0 }))),
        "NewToken": wish(style, &[]),
        "NewTokens": {
            "anyOf": [
                reference("NewToken"),
                { "type": "array", "items": reference("NewToken"), "minItems": 1, "maxItems": 100 },
            ],
        },
        "TokenChange": change(style),
        "TokenIds": {
            "type": "object",
            "required": ["ids"],
            "properties": { "ids": { "type": "array", "items": listed_id(style), "minItems": 1 } },
        },
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Success with this `data`, or a refusal of the business.
fn either(data: Option<Value>) -> Value {
    let mut properties = Map::new();
    let mut required = vec!["message", "success"];
    if let Some(data) = data {
        properties.insert("data".to_owned(), data);
        required.push("data");
    }
    properties.insert("message".to_owned(), json!({ "const": "" }));
    properties.insert("success".to_owned(), json!({ "const": true }));
    let success = json!({
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    });
    json!({ "anyOf": [success, reference("Refusal")] })
}

fn page() -> Value {
    let count = |least: u8| json!({ "type": "integer", "format": "int64", "minimum": least });
    json!({
        "type": "object",
        "required": ["page", "page_size", "total", "items"],
        "properties": {
            "page": count(1),
            "page_size": { "type": "integer", "minimum": 1, "maximum": 100 },
            "total": count(0),
            "items": { "type": "array", "items": reference("Token"), "maxItems": 100 },
        },
        "additionalProperties": false,
    })
}

/// The id of a token that is meant.
fn id(style: Style) -> Value {
    named(style, integer(json!({ "minimum": 1 })))
}

/// One of several ids; those that name nothing are passed over, `null` among them.
fn listed_id(style: Style) -> Value {
    named(style, integer(json!({ "type": ["integer", "null"] })))
}

fn named(style: Style, number: Value) -> Value {
    match style.public_ids {
        PublicIds::Numbers => number,
        PublicIds::Hashed => json!({
            "anyOf": [number, { "type": "string", "pattern": "^t[0-9A-Za-z]{7,14}$" }],
            "description": "A number, or a public id as answers have it.",
        }),
    }
}

/// A 64-bit integer with more said of it.
fn integer(more: Value) -> Value {
    let mut integer = json!({
        "type": "integer",
        "format": "int64",
        "minimum": i64::MIN,
        "maximum": i64::MAX,
    });
    if let Value::Object(more) = more {
        for (name, value) in more {
            integer[name] = value;
        }
    }
    integer
}

/// A row. What other columns follow depends on the gateway.
fn token(style: Style) -> Value {
    let answered = match style.public_ids {
        PublicIds::Numbers => integer(json!({})),
        PublicIds::Hashed => json!({ "type": "string" }),
    };
    let text = json!({ "type": "string" });
    let flag = json!({ "type": "boolean" });
    let number = integer(json!({}));
    let properties = json!({
        "id": answered,
        "user_id": answered,
        "key": text,
        "status": number,
        "name": text,
        "created_time": number,
        "accessed_time": number,
        "expired_time": number,
        "remain_quota": number,
        "unlimited_quota": flag,
        "model_limits_enabled": flag,
        "model_limits": text,
        "allow_ips": { "type": ["string", "null"] },
        "used_quota": number,
        "group": text,
        "cross_group_retry": flag,
        "DeletedAt": { "type": "null" },
    });
    let required: Vec<&String> = properties
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
        .take_while(|name| *name != "cross_group_retry")
        .collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

fn wish(style: Style, required: &[&str]) -> Value {
    let text = json!({ "type": ["string", "null"], "pattern": TEXT });
    let flag = json!({ "type": ["boolean", "null"] });
    let or_null = json!(["integer", "null"]);
    json!({
        "type": "object",
        "required": required,
        "properties": {
            "name": { "type": ["string", "null"], "pattern": TEXT, "maxLength": style.name_limit },
            "expired_time": integer(json!({
                "type": or_null, "minimum": -1, "maximum": 253_402_300_799_i64,
                "description": "Unix seconds; -1 for never; 0 counts as not given.",
            })),
            "remain_quota": integer(json!({
                "type": or_null, "minimum": 0, "maximum": 500_000_000_000_000_i64,
                "description": "New API since 2026-08 holds at most 2147483647.",
            })),
            "unlimited_quota": flag,
            "model_limits_enabled": flag,
            "model_limits": {
                "description": "Models, in an array or joined by commas.",
                "anyOf": [text, { "type": "array", "items": { "type": "string", "pattern": TEXT } }],
            },
            "allow_ips": addresses(),
            "group": text,
            "cross_group_retry": flag,
        },
    })
}

fn change(style: Style) -> Value {
    let mut change = wish(style, &["id"]);
    change["properties"]["id"] = id(style);
    change["properties"]["status"] = json!({
        "enum": [1, 2, null],
        "description": "1 enabled, 2 disabled. The status that the token has is no change.",
    });
    change
}

/// Addresses and ranges, v4 and v6, in an array or between commas or line breaks. More is understood
/// than is said: several of v6 in one text.
fn addresses() -> Value {
    let range = format!("{ADDRESS}(?:/(?:3[0-2]|[12]?[0-9]))?");
    let between = format!("[{BLANK}]*[,\\n\\r ][,\\n\\r {BLANK}]*");
    let around = format!("[,\\n\\r {BLANK}]*");
    let list = format!("^{around}(?:{range}(?:{between}{range})*{around})?$");
    let text = json!([
        { "type": "string", "pattern": list },
        { "type": "string", "format": "ipv6" },
    ]);
    json!({
        "description": "Addresses and CIDR ranges, v4 or v6: in an array, or between commas or line breaks.",
        "anyOf": [
            { "type": "null" },
            { "anyOf": text },
            { "type": "array", "items": { "anyOf": text } },
        ],
    })
}
