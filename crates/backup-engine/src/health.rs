//! How everything is: the storage, the newest backups, the queue, the ensemble, and what needs somebody.

use std::sync::Arc;

use health_metrics::{
    BackupMetrics, BackupSummary, Health, ProcessProbe, Storage, StorageProbe, StorageUsage, ZooKeeperHealth,
};
use time::{Duration, OffsetDateTime};
use vault_store::{Manifest, Outcome};

use crate::clock::ms;
use crate::requests::Requests;
use crate::site::Site;
use crate::vaults::{Stored, Vaults};

/// Damaged backups that are named.
const NAMED: usize = 10;
/// So far a date may be ahead of a clock that is corrected.
const AHEAD: Duration = Duration::MINUTE;

/// What measures this process and its storage.
pub(crate) struct Probes {
    pub(crate) storage: Arc<dyn StorageProbe>,
    pub(crate) process: Arc<dyn ProcessProbe>,
}

/// The whole report. What cannot be found out is among its problems.
pub(crate) fn report(
    probes: &Probes,
    vaults: &Vaults,
    site: &Site,
    requests: &Requests,
    now: OffsetDateTime,
    zookeeper: ZooKeeperHealth,
) -> Health {
    let mut problems = Vec::new();
    let usage = probes.storage.usage().unwrap_or_else(|error| {
        problems.push(format!("storage: {error}"));
        StorageUsage::default()
    });
    if let Err(error) = probes.storage.writable() {
        problems.push(format!("storage cannot be written: {error}"));
    }
    let all = vaults.all().unwrap_or_else(|error| {
        problems.push(format!("storage: {error}"));
        Vec::new()
    });
    let (queued, oldest) = match requests.jobs.counts() {
        Ok(counts) => (
            counts.queued,
            counts.oldest_queued_at.map(|then| since(then, now)),
        ),
        Err(error) => {
            problems.push(error.to_string());
            (0, None)
        }
    };
    if let Some(error) = &zookeeper.error {
        problems.push(format!("ZooKeeper: {error}"));
    }
    let hindrances = problems.clone();
    let good = |stored: &&Arc<Stored>| stored.is_valid();
    let storage = Storage {
        usage,
        dump_count: all.len(),
        size: all.iter().map(|stored| stored.bytes).sum(),
        last: all.last().map(|stored| summary(stored)),
        last_successful: all.iter().rev().find(good).map(|stored| summary(stored)),
    };
    let damaged = note_damage(&all, &mut problems);
    match requests.jobs.unreadable() {
        Ok(jobs) => problems.extend(jobs),
        Err(error) => problems.push(error.to_string()),
    }
    let mut health = Health::new(storage, queued);
    health.hindrances = hindrances;
    health.oldest_queued_seconds = oldest;
    health.damaged_vaults = damaged as u64;
    if damaged > 0 {
        health.status = "Warning";
    }
    if let Some(why) = site.retention.clock.moved(now) {
        health.status = "Warning";
        problems.push(format!(
            "no policy evicts anything: {why}. {}",
            site.names.trust_clock
        ));
    }
    let without = site.retention.clock.since_start().as_secs();
    let age = |newest: Option<OffsetDateTime>| newest.map_or(without, |newest| since(newest, now));
    let (full, granular) = (newest_good(&all, false, now), newest_good(&all, true, now));
    health.seconds_since_full_success = age(full);
    health.seconds_since_granular_success = age(granular);
    health.seconds_since_success = Some(age(full.max(granular)));
    health.zookeeper = Some(zookeeper);
    health.process = probes.process.usage();
    health.schedule = site.schedule.as_ref().map(|schedule| schedule.report());
    note_unfinished(site, &mut health, &mut problems);
    health.problems = problems;
    health
}

/// In seconds; what is dated later than now was not long ago.
fn since(then: OffsetDateTime, now: OffsetDateTime) -> u64 {
    u64::try_from((now - then).whole_seconds()).unwrap_or(0)
}

/// Names what is damaged, the newest first, and counts it.
fn note_damage(all: &[Arc<Stored>], problems: &mut Vec<String>) -> usize {
    let mut damaged = 0;
    for stored in all.iter().rev() {
        if let Some(damage) = &stored.damage {
            damaged += 1;
            if damaged <= NAMED {
                problems.push(format!("backup {}: {damage}", stored.id));
            }
        }
    }
    if damaged > NAMED {
        problems.push(format!("{} more backups are damaged", damaged - NAMED));
    }
    damaged
}

/// The date of the newest good backup. One that is dated later than now says nothing of how long ago it was.
fn newest_good(all: &[Arc<Stored>], granular: bool, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let good = all.iter().filter(|stored| stored.is_valid());
    let dates = good.filter_map(|stored| {
        let manifest = stored.manifest.as_ref().ok()?;
        (manifest.is_granular() == granular).then(|| manifest.date())
    });
    dates.filter(|date| *date <= now + AHEAD).max()
}

fn note_unfinished(site: &Site, health: &mut Health, problems: &mut Vec<String>) {
    let unfinished = site.unfinished.list();
    if let Some((path, origin)) = unfinished.first() {
        health.status = "Warning";
        let which = match unfinished.len() {
            1 => format!("the znode {path} is"),
            many => format!("{many} znodes, such as {path}, are"),
        };
        problems.push(format!(
            "{which} unfinished since the restore {} of backup {}: restore that again",
            origin.restore, origin.vault
        ));
    }
    if site.unfinished.is_incomplete() {
        problems.push(
            "notes of jobs were damaged: which znodes restores left unfinished is not fully known".to_owned(),
        );
    }
    health.unfinished_znodes = unfinished.len() as u64;
}

/// A report that could not be made.
pub(crate) fn unknown(why: &str) -> Health {
    let usage = StorageUsage::default();
    let storage = Storage {
        usage,
        dump_count: 0,
        size: 0,
        last: None,
        last_successful: None,
    };
    Health {
        status: "Warning",
        hindrances: vec![why.to_owned()],
        problems: vec![why.to_owned()],
        ..Health::new(storage, 0)
    }
}

fn summary(stored: &Stored) -> BackupSummary {
    let manifest = stored.manifest.as_ref().ok();
    let exit_code = manifest.map_or(1, exit_code);
    let exception = match manifest {
        Some(manifest) if exit_code != 0 => manifest.reason().map(str::to_owned),
        Some(_) => None,
        None => Some("its manifest cannot be read".to_owned()),
    };
    BackupSummary {
        id: stored.id.to_string(),
        ts: ms(stored.date()),
        failed: exit_code != 0,
        locked: false,
        sharded: manifest.is_some_and(|manifest| manifest.sharded),
        canceled: false,
        metrics: BackupMetrics {
            exit_code,
            exception,
            spent_time: manifest.map_or(0, spent_ms),
            size: stored.bytes,
        },
    }
}

fn exit_code(manifest: &Manifest) -> i32 {
    match manifest.outcome {
        _ if manifest.is_valid() => 0,
        Outcome::Partial { .. } => 2,
        _ => 1,
    }
}

fn spent_ms(manifest: &Manifest) -> i64 {
    let spent = (manifest.finished_at - manifest.started_at).whole_milliseconds();
    i64::try_from(spent.max(0)).unwrap_or(i64::MAX)
}
