//! How the server logs: text or JSON, one line each.

use std::io::Write as _;

use backup_engine::{SystemClock, plain};
use log::{Level, LevelFilter};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::LogFormat;

const TIME: &[BorrowedFormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second],[subsecond digits:3]");

/// Sends the log to standard output. A second call changes nothing.
pub(crate) fn start(level: LevelFilter, format: LogFormat) {
    let mut builder = env_logger::Builder::new();
    builder
        .filter_level(level.min(LevelFilter::Warn))
        .target(env_logger::Target::Stdout);
    for module in [
        "backup_engine",
        "job_queue",
        "vault_store",
        "zk_snapshot",
        "zk_backup_daemon",
    ] {
        builder.filter_module(module, level);
    }
    builder.format(move |out, record| {
        let now = SystemClock::now().format(TIME).unwrap_or_default();
        let level = name(record.level());
        match format {
            LogFormat::Text => {
                let message = plain(&record.args().to_string());
                writeln!(out, "[{now}][{level}] {message}")
            }
            LogFormat::Json => {
                let message = record.args().to_string();
                let line = serde_json::json!({
                    "time": now, "level": level, "target": record.target(), "message": message
                });
                writeln!(out, "{line}")
            }
        }
    });
    if builder.try_init().is_err() {
        log::debug!("the log was started before");
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
