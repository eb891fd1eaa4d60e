//! What a health report says, as gauges.

use prometheus::{Gauge, GaugeVec, Histogram, HistogramOpts, Opts, Registry};
use time::OffsetDateTime;

use crate::{BackupOutcome, BackupSummary, Health, Status, Storage};

/// Bounds of durations in seconds: a job takes between the blink of an eye and an hour.
pub(crate) const SECONDS: [f64; 10] = [0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

type Done = Result<(), prometheus::Error>;

/// A registry with all of them.
pub(crate) fn of(health: &Health) -> Result<Registry, prometheus::Error> {
    let registry = Registry::new();
    let gauge = |name: &str, help: &str, value: f64| -> Done {
        let gauge = Gauge::new(name, help)?;
        gauge.set(value);
        registry.register(Box::new(gauge))
    };
    of_counts(health, &gauge)?;
    of_room(&health.storage, &gauge)?;
    of_backups(&health.storage, &registry)?;
    of_times(health, &gauge)?;
    of_what_was_done(health, &registry)?;
    of_this_program(&registry)?;
    of_checks(health, &gauge)?;
    of_the_ensemble(health, &gauge)?;
    of_servers(health, &gauge)?;
    of_second_copies(health, &gauge)?;
    of_the_webhook(health, &gauge)?;
    Ok(registry)
}

fn of_counts(health: &Health, gauge: &dyn Fn(&str, &str, f64) -> Done) -> Done {
    let storage = &health.storage;
    gauge(
        "backup_queue_size",
        "Jobs that wait.",
        approximate(health.queued_jobs as u64),
    )?;
    gauge(
        "backup_daemon_status",
        "1 if the daemon is UP, else 0.",
        flag(health.status() == Status::Up),
    )?;
    if storage.unlisted {
        return Ok(());
    }
    gauge(
        "backup_storage_dump_count",
        "Finished backups; absent where they cannot be listed.",
        approximate(storage.backups as u64),
    )?;
    gauge(
        "backup_storage_size",
        "Bytes that all backups take; absent where they cannot be listed.",
        approximate(storage.bytes),
    )?;
    Ok(())
}

fn of_room(storage: &Storage, gauge: &dyn Fn(&str, &str, f64) -> Done) -> Done {
    // There is a value for each name, whatever is known of a directory.
    let usage = storage.usage.unwrap_or_default();
    let inodes = usage.inodes.unwrap_or_default();
    let room = [
        (
            "backup_storage_free_space",
            "Bytes free in the storage.",
            usage.free_bytes,
        ),
        (
            "backup_storage_space_total",
            "Bytes of the storage.",
            usage.total_bytes,
        ),
        (
            "backup_storage_free_inodes",
            "Inodes free in the storage.",
            inodes.free,
        ),
        (
            "backup_storage_used_inodes",
            "Inodes taken in the storage.",
            inodes.used(),
        ),
        (
            "backup_storage_inodes_total",
            "Inodes of the storage.",
            inodes.total,
        ),
    ];
    // What has no limits has no figures, which nobody is to be alarmed by.
    let has_room = storage.usage.is_some() || storage.place.is_none();
    for (name, help, value) in room.into_iter().filter(|_| has_room) {
        gauge(name, help, approximate(value))?;
    }
    Ok(())
}

fn of_backups(storage: &Storage, registry: &Registry) -> Done {
    for (prefix, which, backup) in [
        ("backup_storage_last", "the newest backup", &storage.newest),
        (
            "backup_storage_last_successful",
            "the newest successful backup",
            &storage.newest_good,
        ),
    ] {
        if let Some(backup) = backup {
            of_backup(registry, prefix, which, backup)?;
        }
    }
    Ok(())
}

fn of_times(health: &Health, gauge: &dyn Fn(&str, &str, f64) -> Done) -> Done {
    gauge(
        "zk_backup_queue_oldest_age_seconds",
        "How long the oldest waiting job waits; 0 if none does.",
        approximate(health.oldest_wait.unwrap_or_default().as_secs()),
    )?;
    if let Some(since) = health.since_success {
        gauge(
            "zk_backup_seconds_since_last_success",
            "How old the newest successful backup is; without one, how long the daemon runs.",
            approximate(since.as_secs()),
        )?;
    }
    gauge(
        "zk_backup_seconds_since_last_full_success",
        "The same of full backups.",
        approximate(health.since_full_success.unwrap_or_default().as_secs()),
    )?;
    gauge(
        "zk_backup_seconds_since_last_granular_success",
        "The same of granular backups.",
        approximate(health.since_granular_success.unwrap_or_default().as_secs()),
    )?;
    Ok(())
}

/// What is stored tells it, whenever this process began.
fn of_what_was_done(health: &Health, registry: &Registry) -> Done {
    let successes = GaugeVec::new(
        Opts::new(
            "zk_backup_last_success_timestamp_seconds",
            "When the newest good backup was taken, seconds since the Unix epoch; absent where there is none.",
        ),
        &["kind"],
    )?;
    for (kind, date) in [
        ("full", health.last_full_success),
        ("granular", health.last_granular_success),
    ] {
        if let Some(date) = date {
            let seconds = u64::try_from(date.unix_timestamp()).unwrap_or_default();
            successes.with_label_values(&[kind]).set(approximate(seconds));
        }
    }
    registry.register(Box::new(successes))?;
    let kept = Histogram::with_opts(
        HistogramOpts::new(
            "zk_backup_kept_duration_seconds",
            "How long the good backups took that are kept now: read it as it is, without rate().",
        )
        .buckets(SECONDS.to_vec()),
    )?;
    for took in &health.storage.durations {
        kept.observe(took.as_secs_f64());
    }
    registry.register(Box::new(kept))
}

fn of_this_program(registry: &Registry) -> Done {
    let help = "1, with the version of this program.";
    let build = GaugeVec::new(Opts::new("zk_backup_build_info", help), &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
    registry.register(Box::new(build))
}

fn of_checks(health: &Health, gauge: &dyn Fn(&str, &str, f64) -> Done) -> Done {
    gauge(
        "zk_backup_damaged_vaults",
        "Backups that are known to be damaged.",
        approximate(health.damaged_backups),
    )?;
    gauge(
        "zk_backup_unread_vaults",
        "Backups of which it is not known yet whether they were found damaged.",
        approximate(health.unread_backups),
    )?;
    gauge(
        "zk_backup_oldest_unverified_seconds",
        "How long ago the backup was verified that was not for longest; where it never was, how old it is.",
        approximate(health.since_oldest_verification.unwrap_or_default().as_secs()),
    )?;
    let verified = health.last_verification.map_or(0, OffsetDateTime::unix_timestamp);
    gauge(
        "zk_backup_last_verification_timestamp_seconds",
        "When a backup was verified last, seconds since the Unix epoch; 0 if none was.",
        approximate(verified.unsigned_abs()),
    )?;
    if let Some(since) = health.since_last_proof {
        gauge(
            "zk_backup_seconds_since_last_proof",
            "How long ago a backup was restored for a test, and nothing differed; absent if none was.",
            approximate(since.as_secs()),
        )?;
    }
    Ok(())
}

fn of_the_ensemble(health: &Health, gauge: &dyn Fn(&str, &str, f64) -> Done) -> Done {
    gauge(
        "zk_backup_unfinished_znodes",
        "Znodes that a restore has begun and that are not as in a backup yet.",
        approximate(health.unfinished_znodes),
    )?;
    gauge(
        "zk_backup_interrupted_restores",
        "Restores that the end of a process has cut off, and that none has made up for.",
        approximate(health.interrupted_restores),
    )?;
    if let Some(zookeeper) = &health.zookeeper {
        gauge(
            "zk_backup_zookeeper_up",
            "1 if ZooKeeper answers, else 0.",
            flag(zookeeper.reachable),
        )?;
    }
    if let Some(schedule) = &health.schedule {
        gauge(
            "zk_backup_missed_runs",
            "Scheduled runs not made.",
            approximate(schedule.missed),
        )?;
        if let Some(interval) = schedule.interval {
            gauge(
                "zk_backup_schedule_expected_interval_seconds",
                "The longest time that the schedule leaves between two backups.",
                interval.as_secs_f64(),
            )?;
        }
    }
    Ok(())
}

fn of_servers(health: &Health, gauge: &dyn Fn(&str, &str, f64) -> Done) -> Done {
    if let Some(leadership) = &health.leadership {
        gauge(
            "zk_backup_leader",
            "1 if this server leads, else 0.",
            flag(leadership.leads),
        )?;
        gauge(
            "zk_backup_leader_term",
            "How often the lead was taken.",
            approximate(leadership.term),
        )?;
    }
    Ok(())
}

fn of_second_copies(health: &Health, gauge: &dyn Fn(&str, &str, f64) -> Done) -> Done {
    let Some(copies) = &health.second_copy else {
        return Ok(());
    };
    gauge(
        "zk_backup_secondary_lacking",
        "Backups that have no second copy yet.",
        approximate(copies.lacking),
    )?;
    gauge(
        "zk_backup_secondary_lacking_bytes",
        "Bytes that they take.",
        approximate(copies.lacking_bytes),
    )?;
    gauge(
        "zk_backup_secondary_oldest_lacking_seconds",
        "How old the oldest of them is; 0 if there is none.",
        approximate(copies.oldest.unwrap_or_default().as_secs()),
    )?;
    gauge(
        "zk_backup_secondary_only",
        "Backups of which nothing but the second copy is left.",
        approximate(copies.only),
    )?;
    gauge(
        "zk_backup_secondary_damaged",
        "Second copies that a verification found damaged, and that are not made anew yet.",
        approximate(copies.damaged),
    )?;
    gauge(
        "zk_backup_secondary_up",
        "1 if all could be done the last time that second copies were looked after, else 0.",
        flag(copies.error.is_none()),
    )
}

fn of_the_webhook(health: &Health, gauge: &dyn Fn(&str, &str, f64) -> Done) -> Done {
    let Some(webhook) = &health.webhook else {
        return Ok(());
    };
    gauge(
        "zk_backup_webhook_owed",
        "Events that the webhook has not heard yet.",
        approximate(webhook.owed),
    )?;
    gauge(
        "zk_backup_webhook_oldest_owed_seconds",
        "For how long the oldest of them is owed; 0 if there is none.",
        approximate(webhook.oldest.unwrap_or_default().as_secs()),
    )
}

fn of_backup(registry: &Registry, prefix: &str, which: &str, backup: &BackupSummary) -> Done {
    let exit_code = match backup.outcome {
        BackupOutcome::Successful => 0,
        BackupOutcome::Failed(_) | BackupOutcome::Unknown(_) => 1,
        BackupOutcome::Partial(_) => 2,
    };
    let took = backup.took.unwrap_or_default().as_millis();
    let date = backup.date.unix_timestamp_nanos().div_euclid(1_000_000);
    for (name, help, value) in [
        ("failed", "Whether it failed", flag(exit_code != 0)),
        ("locked", "Whether it is being written", flag(false)), // only what is finished is in a report
        ("exit_code", "Exit code", f64::from(exit_code)),
        ("size", "Size in bytes", approximate(backup.bytes)),
        (
            "spent_time",
            "Time it took in ms",
            approximate(u64::try_from(took).unwrap_or(u64::MAX)),
        ),
        ("sharded", "Whether it is sharded", flag(backup.sharded)),
        (
            "timestamp",
            "When it was asked for, ms since the Unix epoch",
            approximate(u64::try_from(date.unsigned_abs()).unwrap_or(u64::MAX)),
        ),
    ] {
        let gauge = GaugeVec::new(
            Opts::new(format!("{prefix}_{name}"), format!("{help}: {which}.")),
            &["id"],
        )?;
        gauge.with_label_values(&[&backup.id]).set(value);
        registry.register(Box::new(gauge))?;
    }
    Ok(())
}

fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

/// Prometheus values are floats: exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn approximate(value: u64) -> f64 {
    value as f64
}
