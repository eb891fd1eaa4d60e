//! What a job says.

use std::sync::Mutex;

use job_queue::Clock;

use crate::clock::rfc3339;
use crate::lock::lock;
use crate::plain::plain;

/// The lines that the state of a failed job shows.
const TAIL: usize = 5;

/// What a job says: kept for its vault, and handed on to the process's log.
pub(crate) struct JobLog {
    job: String,
    clock: Clock,
    lines: Mutex<Vec<String>>,
}

impl JobLog {
    pub(crate) fn new(job: &str, clock: Clock) -> Self {
        Self {
            job: job.to_owned(),
            clock,
            lines: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn info(&self, text: &str) {
        let text = plain(text);
        log::info!("job {}: {text}", self.job);
        self.keep("INFO", &text);
    }

    pub(crate) fn error(&self, text: &str) {
        let text = plain(text);
        log::error!("job {}: {text}", self.job);
        self.keep("ERROR", &text);
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
