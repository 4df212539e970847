//! Any calls: what a client may send, mostly sensible, sometimes not.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::model::Object;

/// Which token is meant: a place among the caller's own, or among all there ever were.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pick {
    Own(usize),
    Any(usize),
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Create(Object),
    CreateMany(Vec<Object>),
    Update(Pick, Object),
    UpdateStatus(Pick, Object),
    Delete(Pick),
    DeleteMany(Vec<Pick>),
    One(Pick),
    List {
        page: u8,
        size: u8,
    },
    Search {
        name: &'static str,
        key: &'static str,
    },
}

/// Calls, each by one of so many users.
pub(crate) fn calls(users: usize) -> impl Strategy<Value = Vec<(usize, Call)>> {
    vec((0..users, call()), 1..12)
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        3 => body().prop_map(Call::Create),
        1 => vec(body(), 1..4).prop_map(Call::CreateMany),
        8 => (pick(), body()).prop_map(|(pick, body)| Call::Update(pick, body)),
        2 => (pick(), body()).prop_map(|(pick, body)| Call::UpdateStatus(pick, body)),
        2 => pick().prop_map(Call::Delete),
        1 => vec(pick(), 1..6).prop_map(Call::DeleteMany),
        2 => pick().prop_map(Call::One),
        1 => (0..5_u8, 0..=110_u8).prop_map(|(page, size)| Call::List { page, size }),
        1 => (
            select(&["", "a", "API", "_", "%", "bulk 0", "令", "'", "\\"][..]),
            select(&["", "sk-", "fx", "0", "sk-fx", "%", "_", "fixture", "z"][..]),
        )
            .prop_map(|(name, key)| Call::Search { name, key }),
    ]
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![
        3 => any::<usize>().prop_map(Pick::Own),
        1 => any::<usize>().prop_map(Pick::Any),
    ]
}

/// Any subset of the fields that a client may set.
fn body() -> impl Strategy<Value = Object> {
    let odd = || select(vec![json!([1]), json!({}), json!(1.5)]);
    let field = |usual: BoxedStrategy<Value>| {
        let value = prop_oneof![60 => usual, 2 => Just(Value::Null), 1 => odd()];
        option::weighted(0.4, value)
    };
    let fields = [
        ("name", field(names())),
        (
            "status",
            field(
                select(vec![
                    json!(1),
                    json!(2),
                    json!(1),
                    json!(2),
                    json!(3),
                    json!(0),
                ])
                .boxed(),
            ),
        ),
        ("expired_time", field(select(times()).boxed())),
        ("remain_quota", field(quotas())),
        (
            "cross_group_retry",
            field(any::<bool>().prop_map(Value::from).boxed()),
        ),
        (
            "unlimited_quota",
            field(any::<bool>().prop_map(Value::from).boxed()),
        ),
        (
            "model_limits_enabled",
            field(any::<bool>().prop_map(Value::from).boxed()),
        ),
        ("model_limits", field(models())),
        ("allow_ips", field(addresses())),
        (
            "group",
            field(select(vec![json!(""), json!(""), json!("vip"), json!("default")]).boxed()),
        ),
    ];
    let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    values.prop_map(move |values| {
        let given = names.iter().zip(values);
        let given = given.filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        given.collect()
    })
}

fn names() -> BoxedStrategy<Value> {
    prop_oneof![
        "[ -~]{0,12}".prop_map(Value::from),
        select(vec![
            json!("令牌%_'\"\\"),
            json!("😀".repeat(30)),
            json!("a".repeat(31)),
            json!("")
        ]),
    ]
    .boxed()
}

fn times() -> Vec<Value> {
    let times = [
        -1_i64,
        -1,
        0,
        1_600_000_000,
        4_102_444_800,
        4_102_444_801,
        -2,
        4_102_444_800_000,
    ];
    times.into_iter().map(Value::from).collect()
}

fn quotas() -> BoxedStrategy<Value> {
    prop_oneof![
        4 => (0..3_i64).prop_map(Value::from),
        4 => (0..2_000_000_000_i64).prop_map(Value::from),
        1 => select(vec![json!(-1), json!(2_147_483_648_i64), json!(500_000_000_000_001_i64)]),
    ]
    .boxed()
}

fn models() -> BoxedStrategy<Value> {
    let model = || select(vec!["gpt-4o", "gpt-4o-mini", "o1"]);
    prop_oneof![
        vec(model(), 0..3).prop_map(Value::from),
        vec(model(), 0..3).prop_map(|models| json!(models.join(" , "))),
    ]
    .boxed()
}

fn addresses() -> BoxedStrategy<Value> {
    let address = || select(vec!["127.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32"]);
    prop_oneof![
        8 => vec(address(), 0..3).prop_map(Value::from),
        8 => (vec(address(), 0..3), select(vec![",", "\n", ", ", "\r\n"]))
            .prop_map(|(list, separator)| json!(list.join(separator))),
        1 => Just(json!("10.0.0.1,here")),
    ]
    .boxed()
}
