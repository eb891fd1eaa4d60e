//! The policy that rules make.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use time::OffsetDateTime;

use crate::{Backup, EvictionPolicy, Standing, Verdict};

/// Weeks start on a Monday: the Unix epoch was a Thursday.
const FIRST_MONDAY: i64 = 4 * 86_400;

/// The rule language: `0/1h,7d/1d,1y/delete`, or `5/delete` alone.
///
/// `START/INTERVAL` thins what is older than START to the newest of each window of INTERVAL; `START/delete`
/// removes what is older; `N/delete` keeps the newest N. A backup goes if any rule says so. A failed backup never
/// stands in for a good one: a window's survivor is its newest good backup, or its newest failed one where it has
/// none; `N/delete` counts good and failed ones apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulePolicy {
    pub(crate) rules: Vec<Rule>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Thin(Span, Span),
    Delete(Span),
    Newest(u64),
}

/// A length of time as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    count: u64,
    unit: &'static str,
    unit_seconds: i64,
}

impl Span {
    pub(crate) const ZERO: Self = Self {
        count: 0,
        unit: "",
        unit_seconds: 0,
    };

    pub(crate) fn new(count: u64, unit: &str) -> Option<Self> {
        let units = [
            ("min", 60),
            ("h", 3_600),
            ("d", 86_400),
            ("w", 7 * 86_400),
            ("m", 30 * 86_400),
            ("y", 360 * 86_400),
        ];
        let (unit, unit_seconds) = units.into_iter().find(|(name, _)| *name == unit)?;
        Some(Self {
            count,
            unit,
            unit_seconds,
        })
    }

    pub(crate) fn seconds(self) -> i64 {
        // At most nine digits of 360 days: far below the limit.
        i64::try_from(self.count)
            .unwrap_or(i64::MAX)
            .saturating_mul(self.unit_seconds)
    }
}

impl EvictionPolicy for RulePolicy {
    fn judge(&self, backups: &[Backup], now: OffsetDateTime) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::Keep("no rule evicts it".to_owned()); backups.len()];
        for rule in &self.rules {
            for (verdict, reason) in verdicts.iter_mut().zip(rule.reasons(backups, now)) {
                if let (Verdict::Keep(_), Some(reason)) = (&*verdict, reason) {
                    *verdict = Verdict::Evict(format!("rule {rule}: {reason}"));
                }
            }
        }
        verdicts
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl Rule {
    /// Why it says of each backup that it should go, if it does.
    fn reasons(self, all: &[Backup], now: OffsetDateTime) -> Vec<Option<String>> {
        let older = |b: &Backup, start: Span| (now - b.taken_at).whole_seconds() >= start.seconds();
        match self {
            Self::Delete(start) => {
                let reason = |b: &Backup| older(b, start).then(|| "it is too old".to_owned());
                all.iter().map(reason).collect()
            }
            Self::Thin(start, interval) => {
                let window =
                    |b: &Backup| (b.taken_at.unix_timestamp() - FIRST_MONDAY).div_euclid(interval.seconds());
                let mut survivors: BTreeMap<i64, &Backup> = BTreeMap::new();
                for backup in all.iter().filter(|b| older(b, start)) {
                    let survivor = survivors.entry(window(backup)).or_insert(backup);
                    if rank(backup) > rank(survivor) {
                        *survivor = backup;
                    }
                }
                let reason = |b: &Backup| {
                    let survivor = survivors.get(&window(b)).filter(|_| older(b, start))?;
                    (rank(survivor) > rank(b)).then(|| format!("{} takes its place", survivor.id))
                };
                all.iter().map(reason).collect()
            }
            Self::Newest(count) => {
                let mut newest_first: Vec<_> = all.iter().enumerate().collect();
                newest_first.sort_by_key(|(_, b)| (b.standing as u8, Reverse((b.taken_at, &b.id))));
                let mut reasons = vec![None; all.len()];
                for alike in newest_first.chunk_by(|(_, a), (_, b)| a.standing == b.standing) {
                    for (place, (index, _)) in alike.iter().enumerate().skip(at_most(count)) {
                        reasons[*index] = Some(match place {
                            0 => "none is to stay".to_owned(),
                            _ => format!("{count} newer ones stay, the newest {}", alike[0].1.id),
                        });
                    }
                }
                reasons
            }
        }
    }
}

/// Good ones stand before others, and then the newest.
fn rank(backup: &Backup) -> (bool, OffsetDateTime, &str) {
    (backup.standing == Standing::Good, backup.taken_at, &backup.id)
}

fn at_most(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

impl fmt::Display for RulePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rule) in self.rules.iter().enumerate() {
            write!(f, "{}{rule}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thin(start, interval) => write!(f, "{start}/{interval}"),
            Self::Delete(start) => write!(f, "{start}/delete"),
            Self::Newest(count) => write!(f, "{count}/delete"),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.count, self.unit)
    }
}
