//! Restores by files, for an ensemble that is lost: the snapshot is placed, the servers are restarted by a command,
//! and every member is compared with the backup afterwards.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vault_store::{Consistency, Contents, FileName, Manifest, Reader, VaultId, Zxid};

use super::comparing::Comparing;
use super::log::JobLog;
use super::restore::open_sound;
use super::result::{Done, Placing};
use super::{Failure, command};
use crate::history;
use crate::parts::{Parts, Progress};
use crate::records::SNAPSHOT;
use crate::request::RestorePayload;
use crate::select;

/// How an ensemble is brought back by files.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// Where the files are placed: a directory that only this process's user, who runs the command, may read.
    pub directory: PathBuf,
    /// A shell command that makes every server begin anew with these files; it finds their directory in
    /// `RECOVER_DIR`, and returns when that is done. Without one, people do it.
    pub command: Option<String>,
    /// How long the command, and the servers afterwards, may take.
    pub patience: Duration,
}

/// Places the files of a vault, and has the ensemble begin anew with them.
pub(super) async fn run(
    parts: &Arc<Parts>,
    id: &VaultId,
    payload: &RestorePayload,
    log: &JobLog,
    progress: &Arc<Progress>,
) -> Result<Done, Failure> {
    select::refuse_chroot(parts, "a restore by files is")?;
    let recovery = parts
        .recovery
        .clone()
        .ok_or("restores by files need a storage directory")?;
    progress.phase("verifying");
    let (blocking, vault) = (Arc::clone(parts), id.clone());
    let (manifest, records) = tokio::task::spawn_blocking(move || {
        let opened = open_sound(&blocking, &vault)?;
        Ok::<_, Failure>((blocking.vaults.manifest(&vault)?, opened.records))
    })
    .await??;
    let name = snapshot_of(&manifest).ok_or("only a transactional backup can be restored by files")?;
    let zxid = i64::from_str_radix(name.as_str().trim_start_matches(SNAPSHOT), 16)?;
    let epoch = match payload.raise_epoch {
        None => None,
        Some(least) => {
            let live = parts.ensemble.committed_zxid().await.unwrap_or(0);
            Some((zxid >> 32).max(live >> 32).max(least.into()))
        }
    };
    let ttl = manifest.contents.as_ref().map_or(0, Contents::ttl_znodes);
    let steps = steps(&recovery.directory, name.as_str(), epoch, ttl);
    let placing = Placing {
        dry_run: payload.dry_run,
        strategy: payload.strategy,
        directory: recovery.directory.clone(),
        steps: if recovery.command.is_some() {
            Vec::new()
        } else {
            steps.clone()
        },
    };
    if manifest.consistency() == Some(Consistency::Fuzzy) {
        log.error(
            "the backup is fuzzy: its znodes may not be of one moment, or of another than it was asked for",
        );
    }
    if payload.dry_run {
        return Ok(Done::Planned(placing));
    }
    progress.phase("placing");
    if command::end_left_over(&recovery.directory).await? {
        log.error(
            "the RESTORE_RESTART_COMMAND of a restore that was interrupted was still running, and was ended",
        );
    }
    let (blocking, vault, file) = (Arc::clone(parts), id.clone(), name.clone());
    let (directory, readme) = (recovery.directory.clone(), steps.join("\n") + "\n");
    let now = parts.now();
    tokio::task::spawn_blocking(move || {
        history::break_off(&directory, now)?;
        place(&blocking, &vault, &file, &directory, epoch, &readme)
    })
    .await??;
    log.info(&format!("{name} is in {}", recovery.directory.display()));
    let placed = |verified: Vec<String>, gone: u64, notes: Vec<String>| Done::Placed {
        placing: placing.clone(),
        zxid: Zxid(zxid),
        epoch,
        verified,
        gone_by_themselves: gone,
        notes,
    };
    let Some(command) = &recovery.command else {
        log.info("no RESTORE_RESTART_COMMAND is configured: what is left to do is in the result, and in README beside it");
        return Ok(placed(Vec::new(), 0, Vec::new()));
    };
    let deadline = Instant::now() + recovery.patience;
    progress.phase("restarting");
    command::run(command, &recovery.directory, deadline).await?;
    // Backups that were begun before the servers were stopped are of the time before, too.
    let (directory, now) = (recovery.directory.clone(), parts.now());
    tokio::task::spawn_blocking(move || history::break_off(&directory, now)).await??;
    progress.phase("comparing");
    let mut members = parts.ensemble.members();
    if members.is_empty() {
        members.push(Arc::clone(&parts.ensemble));
    }
    let mut comparing = Comparing::new(parts, log, &records, deadline);
    comparing.with(members).await?;
    let others = parts.ensemble.other_members().await;
    let others = others.map_err(|why| {
        let verified = comparing.verified.join(", ");
        format!("{verified} have been compared, and no others: {why}")
    })?;
    comparing.with(others).await?;
    let Comparing { verified, gone, .. } = comparing;
    let mut notes = Vec::new();
    if gone > 0 {
        notes.push(format!(
            "up to {gone} containers and TTL znodes of the backup had been deleted by the servers themselves by the time they \
             were compared"
        ));
    }
    let directory = recovery.directory.clone();
    if let Err(error) = tokio::task::spawn_blocking(move || fs::remove_dir_all(directory)).await? {
        notes.push(format!(
            "{} has to be removed by hand: {error}",
            recovery.directory.display()
        ));
    }
    notes.iter().for_each(|note| log.info(note));
    Ok(placed(verified, gone, notes))
}

fn snapshot_of(manifest: &Manifest) -> Option<FileName> {
    let mut names = manifest.files.iter().map(|file| &file.name);
    names.find(|name| name.as_str().starts_with(SNAPSHOT)).cloned()
}

fn steps(directory: &Path, snapshot: &str, epoch: Option<i64>, ttl: u64) -> Vec<String> {
    let from = directory.display();
    let files = match epoch {
        Some(epoch) => format!(
            "{snapshot}, currentEpoch and acceptedEpoch (they make the next zxid begin above epoch {epoch})"
        ),
        None => snapshot.to_owned(),
    };
    let extended = match ttl {
        0 => String::new(),
        ttl => format!(" with zookeeper.extendedTypesEnabled=true, or {ttl} TTL znodes are lost"),
    };
    vec![
        "1. Stop every ZooKeeper server, observers too: one that keeps its old files may undo the restore.".to_owned(),
        "2. On each of them move everything in <dataDir>/version-2 and <dataLogDir>/version-2 aside; keep myid.".to_owned(),
        format!("3. Copy {files} from {from} to <dataDir>/version-2 of every server, owned by its user."),
        format!("4. Start them all{extended}. Keep clients away until `srvr` tells the same node count on each."),
        format!("5. Remove {from}."),
    ]
}

fn place(
    parts: &Parts,
    id: &VaultId,
    name: &FileName,
    directory: &Path,
    epoch: Option<i64>,
    readme: &str,
) -> Result<(), Failure> {
    // All of it appears at once, so that nobody takes what was cut short.
    let new = directory.with_extension("new");
    remove(&new)?;
    fs::DirBuilder::new().mode(0o700).recursive(true).create(&new)?;
    let filled = fill(parts, id, name, &new, epoch, readme);
    if let Err(failure) = filled {
        remove(&new)?;
        return Err(failure);
    }
    remove(directory)?;
    fs::rename(&new, directory)?;
    let above = directory.parent().unwrap_or(directory);
    Ok(File::open(above)?.sync_all()?)
}

fn fill(
    parts: &Parts,
    id: &VaultId,
    name: &FileName,
    new: &Path,
    epoch: Option<i64>,
    readme: &str,
) -> Result<(), Failure> {
    let write = |name: &str, content: &mut dyn io::Read| {
        let mut file = history::create(&new.join(name))?;
        io::copy(content, &mut file)?;
        file.flush()?;
        file.sync_all()
    };
    write(name.as_str(), &mut Reader::new(parts.vaults.open(id, name)?))?;
    if let Some(epoch) = epoch {
        for name in ["currentEpoch", "acceptedEpoch"] {
            write(name, &mut epoch.to_string().as_bytes())?;
        }
    }
    write("README", &mut readme.as_bytes())?;
    Ok(File::open(new)?.sync_all()?)
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io::Error::new(
            error.kind(),
            format!("{}: {error}", directory.display()),
        )),
        _ => Ok(()),
    }
}
