//! Whether backups and jobs can be kept.

use std::fs;
use std::path::Path;

use backup_engine::EngineError;
use health_metrics::{FsProbe, StorageProbe as _};
use job_queue::SqliteJobs;
use vault_store::{FsStore, StoreError, VaultStore as _};
use zk_snapshot::files::DataDirs;

use super::finding::Finding;
use crate::bucket::{self, BucketConfig, Purpose};
use crate::{Secondary, Settings};

/// Blocks.
pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    let mut findings = directory("storage", "STORAGE", &settings.storage);
    findings.extend(settings.data_dirs.as_ref().map(states));
    if let Some(config) = &settings.bucket {
        let purpose = settings
            .ha
            .as_ref()
            .map_or(Purpose::Backups, |_| Purpose::Sharing);
        findings.push(bucket_of("bucket", config, purpose));
    }
    let aliases = settings.aliases.values();
    findings.extend(aliases.map(|config| bucket_of("alias", config, Purpose::Backups)));
    match &settings.secondary {
        None => {}
        Some(Secondary::Directory(path)) => {
            findings.extend(directory("second copy", "SECONDARY_DIRECTORY", path));
        }
        Some(Secondary::Bucket(config)) => findings.push(bucket_of("second copy", config, Purpose::Copies)),
    }
    findings
}

/// Whether the files that transactional backups are from can be listed.
fn states(dirs: &DataDirs) -> Finding {
    for directory in [&dirs.data, &dirs.log].map(|directory| directory.join("version-2")) {
        if let Err(error) = fs::read_dir(&directory) {
            let message = format!(
                "{}: {error}: ZOOKEEPER_DATA_DIR (and ZOOKEEPER_DATA_LOG_DIR) are dataDir (and dataLogDir) of a server on this machine, \
                 and readable to us",
                directory.display()
            );
            return Finding::fails("data files", message);
        }
    }
    Finding::ok("data files", format!("{} may be listed", dirs.data.display()))
}

fn bucket_of(check: &'static str, config: &BucketConfig, purpose: Purpose) -> Finding {
    match bucket::contact(config, purpose) {
        Err(error) => Finding::fails(check, error.to_string()),
        Ok((_, Some(warning))) => Finding::fails(check, warning),
        Ok((_, None)) => Finding::ok(
            check,
            format!("{config} answers, may be written, and knows the conditions of writes"),
        ),
    }
}

fn directory(check: &'static str, setting: &str, path: &Path) -> Vec<Finding> {
    let at = path.display();
    let there = path.ancestors().find(|part| fs::symlink_metadata(part).is_ok());
    let there = there.unwrap_or(Path::new("."));
    if !there.is_dir() {
        let message = format!("{setting}: {}: it is no directory", there.display());
        return vec![Finding::fails(check, message)];
    }
    if let Err(error) = FsProbe::new(there).writable() {
        let message = format!(
            "{setting}: {}: {error}: make it the server's own, with room",
            there.display()
        );
        return vec![Finding::fails(check, message)];
    }
    if there != path {
        return vec![Finding::ok(check, format!("{at} will be made"))];
    }
    match FsStore::is_at(path) {
        Ok(false) => {
            let mut findings = vec![Finding::ok(check, format!("{at} has no backups yet"))];
            findings.extend(jobs(path));
            return findings;
        }
        Ok(true) => {}
        Err(error) => return vec![Finding::fails(check, error.to_string())],
    }
    let store = match FsStore::open_existing(path) {
        Ok(store) => store,
        Err(StoreError::Locked(_)) => {
            let message = format!("{at} is another process's: if that is not the server itself, end it");
            return vec![Finding::warning(check, message)];
        }
        Err(error) => return vec![Finding::fails(check, error.to_string())],
    };
    let found = match store.ids() {
        Ok(ids) => Finding::ok(
            check,
            format!("{at} may be written, and has {} backups", ids.len()),
        ),
        Err(error) => Finding::fails(check, error.to_string()),
    };
    // As long as the store is held nobody writes there.
    let mut findings = vec![found];
    findings.extend(jobs(path));
    findings
}

/// Whether the jobs can be opened, by a copy of them: what opens them may change them.
fn jobs(storage: &Path) -> Option<Finding> {
    let file = storage.join("jobs.db");
    if !file.exists() {
        return None;
    }
    let tried = || -> Result<bool, EngineError> {
        let failed = |error: std::io::Error| EngineError::Storage(error.into());
        let copy = tempfile::tempdir().map_err(failed)?;
        for name in ["jobs.db", "jobs.db-wal"] {
            let from = storage.join(name);
            if from.exists() {
                fs::copy(from, copy.path().join(name)).map_err(failed)?;
            }
        }
        let opened = SqliteJobs::open(&copy.path().join("jobs.db"))?;
        Ok(opened.moved_aside.is_none())
    };
    let at = file.display();
    Some(match tried() {
        Ok(true) => Finding::ok("jobs", format!("{at} is sound")),
        Ok(false) => {
            let message = format!("{at} is damaged: the server will move it aside, and begin a new one");
            Finding::warning("jobs", message)
        }
        Err(error) => Finding::fails("jobs", format!("{at}: {error}")),
    })
}
