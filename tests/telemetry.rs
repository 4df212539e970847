//! Log files as they lie on the disk. One test: logging is started once in a process.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use keyfresh::telemetry::{self, Format, Settings};
use tracing::level_filters::LevelFilter;

#[test]
fn daily_files_are_private_pruned_and_follow_the_level() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("log");
    fs::create_dir(&dir).unwrap();
    for day in 1..=4 {
        fs::write(dir.join(format!("keyfresh.2026-01-0{day}.log")), "old\n").unwrap();
    }
    fs::write(dir.join("other.log"), "somebody else's\n").unwrap();

    let settings = Settings {
        level: LevelFilter::INFO,
        format: Format::Json,
        dir: Some(dir.clone()),
        keep_days: 2,
    };
    let telemetry = telemetry::start(&settings, false).unwrap();
    tracing::info!(target: "keyfresh::test", "first");
    telemetry.set_level(LevelFilter::WARN).unwrap();
    tracing::info!(target: "keyfresh::test", "unseen");
    telemetry.set_level(LevelFilter::DEBUG).unwrap();
    tracing::debug!(target: "keyfresh::test", "second");
    assert_eq!(telemetry.dropped_lines(), 0);
    let plain = Settings {
        dir: None,
        ..settings.clone()
    };
    assert!(matches!(
        telemetry::start(&plain, false),
        Err(telemetry::Error::Twice(_))
    ));
    drop(telemetry);

    let mut written = Vec::new();
    let mut kept = 0;
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "other.log" {
            continue;
        }
        kept += 1;
        if !name.starts_with("keyfresh.2026-01-0") {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
            written.push(fs::read_to_string(&path).unwrap());
        }
    }
    assert!(dir.join("other.log").exists());
    assert_eq!(kept, 3, "today's and two days'");
    let written = written.concat();
    assert!(written.contains("first") && written.contains("second"));
    assert!(!written.contains("unseen"));

    let blocked = Settings {
        dir: Some(root.path().join("log/other.log/sub")),
        ..settings
    };
    assert!(matches!(
        telemetry::start(&blocked, false),
        Err(telemetry::Error::Directory(..))
    ));
}
