//! How the server logs: text or JSON, one line each, on standard error.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use backup_engine::{LOG_OF_JOBS, SystemClock, plain};
use env_logger::{Builder, Target};
use log::{Level, LevelFilter, Record};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::LogFormat;
use crate::repeated::Repeated;

/// RFC 3339, in UTC.
const TIME: &[BorrowedFormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// The crates whose lines are ours.
const OURS: [&str; 5] = [
    "backup_engine",
    "job_queue",
    "vault_store",
    "zk_snapshot",
    "zk_backup_daemon",
];

/// Sends the log to standard error. A second call changes nothing.
pub(crate) fn start(level: LevelFilter, format: LogFormat) {
    if builder(level, format, Target::Stderr).try_init().is_err() {
        log::debug!("the log was started before");
    }
}

/// Of others only warnings and errors are written, and what they repeat once in a while.
fn builder(level: LevelFilter, format: LogFormat, target: Target) -> Builder {
    let mut builder = Builder::new();
    builder.filter_level(level.min(LevelFilter::Warn)).target(target);
    for module in OURS {
        builder.filter_module(module, level);
    }
    let repeated = Mutex::new(Repeated::default());
    builder.format(move |out, record| {
        let mut message = record.args().to_string();
        if !is_ours(record) {
            message = without_relay(&message);
            let mut repeated = repeated.lock().unwrap_or_else(PoisonError::into_inner);
            match repeated.look(&message, Instant::now()) {
                None => return Ok(()),
                Some(0) => {}
                Some(more) => message += &format!(" ({more} more like this since)"),
            }
        }
        writeln!(out, "{}", line(record, &message, format))
    });
    builder
}

fn is_ours(record: &Record<'_>) -> bool {
    let name = record.target().split("::").next().unwrap_or_default();
    OURS.contains(&name)
}

/// Client libraries talk to a relay of ours (`zk_snapshot::client`), whose address nobody knows: each connection has another.
fn without_relay(message: &str) -> String {
    const RELAY: &str = "tcp://127.0.0.1:";
    match message.split_once(RELAY) {
        None => message.to_owned(),
        Some((before, after)) => format!(
            "{before}ZooKeeper{}",
            without_relay(after.trim_start_matches(|c: char| c.is_ascii_digit()))
        ),
    }
}

fn line(record: &Record<'_>, message: &str, format: LogFormat) -> String {
    let now = SystemClock::now().format(TIME).unwrap_or_default();
    let level = name(record.level());
    let job = record.target().strip_prefix(LOG_OF_JOBS);
    match (format, job) {
        (LogFormat::Text, None) => format!("[{now}][{level}] {}", plain(message)),
        (LogFormat::Text, Some(job)) => format!("[{now}][{level}] job {job}: {}", plain(message)),
        (LogFormat::Json, None) => {
            let target = record.target();
            serde_json::json!({ "time": now, "level": level, "target": target, "message": message })
                .to_string()
        }
        (LogFormat::Json, Some(job)) => {
            let target = LOG_OF_JOBS.trim_end_matches("::");
            serde_json::json!({ "time": now, "level": level, "target": target, "job": job, "message": message })
                .to_string()
        }
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "ERROR",
        Level::Warn => "WARNING",
        Level::Info => "INFO",
        Level::Debug | Level::Trace => "DEBUG",
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use log::Log as _;

    use super::*;

    #[test]
    fn the_relay_is_not_named() {
        let said = "fails to establish session to tcp://127.0.0.1:33427 due to x, and tcp://127.0.0.1:1";
        assert_eq!(
            without_relay(said),
            "fails to establish session to ZooKeeper due to x, and ZooKeeper"
        );
        assert_eq!(without_relay("tcp://zk1:2181"), "tcp://zk1:2181");
    }

    /// What was written.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_library_repeats_is_written_once_and_what_we_say_each_time() {
        let written = Written::default();
        let target = Target::Pipe(Box::new(written.clone()));
        let logger = builder(LevelFilter::Debug, LogFormat::Text, target).build();
        let say = |level, target: &str, message: &str| {
            let args = format_args!("{message}");
            logger.log(&Record::builder().level(level).target(target).args(args).build());
        };
        for port in 1..4 {
            say(
                Level::Warn,
                "zookeeper_client::session",
                &format!("no session with port {port}"),
            );
            say(Level::Warn, "backup_engine::work", &format!("no backup {port}"));
            say(
                Level::Info,
                "zookeeper_client::session",
                &format!("a session with port {port}"),
            );
        }
        say(Level::Error, "zookeeper_client::session", "something else");
        let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let said: Vec<_> = written
            .lines()
            .filter_map(|line| Some(line.split_once("] ")?.1))
            .collect();
        assert_eq!(
            said,
            [
                "no session with port 1",
                "no backup 1",
                "no backup 2",
                "no backup 3",
                "something else"
            ]
        );
    }

    #[test]
    fn a_job_is_a_field_in_both_forms() {
        let target = format!("{LOG_OF_JOBS}20261123T140000");
        let args = format_args!("ends");
        let record = Record::builder()
            .level(Level::Warn)
            .target(&target)
            .args(args)
            .build();
        let text = line(&record, "ends", LogFormat::Text);
        assert!(text.ends_with("Z][WARNING] job 20261123T140000: ends"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&line(&record, "ends", LogFormat::Json)).unwrap();
        assert_eq!(
            (&json["job"], &json["message"]),
            (&"20261123T140000".into(), &"ends".into())
        );
        assert!(
            json["time"].as_str().unwrap().ends_with('Z') && is_ours(&record),
            "{json}"
        );
    }
}
