//! The few shapes of a message and how each markup writes them.
//!
//! Everything that comes in is plain text and is escaped here, nowhere else: an error text that holds
//! `<script>` or `**` shows as it is. Called by `text.rs`.

use serde::{Deserialize, Serialize};

/// A notifier's markup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// HTML, as far as a mail or WeChat page shows it.
    #[default]
    #[serde(rename = "html")]
    Html,
    /// Plain text.
    #[serde(rename = "txt")]
    Text,
    /// `CommonMark`.
    #[serde(rename = "markdown")]
    Markdown,
}

/// A heading, possibly empty, and the lines under it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) heading: String,
    pub(super) lines: Vec<Line>,
}

/// One line of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A sentence.
    Text(String),
    /// A command to be typed.
    Command(String),
}

impl Format {
    /// Its word in the configuration and in PushPlus' `template`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Text => "txt",
            Self::Markdown => "markdown",
        }
    }

    /// The blocks in this markup.
    pub(super) fn write(self, blocks: &[Block]) -> String {
        let (inside, between) = match self {
            Self::Html => ("<br>", "\n"),
            Self::Text => ("\n", "\n\n"),
            Self::Markdown => ("  \n", "\n\n"),
        };
        let block = |block: &Block| {
            let lines: Vec<_> = block.lines.iter().map(|line| self.line(line)).collect();
            let lines = lines.join(inside);
            let heading = self.escape(&block.heading);
            match (self, heading.is_empty()) {
                (Self::Html, true) => format!("<p>{lines}</p>"),
                (Self::Html, false) if lines.is_empty() => format!("<h4>{heading}</h4>"),
                (Self::Text, false) if lines.is_empty() => heading,
                (Self::Markdown, false) if lines.is_empty() => format!("#### {heading}"),
                (Self::Html, false) => format!("<h4>{heading}</h4><p>{lines}</p>"),
                (_, true) => lines,
                (Self::Text, false) => format!("{heading}\n{lines}"),
                (Self::Markdown, false) => format!("#### {heading}\n\n{lines}"),
            }
        };
        blocks.iter().map(block).collect::<Vec<_>>().join(between)
    }

    fn line(self, line: &Line) -> String {
        match (self, line) {
            (_, Line::Text(text)) => self.escape(text),
            (Self::Html, Line::Command(command)) => {
                format!("<code>{}</code>", self.escape(command))
            }
            (Self::Text, Line::Command(command)) => format!("    {command}"),
            (Self::Markdown, Line::Command(command)) => {
                format!("`{}`", command.replace('`', ""))
            }
        }
    }

    fn escape(self, text: &str) -> String {
        let mut escaped = String::with_capacity(text.len());
        for character in text.chars() {
            match (self, character) {
                (Self::Text, _) => escaped.push(character),
                (_, '&') => escaped.push_str("&amp;"),
                (_, '<') => escaped.push_str("&lt;"),
                (_, '>') => escaped.push_str("&gt;"),
                (Self::Html, '"') => escaped.push_str("&quot;"),
                (Self::Html, '\'') => escaped.push_str("&#39;"),
                (Self::Markdown, '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '!') => {
                    escaped.push('\\');
                    escaped.push(character);
                }
                _ => escaped.push(character),
            }
        }
        escaped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_markup_shows_hostile_text_as_it_is() {
        let blocks = [
            Block {
                heading: "a & b".into(),
                lines: vec![
                    Line::Text("<script>alert(\"x\")</script> **bold** [l](http://x)".into()),
                    Line::Command("keyfresh status a_b".into()),
                ],
            },
            Block {
                heading: String::new(),
                lines: vec![Line::Text("it's 5 > 4".into())],
            },
        ];
        let check = |format: Format, written: &str| assert_eq!(format.write(&blocks), written);
        check(
            Format::Html,
            "<h4>a &amp; b</h4><p>&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; **bold** \
             [l](http://x)<br><code>keyfresh status a_b</code></p>\n<p>it&#39;s 5 &gt; 4</p>",
        );
        check(
            Format::Text,
            "a & b\n<script>alert(\"x\")</script> **bold** [l](http://x)\n    \
             keyfresh status a_b\n\nit's 5 > 4",
        );
        check(
            Format::Markdown,
            "#### a &amp; b\n\n&lt;script&gt;alert(\"x\")&lt;/script&gt; \\*\\*bold\\*\\* \
             \\[l\\](http://x)  \n`keyfresh status a_b`\n\nit's 5 &gt; 4",
        );
        for format in [Format::Html, Format::Text, Format::Markdown] {
            assert_eq!(serde_json::to_value(format).unwrap(), format.word());
        }
    }
}
