use health_metrics::{
    BackupMetrics, BackupSummary, Health, Schedule, Storage, StorageUsage, ZooKeeperHealth,
};
use time::OffsetDateTime;
use vault_store::{Manifest, VaultId};

use crate::parts::{Parts, lock};
use crate::view::{exit_code, reason, rfc3339, spent_ms, ts};

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
    for id in ids.iter().rev() {
        let summary = summary(parts, id, parts.vaults.manifest(id).ok().as_ref());
        if storage.last.is_none() {
            storage.last = Some(summary.clone());
        }
        if !summary.failed {
            storage.last_successful = Some(summary);
            break;
        }
    }
    let mut health = Health::new(storage, queued);
    health.oldest_queued_seconds = oldest;
    let success = health.storage.last_successful.as_ref();
    health.seconds_since_success = success
        .and_then(|success| OffsetDateTime::from_unix_timestamp(success.ts / 1000).ok())
        .map(since);
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
    if parts.unfinished.unreadable() > 0 {
        problems.push(
            "unfinished.jsonl was damaged: which znodes restores left unfinished is not fully known"
                .to_owned(),
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
        problems: vec![why.to_owned()],
        ..Health::new(storage, 0)
    }
}

fn summary(parts: &Parts, id: &VaultId, manifest: Option<&Manifest>) -> BackupSummary {
    let exit_code = manifest.map_or(1, exit_code);
    let exception = match manifest {
        Some(manifest) if exit_code != 0 => reason(manifest).map(str::to_owned),
        Some(_) => None,
        None => Some("its manifest cannot be read".to_owned()),
    };
    BackupSummary {
        id: id.to_string(),
        ts: ts(id),
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
