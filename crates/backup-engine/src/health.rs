use health_metrics::{
    BackupMetrics, BackupSummary, Health, Schedule, Storage, StorageUsage, ZooKeeperHealth,
};
use time::{Duration, OffsetDateTime};
use vault_store::{Manifest, StoreError, VaultId};

use crate::parts::{Parts, lock};
use crate::view::{damage, exit_code, ms, rfc3339, spent_ms};

/// Damaged backups that are named.
const NAMED: usize = 10;
/// So far a date may be ahead of a clock that is corrected.
const AHEAD: Duration = Duration::MINUTE;

/// The whole report. What cannot be found out is among its problems.
pub(crate) fn report(parts: &Parts, zookeeper: ZooKeeperHealth) -> Health {
    let mut problems = Vec::new();
    let usage = parts.storage_probe.usage().unwrap_or_else(|error| {
        problems.push(format!("storage: {error}"));
        StorageUsage::default()
    });
    if let Err(error) = parts.storage_probe.writable() {
        problems.push(format!("storage cannot be written: {error}"));
    }
    let ids = parts.vaults.ids().unwrap_or_else(|error| {
        problems.push(format!("storage: {error}"));
        Vec::new()
    });
    let now = parts.now();
    let since = |then: OffsetDateTime| u64::try_from((now - then).whole_seconds()).unwrap_or(0);
    let (queued, oldest) = match parts.jobs.counts() {
        Ok(counts) => (counts.queued, counts.oldest_queued_at.map(since)),
        Err(error) => {
            problems.push(error.to_string());
            (0, None)
        }
    };
    if let Some(error) = &zookeeper.error {
        problems.push(format!("ZooKeeper: {error}"));
    }
    let mut storage = Storage {
        usage,
        dump_count: ids.len(),
        size: ids.iter().filter_map(|id| parts.vaults.size(id).ok()).sum(),
        last: None,
        last_successful: None,
    };
    let hindrances = problems.clone();
    let (mut full, mut granular, mut damaged) = (None, None, 0);
    for id in ids.iter().rev() {
        let manifest = parts.vaults.manifest(id);
        let damage = match &manifest {
            Ok(manifest) => damage(&*parts.vaults, manifest).unwrap_or_else(|error| Some(error.to_string())),
            Err(error @ StoreError::Damaged { .. }) => Some(error.to_string()),
            Err(StoreError::NotFound(_)) => continue, // gone meanwhile
            Err(_) => None,
        };
        let summary = summary(parts, id, manifest.as_ref().ok());
        let good = !summary.failed && damage.is_none();
        if let Some(damage) = damage {
            damaged += 1;
            if damaged <= NAMED {
                problems.push(format!("backup {id}: {damage}"));
            }
        }
        if good && let Ok(manifest) = &manifest {
            // One that is dated later than now says nothing of how long ago it was.
            let newest = if manifest.is_granular() {
                &mut granular
            } else {
                &mut full
            };
            let date = Some(manifest.date()).filter(|date| *date <= now + AHEAD);
            *newest = date.max(*newest);
        }
        if storage.last.is_none() {
            storage.last = Some(summary.clone());
        }
        if good && storage.last_successful.is_none() {
            storage.last_successful = Some(summary);
        }
    }
    if damaged > NAMED {
        problems.push(format!("{} more backups are damaged", damaged - NAMED));
    }
    match parts.jobs.unreadable() {
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
    if let Some(why) = parts.watch.moved(now) {
        health.status = "Warning";
        problems.push(format!(
            "no policy evicts anything: {why}. If it is right now, say so: POST /evict?trust_clock=true"
        ));
    }
    let age = |newest: Option<OffsetDateTime>| newest.map_or(parts.watch.since_start().as_secs(), since);
    health.seconds_since_full_success = age(full);
    health.seconds_since_granular_success = age(granular);
    health.seconds_since_success = Some(age(full.max(granular)));
    health.zookeeper = Some(zookeeper);
    health.process = parts.process_probe.usage();
    health.schedule = parts.cron.clone().map(|cron| {
        let ticker = lock(&parts.ticker);
        let next = ticker
            .as_ref()
            .and_then(job_queue::Ticker::next)
            .and_then(rfc3339);
        Schedule {
            cron,
            next,
            missed: ticker.as_ref().map_or(0, job_queue::Ticker::missed),
        }
    });
    let unfinished = parts.unfinished.list();
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
    if parts.unfinished.is_incomplete() {
        problems.push(
            "notes of jobs were damaged: which znodes restores left unfinished is not fully known".to_owned(),
        );
    }
    health.unfinished_znodes = unfinished.len() as u64;
    health.problems = problems;
    health
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

fn summary(parts: &Parts, id: &VaultId, manifest: Option<&Manifest>) -> BackupSummary {
    let exit_code = manifest.map_or(1, exit_code);
    let exception = match manifest {
        Some(manifest) if exit_code != 0 => manifest.reason().map(str::to_owned),
        Some(_) => None,
        None => Some("its manifest cannot be read".to_owned()),
    };
    BackupSummary {
        id: id.to_string(),
        ts: ms(manifest.map_or(id.time(), Manifest::date)),
        failed: exit_code != 0,
        locked: false,
        sharded: manifest.is_some_and(|manifest| manifest.sharded),
        canceled: false,
        metrics: BackupMetrics {
            exit_code,
            exception,
            spent_time: manifest.map_or(0, spent_ms),
            size: parts.vaults.size(id).unwrap_or(0),
        },
    }
}
