//! Logging: tracing to standard error, and to daily files if a directory is configured.
//!
//! `daemon.rs` and `cli.rs` call [`start`] once and keep what it returns until the end. Only keyfresh's
//! own lines follow the configured level; other crates are held at warnings, so that no level whatever
//! prints their view of requests (I7). Rotation by size and compression are absent on purpose: that is
//! the journal's or logrotate's work.

use std::fs;
use std::io::{self, IsTerminal};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};
use serde::Deserialize;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{InitError, RollingFileAppender, Rotation};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{self, FmtContext, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::reload;

/// `[log]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The least severe of our own lines that is written.
    pub level: LevelFilter,
    /// How a line looks.
    pub format: Format,
    /// Where daily files go; standard error alone if unset.
    pub dir: Option<PathBuf>,
    /// How many days' files are kept, today's among them (one more until the next start or midnight).
    pub keep_days: u16,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Logging could not be started or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory is missing and cannot be made.
    #[error("cannot make the log directory {}; check `log.dir` and its owner", .0.display())]
    Directory(PathBuf, #[source] io::Error),
    /// Today's file cannot be opened.
    #[error("cannot write into the log directory {}; check its owner and mode", .0.display())]
    File(PathBuf, #[source] InitError),
    /// Somebody else in this process logs already.
    #[error("logging was started twice")]
    Twice(#[from] tracing::subscriber::SetGlobalDefaultError),
    /// The level cannot be changed any more.
    #[error("the log level cannot be changed; restart keyfresh")]
    Reload(#[from] reload::Error),
}

/// Lines waiting for the disk; beyond it they are counted and dropped, since a hung disk must not hold
/// up an exchange.
const WAITING_LINES: usize = 8192;

/// Logging as long as this lives; dropping it writes what still waits.
#[derive(Debug)]
pub struct Telemetry {
    level: reload::Handle<Targets, Registry>,
    files: Option<(WorkerGuard, ErrorCounter)>,
}

impl Telemetry {
    /// Changes the level while running.
    ///
    /// # Errors
    /// Logging has ended.
    pub fn set_level(&self, level: LevelFilter) -> Result<(), Error> {
        Ok(self.level.reload(targets(level))?)
    }

    /// How many lines did not reach the files because the disk was too slow.
    #[must_use]
    pub fn dropped_lines(&self) -> usize {
        self.files
            .as_ref()
            .map_or(0, |(_, dropped)| dropped.dropped_lines())
    }
}

/// Starts logging for the whole process; `journal` tells that standard error is systemd's journal
/// (`$JOURNAL_STREAM`), which has its own clock and reads `<3>` as a priority.
///
/// With a directory, the process's umask becomes 077: tracing-appender opens its files 0666 less the
/// umask and offers no other way, now or at midnight. systemd's unit does the same, but must not be
/// what secrecy rests on.
///
/// # Errors
/// The directory or today's file cannot be made, or logging was started before.
pub fn start(settings: &Settings, journal: bool) -> Result<Telemetry, Error> {
    let (filter, level) = reload::Layer::new(targets(settings.level));
    let ansi = !journal && io::stderr().is_terminal();
    let lines = lines(settings.format, journal, ansi, io::stderr);
    let (files, keeper) = match &settings.dir {
        Some(dir) => {
            let (writer, keeper) = daily_files(dir, settings.keep_days)?;
            let files = self::lines(settings.format, false, false, writer);
            (Some(files), Some(keeper))
        }
        None => (None, None),
    };
    let subscriber = Registry::default().with(filter).with(lines).with(files);
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(Telemetry {
        level,
        files: keeper,
    })
}

/// `error` and what caused it, as one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

fn targets(level: LevelFilter) -> Targets {
    Targets::new()
        .with_target("keyfresh", level)
        .with_default(level.min(LevelFilter::WARN))
}

/// Lines of `format` into `writer`; boxed, since each combination is a type of its own.
fn lines<S, W>(
    format: Format,
    journal: bool,
    ansi: bool,
    writer: W,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let text = fmt::layer().with_ansi(ansi).with_writer(writer);
    match format {
        Format::Json => text.json().flatten_event(true).boxed(),
        Format::Text if journal => text.without_time().map_event_format(Journal).boxed(),
        Format::Text => text.boxed(),
    }
}

/// Puts syslog's priority before each line (sd-daemon(3)), so that `journalctl -p warning` works.
struct Journal<F>(F);

impl<S, N, F> FormatEvent<S, N> for Journal<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        writer.write_str(match *event.metadata().level() {
            Level::ERROR => "<3>",
            Level::WARN => "<4>",
            Level::INFO => "<6>",
            Level::DEBUG | Level::TRACE => "<7>",
        })?;
        self.0.format_event(context, writer, event)
    }
}

/// `keyfresh.DATE.log` in `dir`, a new one each UTC day, written by a thread of its own.
fn daily_files(
    dir: &Path,
    keep_days: u16,
) -> Result<(NonBlocking, (WorkerGuard, ErrorCounter)), Error> {
    umask(Mode::from_bits_truncate(0o077));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| Error::Directory(dir.to_owned(), error))?;
    // One more than the days: the appender makes room for a new file at each start, also where today's
    // exists already, and would so delete today's if it alone were kept.
    let appender = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("keyfresh")
        .filename_suffix("log")
        .max_log_files(usize::from(keep_days) + 1)
        .build(dir)
        .map_err(|error| Error::File(dir.to_owned(), error))?;
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("log")
        .finish(appender);
    let dropped = writer.error_counter();
    Ok((writer, (guard, dropped)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What two lines look like: one of ours, one of another crate.
    fn check(level: LevelFilter, format: Format, journal: bool) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let lines = lines(format, journal, false, move || writer.clone());
        let subscriber = Registry::default().with(targets(level)).with(lines);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(credential.name = "chatgpt", "refreshed");
            tracing::debug!(target: "hyper", "bytes");
            tracing::warn!(target: "hyper", "trouble");
        });
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn other_crates_are_held_at_warnings() {
        let written = check(LevelFilter::TRACE, Format::Text, true);
        assert!(written.contains("refreshed") && written.contains("trouble"));
        assert!(!written.contains("bytes"));
        assert_eq!(check(LevelFilter::ERROR, Format::Text, true), "");
        assert_eq!(check(LevelFilter::OFF, Format::Json, false), "");
    }

    #[test]
    fn the_journal_gets_priorities_and_no_time() {
        assert_eq!(
            check(LevelFilter::INFO, Format::Text, true),
            "<6> INFO keyfresh::telemetry::tests: refreshed credential.name=\"chatgpt\"\n\
             <4> WARN hyper: trouble\n"
        );
    }

    #[test]
    fn a_chain_is_one_line() {
        let refused = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(
            chain(&Error::Directory("/logs".into(), refused)),
            "cannot make the log directory /logs; check `log.dir` and its owner: permission denied"
        );
    }

    #[test]
    fn json_is_one_object_a_line() {
        let written = check(LevelFilter::INFO, Format::Json, true);
        let first: serde_json::Value =
            serde_json::from_str(written.lines().next().unwrap()).unwrap();
        assert_eq!(first["message"], "refreshed");
        assert_eq!(first["credential.name"], "chatgpt");
        assert_eq!(first["level"], "INFO");
        assert!(first["timestamp"].is_string());
        assert_eq!(written.lines().count(), 2);
    }
}
