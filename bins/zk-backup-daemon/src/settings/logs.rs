//! What is logged, and how it looks.

use super::values::{SettingsError, bad, given};
use crate::Args;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `[2026-11-23T14:00:00,123][INFO] …`
    Text,
    /// One JSON object a line.
    Json,
}

pub(super) fn format(args: &Args) -> Result<LogFormat, SettingsError> {
    match given(args.log_format.as_ref()).as_deref() {
        None | Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        Some(other) => Err(bad("LOG_FORMAT", other, "text or json")),
    }
}

pub(super) fn level(args: &Args) -> Result<log::LevelFilter, SettingsError> {
    let Some(text) = given(args.log_level.as_ref()) else {
        return Ok(log::LevelFilter::Info);
    };
    match text.to_ascii_uppercase().as_str() {
        "DEBUG" => Ok(log::LevelFilter::Debug),
        "INFO" => Ok(log::LevelFilter::Info),
        "WARNING" | "WARN" => Ok(log::LevelFilter::Warn),
        "ERROR" => Ok(log::LevelFilter::Error),
        _ => Err(bad("LOG_LEVEL", &text, "DEBUG, INFO, WARNING or ERROR")),
    }
}
