//! An eviction policy of one's own: what was taken on a weekend goes after two days. The engine's safeguards hold
//! for it as for any other: pinned backups and the newest good one stay, whatever it says.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::sync::Arc;

use backup_engine::{BackupRequest, Engine, MemoryEnsemble};
use eviction_policy::{Action, Backup, EvictionPolicy, Verdict};
use time::{Duration, OffsetDateTime, Weekday};

#[derive(Debug)]
struct ForgetWeekends;

impl EvictionPolicy for ForgetWeekends {
    fn judge(&self, backups: &[Backup], now: OffsetDateTime) -> Vec<Verdict> {
        let judge = |backup: &Backup| {
            let day = backup.taken_at.weekday();
            let old = now - backup.taken_at > Duration::days(2);
            if old && matches!(day, Weekday::Saturday | Weekday::Sunday) {
                Verdict::Evict(format!("taken on a {day}, more than two days ago"))
            } else {
                Verdict::Keep(format!("taken on a {day}"))
            }
        };
        backups.iter().map(judge).collect()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    eviction_policy::conformance::run(
        &ForgetWeekends,
        OffsetDateTime::UNIX_EPOCH + Duration::days(20_000),
    );

    // A clock that stands where the example puts it: Saturday the 21st of November 2026, and later days.
    let saturday = OffsetDateTime::from_unix_timestamp(1_795_219_200)?;
    let now = Arc::new(std::sync::Mutex::new(saturday));
    let (clock, passed) = (Arc::clone(&now), Arc::clone(&now));
    let engine = Engine::builder(Arc::new(MemoryEnsemble::new(Arc::default())))
        .full_policy(Arc::new(ForgetWeekends))
        .clock(Arc::new(move || {
            *clock.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        }))
        // What has passed without anybody setting a clock: the same, so that policies evict.
        .uptime(Arc::new(move || {
            let now = *passed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            (now - OffsetDateTime::UNIX_EPOCH).unsigned_abs()
        }))
        .build()?;
    for _ in 0..6 {
        engine.backup(BackupRequest::default()).await?;
        while engine.step().await? {}
        *now.lock().map_err(|_| "the clock is broken")? += Duration::days(1);
    }
    let plan = engine.evict(true).await?;
    for decision in &plan {
        println!("{} {:?}: {}", decision.id, decision.action, decision.reason);
    }
    // Saturday's and Sunday's went by themselves, each by the pass after a later backup.
    let days: Vec<_> = engine
        .list()
        .await?
        .iter()
        .map(|id| id[6..8].to_owned())
        .collect();
    if days != ["23", "24", "25", "26"] || plan.iter().any(|decision| decision.action == Action::Evict) {
        return Err(format!("not what the policy says: {days:?}").into());
    }
    Ok(())
}
