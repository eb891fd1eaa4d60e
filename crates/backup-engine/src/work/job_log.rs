//! What a job says.

use std::sync::Mutex;

use job_queue::Clock;

use crate::clock::rfc3339;
use crate::lock::lock;
use crate::plain::plain;

/// The target of the lines that a job logs is this with its id.
pub const LOG_OF_JOBS: &str = "backup_engine::job::";

/// The lines that the state of a failed job shows.
const TAIL: usize = 5;

/// What a job says: kept for its vault, and handed on to the process's log.
pub(crate) struct JobLog {
    target: String,
    clock: Clock,
    lines: Mutex<Vec<String>>,
}

impl JobLog {
    pub(crate) fn new(job: &str, clock: Clock) -> Self {
        Self {
            target: format!("{LOG_OF_JOBS}{job}"),
            clock,
            lines: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn info(&self, text: &str) {
        let text = plain(text);
        log::info!(target: &self.target, "{text}");
        self.keep("INFO", &text);
    }

    pub(crate) fn error(&self, text: &str) {
        let text = plain(text);
        log::error!(target: &self.target, "{text}");
        self.keep("ERROR", &text);
    }

    /// Hands on what the vault need not keep.
    pub(crate) fn tell(&self, text: &str) {
        log::info!(target: &self.target, "{}", plain(text));
    }

    fn keep(&self, level: &str, text: &str) {
        let now = rfc3339((self.clock)()).unwrap_or_default();
        lock(&self.lines).push(format!("[{now}][{level}] {text}"));
    }

    pub(crate) fn tail(&self) -> Vec<String> {
        let lines = lock(&self.lines);
        lines[lines.len().saturating_sub(TAIL)..].to_vec()
    }

    pub(crate) fn text(&self) -> String {
        let mut text = lock(&self.lines).join("\n");
        text.push('\n');
        text
    }
}
