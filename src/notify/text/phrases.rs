//! The table that each language fills in, and how its phrases are completed.

use crate::notify::markup::Line;

/// One language. `{}` stands for what is filled in, in this order everywhere.
pub(super) struct Phrases {
    /// Before every title.
    pub(super) title: &'static str,
    /// Between the parts of a title, and between sentences of one line.
    pub(super) comma: &'static str,
    /// Between names.
    pub(super) list: &'static str,
    /// One item of each kind (the credential's name, the channel) and several (how many), worst first.
    pub(super) kinds: [(&'static str, &'static str); 8],
    /// A time as chrono writes it.
    pub(super) time: &'static str,
    pub(super) at: &'static str,
    pub(super) since: &'static str,
    pub(super) error: &'static str,
    pub(super) lasted: &'static str,
    pub(super) token: &'static str,
    pub(super) expires: &'static str,
    pub(super) next: &'static str,
    pub(super) several: &'static str,
    pub(super) relapses: &'static str,
    /// Until when the key in the channels works.
    pub(super) still: &'static str,
    pub(super) expired: &'static str,
    pub(super) dead: &'static str,
    /// Dead for a known cause: what it is, and what to do before the command.
    pub(super) reused: &'static str,
    pub(super) refused: &'static str,
    pub(super) lost: &'static str,
    pub(super) withheld: &'static str,
    pub(super) unconfirmed: &'static str,
    pub(super) resend: &'static str,
    pub(super) replace: &'static str,
    pub(super) retry: &'static str,
    /// Instead of failing, where a channel is all that fails: the credential's name, the channel.
    pub(super) unwritten: &'static str,
    /// Instead of recovered, where it was that channel: the same.
    pub(super) written: &'static str,
    pub(super) conflict: &'static str,
    /// The same where no channel of the credential holds a key of ours, and after the commands.
    pub(super) estranged: &'static str,
    pub(super) changed: &'static str,
    pub(super) let_go: &'static str,
    pub(super) channel: &'static str,
    pub(super) channel_line: &'static str,
    pub(super) current: &'static str,
    pub(super) pending: &'static str,
    pub(super) foreign: &'static str,
    pub(super) gone: &'static str,
    pub(super) by_hand: &'static str,
    pub(super) by_gateway: &'static str,
    pub(super) untold: &'static str,
    pub(super) tell: &'static str,
    pub(super) more_channels: &'static str,
    pub(super) besides: &'static str,
    pub(super) more: &'static str,
    pub(super) older: &'static str,
    pub(super) older_title: &'static str,
    pub(super) zone: &'static str,
    pub(super) test_title: &'static str,
    pub(super) test: &'static str,
    pub(super) days: &'static str,
    pub(super) hours: &'static str,
    pub(super) minutes: &'static str,
    pub(super) moment: &'static str,
}

pub(super) fn text(phrase: &str, values: &[&str]) -> Line {
    Line::Text(fill(phrase, values))
}

/// The phrase with each `{}` replaced by the next value.
pub(super) fn fill(phrase: &str, values: &[&str]) -> String {
    let mut parts = phrase.split("{}");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    let values = values.iter().copied().chain(std::iter::repeat(""));
    for (part, value) in parts.zip(values) {
        filled += value;
        filled += part;
    }
    filled
}

/// One line of visible characters.
pub(super) fn clean(text: &str) -> String {
    let visible = |character: char| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    };
    let line: String = text.chars().map(visible).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn clip(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept + "…"
}
