//! When jobs come due without being asked for: cron expressions, and what follows them.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use time::OffsetDateTime;

/// The most occurrences that are counted one by one.
const MOST: u64 = 100_000;

/// The longest gap is looked for in so many occurrences, a week of minutes, and so far ahead, as two leap days can be apart.
const LOOKED_AT: usize = 7 * 24 * 60;
const LOOKED_AHEAD: Duration = Duration::from_secs(9 * 366 * 86_400);

/// The year 2000, which has every date that there is.
const A_LEAP_YEAR: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(time::Duration::days(10_957));

/// A clock that goes back by more than this was wrong before; by less it is corrected, or set by a zone's hour.
const CORRECTED: time::Duration = time::Duration::HOUR;

/// A cron expression of five fields, in UTC.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    cron: Cron,
}

/// A text is not a cron expression of five fields, or one of a day that never comes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {why}")]
pub struct ScheduleError {
    text: String,
    why: String,
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let refuse = |why: String| ScheduleError {
            text: text.to_owned(),
            why,
        };
        let not_cron = |error| refuse(format!("is not a cron expression of five fields: {error}"));
        let cron = parser.parse(text).map_err(not_cron)?;
        let schedule = Self {
            text: text.to_owned(),
            cron,
        };
        match schedule.next_after(A_LEAP_YEAR) {
            Some(_) => Ok(schedule),
            None => Err(refuse("never comes due: there is no such day".to_owned())),
        }
    }
}

impl Schedule {
    /// The expression as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first occurrence after `time`, or `None` if there is none in any near future.
    #[must_use]
    pub fn next_after(&self, time: OffsetDateTime) -> Option<OffsetDateTime> {
        let from = DateTime::<Utc>::from_timestamp(time.unix_timestamp(), time.nanosecond())?;
        let next = self.cron.find_next_occurrence(&from, false).ok()?;
        OffsetDateTime::from_unix_timestamp(next.timestamp()).ok()
    }

    /// The longest time between two of the occurrences after `time`; `None` if there are no two. It looks at
    /// 10,080 of them, within nine years: where a schedule fires each minute on some days of the week, it is the gap between these days.
    #[must_use]
    pub fn longest_gap(&self, time: OffsetDateTime) -> Option<Duration> {
        let first = self.next_after(time)?;
        let occurrences = std::iter::successors(Some(first), |last| self.next_after(*last));
        let near = occurrences.take_while(|at| *at <= time + LOOKED_AHEAD);
        let all: Vec<_> = near.take(LOOKED_AT).collect();
        let gaps = all.windows(2).map(|two| (two[1] - two[0]).unsigned_abs());
        gaps.max()
    }

    /// How many occurrences lie after `since` and not after `now`; at most 100,000 are counted.
    #[must_use]
    pub fn due(&self, since: OffsetDateTime, now: OffsetDateTime) -> u64 {
        let mut count = 0;
        let mut at = since;
        while let Some(next) = self.next_after(at).filter(|next| *next <= now && count < MOST) {
            count += 1;
            at = next;
        }
        count
    }
}

/// A schedule and how far it has been served. Pure: it is told what time it is.
#[derive(Debug, Clone)]
pub struct Ticker {
    schedule: Schedule,
    served_until: OffsetDateTime,
    missed: u64,
}

impl Ticker {
    /// Serves the occurrences after `now`.
    #[must_use]
    pub fn new(schedule: Schedule, now: OffsetDateTime) -> Self {
        Self {
            schedule,
            served_until: now,
            missed: 0,
        }
    }

    /// Whether a run is to be queued now. Of several due occurrences one is run; the others, and all of them if a
    /// run waits already, count as missed. A clock that goes back a little fires nothing again; by more than an hour, or by two
    /// occurrences or more, and the schedule goes on from there.
    pub fn tick(&mut self, now: OffsetDateTime, already_queued: bool) -> bool {
        if now <= self.served_until {
            let back = self.served_until - now;
            if back > CORRECTED || self.schedule.due(now, self.served_until) > 1 {
                self.served_until = now;
            }
            return false;
        }
        let due = self.schedule.due(self.served_until, now);
        self.served_until = now;
        let run = due > 0 && !already_queued;
        self.missed += due - u64::from(run);
        run
    }

    /// Occurrences until `until` were somebody else's to run, and are not missed.
    pub fn serve_from(&mut self, until: OffsetDateTime) {
        self.served_until = self.served_until.max(until);
    }

    /// Counts a run that could not be queued as missed.
    pub fn miss(&mut self) {
        self.missed += 1;
    }

    /// The next occurrence.
    #[must_use]
    pub fn next(&self) -> Option<OffsetDateTime> {
        self.schedule.next_after(self.served_until)
    }

    /// Occurrences that were not run.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::{MOST, OffsetDateTime, Schedule, Ticker};

    fn noon() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_700_049_600).unwrap()
    }

    #[test]
    fn only_five_fields_are_taken() {
        for bad in ["", "* * * *", "* * * * * *", "61 * * * *", "x * * * *", "None"] {
            assert!(bad.parse::<Schedule>().is_err(), "{bad:?}");
        }
        let hourly: Schedule = "0 * * * *".parse().unwrap();
        assert_eq!(hourly.next_after(noon()), Some(noon() + Duration::HOUR));
        assert_eq!(hourly.next_after(noon() - Duration::SECOND), Some(noon()));
    }

    #[test]
    fn the_longest_gap_is_that_over_the_night_the_weekend_and_the_month() {
        for (cron, minutes) in [
            ("0 * * * *", 60),
            ("*/5 9-17 * * *", 15 * 60 + 5),
            ("* 9-17 * * 1-5", 63 * 60 + 1),
            ("0 3 * * 1-5", 72 * 60),
            ("0 3 1 * *", 31 * 24 * 60),
            ("0 3 29 2 *", (4 * 365 + 1) * 24 * 60),
        ] {
            let gap = cron.parse::<Schedule>().unwrap().longest_gap(noon()).unwrap();
            assert_eq!(gap.as_secs(), minutes * 60, "{cron}");
        }
    }

    #[test]
    fn what_never_comes_due_is_refused() {
        for never in ["0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
            let error = never.parse::<Schedule>().unwrap_err().to_string();
            assert!(error.contains("never comes due"), "{error}");
        }
        assert!("0 0 29 2 *".parse::<Schedule>().is_ok());
    }

    #[test]
    fn many_due_runs_become_one_and_the_rest_are_missed() {
        let mut ticker = Ticker::new("0 * * * *".parse().unwrap(), noon());
        assert!(!ticker.tick(noon() + Duration::minutes(59), false));
        assert!(ticker.tick(noon() + Duration::hours(5), false));
        assert_eq!(ticker.missed(), 4);
        assert!(
            !ticker.tick(noon() + Duration::hours(6), true),
            "one waits already"
        );
        assert_eq!(ticker.missed(), 5);
    }

    #[test]
    fn a_clock_that_goes_back_a_little_fires_nothing_twice() {
        for back in [Duration::seconds(2), Duration::HOUR] {
            let mut ticker = Ticker::new("0 * * * *".parse().unwrap(), noon());
            assert!(ticker.tick(noon() + Duration::hours(1), false));
            assert!(!ticker.tick(noon() + Duration::hours(1) - back, false));
            assert!(!ticker.tick(noon() + Duration::hours(1), false), "{back}");
            assert!(ticker.tick(noon() + Duration::hours(2), false));
            assert_eq!(ticker.missed(), 0);
        }
    }

    #[test]
    fn a_schedule_goes_on_from_where_a_clock_that_was_ahead_is_right_again() {
        let mut daily = Ticker::new("0 3 * * *".parse().unwrap(), noon());
        assert!(daily.tick(noon() + Duration::hours(20), false));
        assert!(!daily.tick(noon(), false));
        assert_eq!(daily.next(), Some(noon() + Duration::hours(15)));
        assert!(daily.tick(noon() + Duration::hours(15), false));

        let mut each_minute = Ticker::new("* * * * *".parse().unwrap(), noon());
        assert!(each_minute.tick(noon() + Duration::minutes(10), false));
        assert!(!each_minute.tick(noon(), false));
        assert!(each_minute.tick(noon() + Duration::MINUTE, false));
    }

    #[test]
    fn a_jump_of_ten_years_is_counted_quickly() {
        let mut ticker = Ticker::new("* * * * *".parse().unwrap(), noon());
        assert!(ticker.tick(noon() + Duration::days(3650), false));
        assert_eq!(ticker.missed(), MOST - 1);
    }
}
