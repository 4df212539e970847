//! `[notify.NAME]`: which service is told, and of what. A new notifier adds its type here.

use url::Url;

use super::address;
use super::raw::Table;
use crate::notify::pushplus::{self, PushPlus};
use crate::notify::{EventKind, Format, Notifier};

/// The words of `events`.
const EVENTS: [(&str, EventKind); 8] = [
    ("refreshed", EventKind::Refreshed),
    ("failing", EventKind::Failing),
    ("dead", EventKind::Dead),
    ("unconfirmed", EventKind::Unconfirmed),
    ("recovered", EventKind::Recovered),
    ("conflict", EventKind::Conflict),
    ("starting", EventKind::Starting),
    ("stopping", EventKind::Stopping),
];

/// How many of [`EVENTS`] are told by default: all but the daemon's own.
const TOLD: usize = 6;

/// One notifier as configured.
#[derive(Clone, Debug)]
pub struct NotifierSettings {
    /// The name in `[notify.NAME]`.
    pub name: String,
    /// What it tells.
    pub events: Vec<EventKind>,
    /// The service.
    pub kind: NotifierKind,
}

/// A service with its settings.
#[derive(Clone, Debug)]
pub enum NotifierKind {
    /// `type = "pushplus"`.
    PushPlus(pushplus::Settings),
}

impl NotifierSettings {
    /// The plug-in with these settings.
    #[must_use]
    pub fn notifier(&self) -> Box<dyn Notifier> {
        match &self.kind {
            NotifierKind::PushPlus(settings) => Box::new(PushPlus::new(settings.clone())),
        }
    }
}

/// Every notifier, in the order of names.
pub(super) fn read(root: &mut Table<'_>) -> Vec<NotifierSettings> {
    let mut found = Vec::new();
    for (name, mut table) in root.tables("notify") {
        let types = [(
            "pushplus",
            pushplus as fn(&mut Table<'_>) -> Option<NotifierKind>,
        )];
        let reader = table.choice("type", &types);
        if !table.has("type") {
            table.report(
                "type",
                "missing: expected pushplus",
                "write type = \"pushplus\"",
            );
        }
        let events = table
            .choices("events", &EVENTS)
            .unwrap_or_else(|| EVENTS[..TOLD].iter().map(|(_, kind)| *kind).collect());
        // Without a type its keys are unknown; that one problem is enough.
        let Some(reader) = reader else { continue };
        if let Some(kind) = reader(&mut table) {
            found.push(NotifierSettings { name, events, kind });
        }
        table.finish();
    }
    found
}

fn pushplus(table: &mut Table<'_>) -> Option<NotifierKind> {
    let templates =
        [Format::Html, Format::Text, Format::Markdown].map(|format| (format.word(), format));
    let url = if table.has("url") {
        address::read(table)
    } else {
        table.value("url");
        table.flag("allow_plaintext");
        Url::parse(pushplus::URL).ok()
    };
    let token = table.secret("token");
    if token.is_none() && !table.has("token") && !table.has("token_file") {
        table.report(
            "token",
            "missing: the account's token (用户令牌) or a message token (消息令牌)",
            "set token_file, and put the token from https://www.pushplus.plus into that file",
        );
    }
    let topic = table.text("topic");
    let to = table.text("to");
    if topic.is_some() && to.is_some() {
        table.report(
            "to",
            "topic and to are both given, and the service would ignore to",
            "keep one of them",
        );
    }
    let template = table.choice("template", &templates).unwrap_or_default();
    let channel = table.text("channel");
    let option = table.text("option");
    let get = table.choice("method", &[("post", false), ("get", true)]);
    Some(NotifierKind::PushPlus(pushplus::Settings {
        url: url?,
        token: token?.value,
        template,
        topic,
        channel,
        to,
        option,
        get: get.unwrap_or(false),
    }))
}
