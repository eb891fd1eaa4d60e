//! How far something is, on a terminal.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on stderr, which is gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// One that spins until [`show`](Self::show) is called, if stderr is a terminal.
    #[must_use]
    pub(crate) fn on_terminal() -> Option<Self> {
        std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // It is drawn before anything is known.
            spin(&bar);
            bar.enable_steady_tick(Duration::from_millis(200));
            Self(bar)
        })
    }

    /// Shows that `done` is done of about `expected`, where that is known, and a `line` beside it.
    pub(crate) fn show(&self, done: u64, expected: Option<u64>, line: String) {
        if let Some(expected) = expected.filter(|expected| *expected > 0) {
            self.0.set_length(expected.max(done));
            self.0.set_position(done);
            if let Ok(style) = ProgressStyle::with_template("{elapsed} [{bar:30}] {msg}") {
                self.0.set_style(style.progress_chars("=> "));
            }
        } else {
            spin(&self.0);
        }
        self.0.set_message(line);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Shows that something goes on, of which it is not known how much there is.
fn spin(bar: &ProgressBar) {
    if let Ok(style) = ProgressStyle::with_template("{elapsed} {spinner} {msg}") {
        bar.set_style(style);
    }
}
