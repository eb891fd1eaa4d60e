//! What every [`EvictionPolicy`] must do. Run it over a policy of your own in a test.
#![allow(clippy::missing_panics_doc)]

use time::{Duration, OffsetDateTime};

use crate::{Action, Backup, EvictionPolicy, Standing, Verdict, plan};

/// Runs the suite, over lists that end at `now`. Panics at the first thing that does not hold.
pub fn run(policy: &dyn EvictionPolicy, now: OffsetDateTime) {
    assert!(policy.judge(&[], now).is_empty(), "no backup, no verdict");
    for count in [1, 2, 7, 500] {
        let backups: Vec<_> = (0..count).map(|i| backup(i, count, now)).collect();
        let verdicts = policy.judge(&backups, now);
        assert_eq!(verdicts.len(), backups.len(), "one verdict for each backup");
        assert_eq!(
            policy.judge(&backups, now),
            verdicts,
            "the same question, the same answer"
        );
        for (backup, verdict) in backups.iter().zip(&verdicts) {
            let (Verdict::Keep(reason) | Verdict::Evict(reason)) = verdict;
            assert!(!reason.trim().is_empty(), "{} without a reason", backup.id);
        }
        let decisions = plan(policy, &backups, now);
        let keeps = |id: &str| decisions.iter().any(|d| d.id == id && d.action == Action::Keep);
        let newest = backups.iter().rfind(|backup| backup.standing == Standing::Good);
        assert!(
            newest.is_none_or(|newest| keeps(&newest.id)),
            "the newest good backup stays"
        );
    }
}

/// Oldest first, over 500 days; every fifth failed, the newest good.
fn backup(i: i64, count: i64, now: OffsetDateTime) -> Backup {
    let age = count - 1 - i;
    Backup {
        id: format!("{i:04}"),
        taken_at: now - Duration::hours(age * 24),
        standing: if age % 5 == 4 {
            Standing::Failed
        } else {
            Standing::Good
        },
        pinned: false,
        by_hand: false,
    }
}
