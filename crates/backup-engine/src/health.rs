//! How everything is: the storage, the newest backups, the queue, the ensemble, and what needs somebody.

#[cfg(feature = "sqlite")]
use std::io;
use std::sync::Arc;
use std::time::Duration;

use health_metrics::{
    BackupOutcome, BackupSummary, Health, Problem, ProcessProbe, Storage, StorageProbe, StorageUsage,
    ZooKeeperHealth,
};
use job_queue::Counts;
use time::OffsetDateTime;
use vault_store::{Manifest, Outcome};

use crate::blocking::within;
use crate::leadership::Leadership;
use crate::owed::Owed;
use crate::requests::Requests;
use crate::site::Site;
use crate::vaults::{AHEAD, SecondCopy, Stored, Vaults};

/// Damaged backups that are named.
const NAMED: u64 = 10;

/// What measures this process and its storage.
pub(crate) struct Probes {
    pub(crate) storage: Arc<dyn StorageProbe>,
    pub(crate) process: Arc<dyn ProcessProbe>,
    /// Where vaults are, unless that is a directory of this machine.
    pub(crate) place: Option<String>,
}

/// The directory that this process holds: it must be there, and be the same.
#[cfg(feature = "sqlite")]
pub(crate) struct HeldDirectory {
    pub(crate) filesystem: health_metrics::FsProbe,
    pub(crate) held: Arc<vault_store::FsStore>,
    /// Otherwise how large it is tells nothing.
    pub(crate) has_vaults: bool,
}

#[cfg(feature = "sqlite")]
impl StorageProbe for HeldDirectory {
    fn usage(&self) -> io::Result<Option<StorageUsage>> {
        self.held.check_in_place()?;
        match self.has_vaults {
            true => self.filesystem.usage(),
            false => Ok(None),
        }
    }

    fn writable(&self) -> io::Result<()> {
        self.filesystem.writable()
    }

    fn left_over(&self) -> Vec<String> {
        self.held.left_over()
    }
}

/// What a report is made of.
pub(crate) struct Asked {
    pub(crate) probes: Arc<Probes>,
    pub(crate) vaults: Arc<Vaults>,
    pub(crate) site: Arc<Site>,
    pub(crate) requests: Arc<Requests>,
    pub(crate) owed: Arc<Owed>,
    /// `None` where it works always.
    pub(crate) leadership: Option<Arc<dyn Leadership>>,
    /// Why the ends of jobs could not be noted yet.
    pub(crate) unnoted: Vec<String>,
    pub(crate) now: OffsetDateTime,
    pub(crate) zookeeper: ZooKeeperHealth,
}

/// The whole report. What cannot be found out is among its problems. Blocks.
pub(crate) fn report(asked: Asked) -> Health {
    let Asked {
        probes,
        vaults,
        site,
        requests,
        owed,
        leadership,
        unnoted,
        now,
        zookeeper,
    } = asked;
    let mut problems = Vec::new();
    let usage = probes.storage.usage().unwrap_or_else(|error| {
        problems.push(Problem::StorageUnreadable(error.to_string()));
        None
    });
    if let Err(error) = probes.storage.writable() {
        problems.push(Problem::StorageNotWritable(error.to_string()));
    }
    let (all, trouble) = vaults.all_soon();
    let unlisted = trouble.is_some() && all.is_empty();
    let trouble = trouble.map(Problem::StorageUnreadable);
    problems.extend(trouble.filter(|trouble| !problems.contains(trouble)));
    let counts = counts(&requests).unwrap_or_else(|why| {
        problems.push(Problem::JobsUnavailable(why));
        Counts::default()
    });
    if let Some(error) = &zookeeper.error {
        problems.push(Problem::ZooKeeperUnreachable(error.clone()));
    }
    let second_copy = vaults
        .second
        .as_ref()
        .map(|second| note_copies(second, &all, now, &mut problems));
    let mut storage = storage(usage, &all);
    (storage.place, storage.unlisted) = (probes.place.clone(), unlisted);
    let mut health = Health::new(storage);
    problems.append(&mut health.problems);
    health.queued_jobs = counts.queued;
    health.oldest_wait = counts.oldest_queued_at.map(|then| since(then, now));
    health.damaged_backups = note_damage(&all, &mut problems);
    health.unread_backups = vaults.unread();
    note_checks(&all, now, &mut health, &mut problems);
    match requests.jobs.unreadable() {
        Ok(jobs) => problems.extend(jobs.into_iter().map(Problem::UnreadableJob)),
        Err(error) => problems.push(Problem::UnreadableJob(error.to_string())),
    }
    note_clock(&site, now, &mut problems);
    problems.extend(site.retention.unreadable(&vaults).map(Problem::NothingEvicted));
    problems.extend(probes.storage.left_over().into_iter().map(Problem::LeftOver));
    let without = site.retention.clock.since_start();
    let age = |newest: Option<OffsetDateTime>| Some(newest.map_or(without, |newest| since(newest, now)));
    let (full, granular) = (newest_good(&all, false, now), newest_good(&all, true, now));
    health.since_full_success = age(full);
    health.since_granular_success = age(granular);
    health.since_success = age(full.max(granular));
    (health.last_full_success, health.last_granular_success) = (full, granular);
    health.zookeeper = Some(zookeeper);
    health.process = probes.process.usage();
    health.leadership = leadership.map(|leadership| leadership.report());
    let leads = health.leadership.as_ref().is_none_or(|report| report.leads);
    health.schedule = site.schedule.as_ref().map(|schedule| match leads {
        true => schedule.report(),
        false => schedule.report_of_standby(now),
    });
    health.unfinished_znodes = note_unfinished(&site, &mut problems);
    health.interrupted_restores = note_interrupted(&site, &mut problems);
    health.second_copy = second_copy;
    health.webhook = owed.debt(now);
    problems.extend(unnoted.into_iter().map(Problem::JobsUnavailable));
    health.problems = problems;
    health
}

fn note_clock(site: &Site, now: OffsetDateTime, problems: &mut Vec<Problem>) {
    let (clock, remedy) = (&site.retention.clock, site.names.trust_clock.clone());
    if let Some(why) = clock.moved(now) {
        problems.push(Problem::ClockMoved { why, remedy });
    } else if let Some(why) = clock.was_set(now) {
        problems.push(Problem::ClockSet { why, remedy });
    }
}

/// So long jobs have to be counted.
const SOON: Duration = Duration::from_secs(2);

/// How many jobs wait. It waits for no storage that is away.
fn counts(requests: &Requests) -> Result<Counts, String> {
    let jobs = Arc::clone(&requests.jobs);
    match within(SOON, move || jobs.counts()) {
        Ok(counts) => counts.map_err(|error| error.to_string()),
        Err(untold) => Err(format!("jobs could not be read: {untold}")),
    }
}

fn storage(usage: Option<StorageUsage>, all: &[Arc<Stored>]) -> Storage {
    let newest_good = all.iter().rev().find(|stored| stored.is_good());
    let mut storage = Storage::default();
    storage.usage = usage;
    storage.backups = all.len();
    storage.bytes = all.iter().map(|stored| stored.bytes).sum();
    // What is damaged so that nothing can be told of it is told for itself: it may be a directory that was never a backup.
    let is_told = |stored: &&Arc<Stored>| stored.manifest.is_ok() || stored.damage.is_none();
    let newest = all.iter().filter(is_told);
    let newest = newest.rev().find(|stored| !stored.is_before_a_restore());
    storage.newest = newest.map(|stored| summary(stored));
    storage.newest_good = newest_good.map(|stored| summary(stored));
    let good = all.iter().filter(|stored| stored.is_valid());
    let manifests = good.filter_map(|stored| stored.manifest.as_ref().ok());
    storage.durations = manifests.map(duration).collect();
    storage
}

/// What is dated later than now was not long ago.
fn since(then: OffsetDateTime, now: OffsetDateTime) -> Duration {
    Duration::try_from(now - then).unwrap_or_default()
}

/// Names what is damaged, the newest first, and counts it.
fn note_damage(all: &[Arc<Stored>], problems: &mut Vec<Problem>) -> u64 {
    let mut damaged = 0;
    for stored in all.iter().rev() {
        if let Some(damage) = &stored.damage {
            damaged += 1;
            if damaged <= NAMED {
                problems.push(Problem::DamagedBackup {
                    id: stored.id.to_string(),
                    damage: damage.clone(),
                });
            }
        }
    }
    if damaged > NAMED {
        problems.push(Problem::MoreDamagedBackups(damaged - NAMED));
    }
    damaged
}

/// What has no second copy, and what keeps it from having one, if that has lasted; and what is read from there since it is damaged or gone.
fn note_copies(
    second: &SecondCopy,
    all: &[Arc<Stored>],
    now: OffsetDateTime,
    problems: &mut Vec<Problem>,
) -> health_metrics::SecondCopy {
    let lacking: Vec<_> = all
        .iter()
        .filter(|stored| second.store.lacks(&stored.id))
        .collect();
    let trouble = second.trouble();
    let count = lacking.len() as u64;
    if let Some((why, true)) = trouble.clone() {
        problems.push(Problem::NoSecondCopies { lacking: count, why });
    }
    let only = second.store.only_copies() as u64;
    if only > 0 {
        problems.push(Problem::OnlySecondCopies(only));
    }
    let named = usize::try_from(NAMED).unwrap_or(usize::MAX);
    for (id, found) in second.store.damage().into_iter().rev().take(named) {
        if let Some(damage) = found.first() {
            let (id, damage) = (id.to_string(), damage.to_string());
            problems.push(Problem::FirstCopyDamaged { id, damage });
        }
    }
    let rotten = second.store.damage_of_copies();
    let damaged = rotten.len() as u64;
    for (id, found) in rotten.into_iter().rev().take(named) {
        if let Some(damage) = found.first() {
            let (id, damage) = (id.to_string(), damage.to_string());
            problems.push(Problem::SecondCopyDamaged { id, damage });
        }
    }
    health_metrics::SecondCopy {
        place: second.place.clone(),
        lacking: count,
        lacking_bytes: lacking.iter().map(|stored| stored.bytes).sum(),
        oldest: lacking.iter().map(|stored| since(stored.date(), now)).max(),
        only,
        damaged,
        evicted: second.store.evicted() as u64,
        error: trouble.map(|(why, _)| why),
    }
}

/// How long ago what is stored was checked, and tests of restores that found a difference.
fn note_checks(all: &[Arc<Stored>], now: OffsetDateTime, health: &mut Health, problems: &mut Vec<Problem>) {
    let unverified = all
        .iter()
        .map(|stored| stored.verified_by(now).unwrap_or(stored.date()));
    health.since_oldest_verification = unverified.min().map(|then| since(then, now));
    health.last_verification = all.iter().filter_map(|stored| stored.verified_by(now)).max();
    let proved = all.iter().filter_map(|stored| stored.proved_by(now)).max();
    health.since_last_proof = proved.map(|then| since(then, now));
    let failed = all.iter().rev().filter_map(|stored| {
        let tested = stored.verification.as_ref()?.tested.as_ref()?;
        let difference = tested.difference.clone()?;
        Some(Problem::RestoreTestFailed {
            id: stored.id.to_string(),
            difference,
        })
    });
    problems.extend(failed.take(usize::try_from(NAMED).unwrap_or(usize::MAX)));
}

/// The date of the newest good backup. One that is dated later than now says nothing of how long ago it was.
fn newest_good(all: &[Arc<Stored>], granular: bool, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let good = all.iter().filter(|stored| stored.is_good());
    let dates = good.filter_map(|stored| {
        let manifest = stored.manifest.as_ref().ok()?;
        (manifest.is_granular() == granular).then(|| manifest.date())
    });
    dates.filter(|date| *date <= now + AHEAD).max()
}

fn note_unfinished(site: &Site, problems: &mut Vec<Problem>) -> u64 {
    let unfinished = site.unfinished.left();
    let count = unfinished.len() as u64;
    if let Some((znode, origin)) = unfinished.into_iter().next() {
        problems.push(Problem::UnfinishedZnodes {
            count,
            path: znode.path.to_string(),
            restore: origin.restore,
            backup: origin.vault,
        });
    }
    if site.unfinished.is_incomplete() {
        problems.push(Problem::UnfinishedUnknown);
    }
    count
}

/// Names the restores that were cut off, and counts them.
fn note_interrupted(site: &Site, problems: &mut Vec<Problem>) -> u64 {
    let interrupted = site.interrupted.list();
    let count = interrupted.len() as u64;
    problems.extend(
        interrupted
            .into_iter()
            .map(|(restore, asked)| Problem::InterruptedRestore {
                restore,
                backup: asked.vault,
                roots: asked.roots.iter().map(ToString::to_string).collect(),
            }),
    );
    count
}

/// A report that could not be made.
pub(crate) fn unknown(why: &str) -> Health {
    let mut health = Health::new(Storage::default());
    health.problems = vec![Problem::NoReport(why.to_owned())];
    health
}

fn summary(stored: &Stored) -> BackupSummary {
    let outcome = match &stored.manifest {
        Ok(manifest) => outcome(manifest),
        Err(unreadable) => BackupOutcome::Unknown(unreadable.why.clone()),
    };
    let mut summary = BackupSummary::new(stored.id.to_string(), stored.date(), outcome);
    summary.bytes = stored.bytes;
    if let Ok(manifest) = &stored.manifest {
        summary.took = Some(duration(manifest));
        summary.sharded = manifest.sharded;
    }
    summary
}

fn duration(manifest: &Manifest) -> Duration {
    since(manifest.started_at, manifest.finished_at)
}

fn outcome(manifest: &Manifest) -> BackupOutcome {
    match &manifest.outcome {
        Outcome::Failed { reason } => BackupOutcome::Failed(reason.clone()),
        Outcome::Partial { reason } if !manifest.is_valid() => BackupOutcome::Partial(reason.clone()),
        Outcome::Complete | Outcome::Partial { .. } => BackupOutcome::Successful,
    }
}
