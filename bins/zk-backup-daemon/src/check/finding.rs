//! What a check has found.

use std::io::{self, Write};

use backup_engine::plain;
use serde::Serialize;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Ok,
    Warning,
    Fails,
}

/// What was found of one thing, and what to do about it.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    pub(super) outcome: Outcome,
    message: String,
}

impl Finding {
    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Outcome::Ok, message)
    }

    pub(super) fn warning(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Outcome::Warning, message)
    }

    pub(super) fn fails(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Outcome::Fails, message)
    }

    fn new(check: &'static str, outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            check,
            outcome,
            message: message.into(),
        }
    }

    pub(super) fn write(&self, json: bool, out: &mut (dyn Write + Send)) -> io::Result<()> {
        if json {
            return writeln!(out, "{}", serde_json::to_string(self)?);
        }
        let outcome = match self.outcome {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Fails => "fails",
        };
        writeln!(out, "{outcome:8} {:13} {}", self.check, plain(&self.message))
    }
}
