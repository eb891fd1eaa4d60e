//! When backups are made without being asked for.

use std::sync::Mutex;
use std::time::Duration;

use job_queue::{Schedule, Ticker};
use time::OffsetDateTime;

use crate::lock::lock;

/// A schedule, and what of it is done.
pub(crate) struct Scheduled {
    cron: String,
    /// The longest time that it leaves between two runs.
    interval: Option<Duration>,
    ticker: Mutex<Ticker>,
}

impl Scheduled {
    /// Serves what comes due after `now`.
    pub(crate) fn new(schedule: Schedule, now: OffsetDateTime) -> Self {
        Self {
            cron: schedule.as_str().to_owned(),
            interval: schedule.longest_gap(now),
            ticker: Mutex::new(Ticker::new(schedule, now)),
        }
    }

    /// When the next backup is due.
    pub(crate) fn next(&self) -> Option<OffsetDateTime> {
        lock(&self.ticker).next()
    }

    /// Whether one is due and none `waits`. It counts as made.
    pub(crate) fn is_due(&self, now: OffsetDateTime, waits: bool) -> bool {
        let mut ticker = lock(&self.ticker);
        let before = ticker.next();
        let is_due = ticker.tick(now, waits);
        if let (Some(before), Some(next)) = (before, ticker.next())
            && next < before
        {
            log::warn!(
                "the clock went back: {} is due at {next}, not at {before}",
                self.cron
            );
        }
        is_due
    }

    /// One that was due could not be queued.
    pub(crate) fn miss(&self) {
        lock(&self.ticker).miss();
    }

    /// What was due until then is somebody else's.
    pub(crate) fn serve_from(&self, until: OffsetDateTime) {
        lock(&self.ticker).serve_from(until);
    }

    /// What is to be said of it where somebody else serves it.
    pub(crate) fn report_of_standby(&self, now: OffsetDateTime) -> health_metrics::Schedule {
        let mut ticker = lock(&self.ticker).clone();
        ticker.serve_from(now);
        self.report_of(&ticker)
    }

    /// What is to be said of it.
    pub(crate) fn report(&self) -> health_metrics::Schedule {
        self.report_of(&lock(&self.ticker))
    }

    fn report_of(&self, ticker: &Ticker) -> health_metrics::Schedule {
        let mut report = health_metrics::Schedule::new(&self.cron);
        (report.next, report.missed) = (ticker.next(), ticker.missed());
        report.interval = self.interval;
        report
    }
}
