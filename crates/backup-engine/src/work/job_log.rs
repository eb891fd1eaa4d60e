//! What a job says, and how anything is said in one line.

use std::sync::Mutex;

use job_queue::Clock;

use crate::clock::rfc3339;
use crate::lock::lock;

/// The lines that the state of a failed job shows.
const TAIL: usize = 5;

/// The longest line, in characters.
const LINE: usize = 2_000;

/// `text` as one line: what moves the cursor or turns the writing around is shown as an escape, and what is long is cut.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(4 * LINE));
    for (index, c) in text.chars().enumerate() {
        if index == LINE {
            line.push('…');
            break;
        }
        match c {
            _ if c.is_control() => line.extend(c.escape_unicode()),
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}' => {
                line.extend(c.escape_unicode());
            }
            c => line.push(c),
        }
    }
    line
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(
            plain("a\nb\u{1b}[2Jc\u{202e}d ł"),
            "a\\u{a}b\\u{1b}[2Jc\\u{202e}d ł"
        );
        let long = plain(&"x".repeat(1 << 20));
        assert!(long.chars().count() == LINE + 1 && long.ends_with('…'));
    }
}
