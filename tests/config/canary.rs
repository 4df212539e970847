//! A secret at every place of the configuration, in every shape: no problem ever shows it.

use super::place::Place;
use super::{CANARY, known};

#[test]
fn no_value_is_ever_shown() {
    let forms = [
        format!("\"{CANARY}\""),
        CANARY.to_owned(),
        format!("\"{CANARY}"),
        format!("[\"{CANARY}\", 1, {{ id = \"{CANARY}\" }}]"),
        format!("{{ \"{CANARY}\" = \"{CANARY}\" }}"),
        format!("\"{CANARY} {CANARY} {CANARY} {CANARY} {CANARY}\""),
        format!("\"https://u:{CANARY}@h.example/#x\""),
        format!("\"mysql://u:{CANARY}@h/d\""),
        format!("\"/{CANARY}\""),
        format!("\"\"\"\n{CANARY}\n{CANARY}\"\"\""),
    ];
    let mut refused = 0;
    let mut check = |place: Place, what: &str| {
        let text = match place.load() {
            Ok(config) => format!("{config:?}"),
            Err(problems) => {
                refused += 1;
                format!("{problems}\n{problems:?}")
            }
        };
        // What is no secret may show in `Debug` of a good configuration, never in a problem.
        let may_show = text.starts_with("Config") && !is_secret(what);
        let shown = text.contains("CANARY") && !may_show;
        assert!(!shown, "{what}: {text}");
    };
    for (table, keys) in known() {
        let unknown = ["unknown".to_owned(), "unknown_file".to_owned()];
        for key in keys.iter().chain(&unknown) {
            for form in &forms {
                let header = if table.is_empty() {
                    String::new()
                } else {
                    format!("[{table}]\n")
                };
                let typed = format!("{header}{key} = {form}\n");
                check(Place::with(&typed), key);
                let name = format!("KEYFRESH_{table}__{key}")
                    .replace('.', "__")
                    .to_uppercase();
                let name = name.replace("KEYFRESH___", "KEYFRESH_");
                check(Place::new().variable(&name, form), key);
            }
        }
    }
    assert!(refused > 500, "{refused}");
}

fn is_secret(key: &str) -> bool {
    ["secret", "salt", "token", "proxy"]
        .iter()
        .any(|word| key.contains(word))
        && !key.ends_with("_file")
        && key != "token_url"
}
