//! The recorded lines: scenarios of steps, each a request, its answer and what it wrote.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::compare::Outcome;

/// All lines of one file.
pub(crate) struct Recording {
    steps: Vec<Step>,
}

/// One request with what came of it.
#[derive(Deserialize)]
pub(crate) struct Step {
    scenario: String,
    /// Tells the line apart from all others: the scenario and, if that has several steps, `#` and the
    /// step's number.
    pub(crate) name: String,
    /// SQL that the scenario begins with.
    #[serde(default)]
    pub(crate) prepare: Vec<String>,
    /// What is sent.
    pub(crate) request: Request,
    response: Response,
    db: Value,
}

/// A request with placeholders.
#[derive(Deserialize)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Map<String, Value>,
    pub(crate) body: Option<String>,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    content_type: Option<String>,
    headers: Map<String, Value>,
    body: Option<String>,
}

impl Recording {
    pub(crate) fn read(lines: &str) -> Self {
        let steps = lines.lines().map(serde_json::from_str);
        let steps = steps.collect::<Result<_, _>>().unwrap();
        Self { steps }
    }

    /// The steps that run one after the other on the same tables.
    pub(crate) fn scenarios(&self) -> impl Iterator<Item = &[Step]> {
        self.steps
            .chunk_by(|one, other| one.scenario == other.scenario)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map(|step| step.name.as_str())
    }
}

impl Step {
    /// What was recorded, in the form in which our own answers are compared with it.
    pub(crate) fn outcome(&self) -> Outcome {
        let location = self.response.headers.get("location");
        Outcome {
            status: self.response.status,
            content_type: self.response.content_type.clone(),
            location: location.map(|url| url.as_str().unwrap().to_owned()),
            body: Outcome::body(self.response.body.as_deref().unwrap_or_default()),
            rows: self.db.clone(),
        }
    }
}

impl Request {
    /// Its bytes; `minted` are the keys that this scenario has made so far.
    pub(crate) fn bytes(&self, minted: &[String]) -> String {
        let expand = |text: &str| expand(text, minted);
        let mut text = format!(
            "{} {} HTTP/1.1\r\nHost: localhost\r\n",
            self.method,
            expand(&self.path)
        );
        for (name, value) in &self.headers {
            let value = expand(value.as_str().unwrap());
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        let body = expand(self.body.as_deref().unwrap_or_default());
        let has_length =
            self.body.is_some() || ["POST", "PUT", "PATCH"].contains(&self.method.as_str());
        if has_length {
            write!(text, "Content-Length: {}\r\n", body.len()).unwrap();
        }
        text + "\r\n" + &body
    }
}

/// Replaces what stands in double braces.
fn expand(text: &str, minted: &[String]) -> String {
    let Some((before, rest)) = text.split_once("{{") else {
        return text.to_owned();
    };
    let (placeholder, after) = rest.split_once("}}").unwrap();
    let (what, of) = placeholder.split_once(':').unwrap();
    let meant = match what {
        "repeat" => {
            let (part, times) = of.rsplit_once('*').unwrap();
            part.repeat(times.parse().unwrap())
        }
        "range" => {
            let (first, last) = of.split_once('-').unwrap();
            let numbers = first.parse::<u32>().unwrap()..=last.parse().unwrap();
            numbers.map(|n| n.to_string()).collect::<Vec<_>>().join(",")
        }
        // No cookie was ever set: a browser that was told one by the gateway would send that.
        "cookie" => "session=of-the-gateway".to_owned(),
        "key" => {
            let number: usize = of.parse().unwrap();
            minted.get(number - 1).cloned().unwrap_or_default()
        }
        _ => panic!("unknown placeholder {placeholder}"),
    };
    format!("{before}{meant}{}", expand(after, minted))
}

#[test]
fn placeholders_are_expanded() {
    let minted = ["K".to_owned()];
    for (text, expected) in [
        ("plain", "plain"),
        ("{{repeat:[*3}}1{{repeat:]*3}} sk-{{key:1}}", "[[[1]]] sk-K"),
        ("[{{range:1-3}}]", "[1,2,3]"),
    ] {
        assert_eq!(expand(text, &minted), expected);
    }
}
