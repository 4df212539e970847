//! JSON as strangers write it: any text that the syntax allows, its numbers and escapes included.

use proptest::prelude::*;

/// A value as text.
pub(crate) fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "null",
            "true",
            "1e400",
            "-0.0",
            "1.10",
            "12345678901234567890123",
            "\"\\ud800\"",
            "[]",
            "{}",
            "\"\\u0000\\\"\\/\"",
            "\"密\"",
        ])
        .prop_map(str::to_owned),
        "-?[1-9][0-9]{0,30}(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,5})?",
        "\"[ !#-\\[\\]-~]{0,20}\"",
        Just("[".repeat(300) + &"]".repeat(300)),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let name = "\"[a-z_]{0,8}\"";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec((name, inner), 0..4).prop_map(object),
        ]
    })
}

/// An object of these members, blanks between them.
pub(crate) fn object(members: Vec<(String, String)>) -> String {
    let members: Vec<String> = members
        .into_iter()
        .map(|(name, value)| format!("{name} :\n {value}"))
        .collect();
    format!("{{ {}\t}}", members.join(", "))
}

/// Members that mean nothing to us, as text; no name comes twice, or under another first letter.
pub(crate) fn strange(first: char) -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("[a-z]{0,6}", value()), 0..5).prop_map(move |members| {
        let members = members.into_iter().enumerate();
        let named =
            members.map(|(number, (name, value))| (format!("\"{first}{number}{name}\""), value));
        named.collect()
    })
}
