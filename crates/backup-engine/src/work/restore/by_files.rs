//! Restores by files, for an ensemble that is lost: the snapshot is placed, the servers are restarted by a command,
//! and every member is compared with the backup afterwards.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio::time::Instant;
use vault_store::{Consistency, Contents, FileName, Manifest, VaultId, Zxid};

use super::comparing::Comparing;
use super::placing::place;
use super::restart;
use super::sound::open_sound;
use crate::requests::RestorePayload;
use crate::site::Site;
use crate::vaults::Vaults;
use crate::vaults::records::SNAPSHOT;
use crate::work::context::JobContext;
use crate::work::failure::Failure;
use crate::work::result::{Done, Placing};

/// Places the files of a vault, and has the ensemble begin anew with them.
pub(super) async fn run(
    vaults: &Arc<Vaults>,
    site: &Arc<Site>,
    context: &JobContext,
    id: &VaultId,
    payload: &RestorePayload,
) -> Result<Done, Failure> {
    let JobContext { log, progress, .. } = context;
    site.refuse_chroot("a restore by files is")?;
    let recovery = site
        .recovery
        .clone()
        .ok_or("restores by files need a storage directory")?;
    progress.phase("verifying");
    let (kept, vault, now) = (Arc::clone(vaults), id.clone(), context.now());
    let opening = tokio::task::spawn_blocking(move || open_sound(&kept, &vault, now));
    let (manifest, opened) = opening.await??;
    let name = snapshot_of(&manifest).ok_or("only a transactional backup can be restored by files")?;
    let zxid = i64::from_str_radix(name.as_str().trim_start_matches(SNAPSHOT), 16)
        .map_err(|error| format!("{name} names no zxid: {error}"))?;
    let epoch = match payload.raise_epoch {
        None => None,
        Some(least) => {
            let live = site.ensemble.committed_zxid().await.unwrap_or(0);
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
    if restart::end_left_over(&site.names.restart_command, &recovery.directory).await? {
        log.error(&format!(
            "{} of a restore that was interrupted was still running, and was ended",
            site.names.restart_command
        ));
    }
    let (store, here) = (Arc::clone(&vaults.store), Arc::clone(site));
    let (vault, file) = (id.clone(), name.clone());
    let (directory, readme) = (recovery.directory.clone(), steps.join("\n") + "\n");
    let now = context.now();
    tokio::task::spawn_blocking(move || {
        here.history.break_off(now)?;
        place(&*store, &vault, &file, &directory, epoch, &readme)
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
        log.info(&format!(
            "{} is not configured: what is left to do is in the result, and in README beside it",
            site.names.restart_command
        ));
        return Ok(placed(Vec::new(), 0, Vec::new()));
    };
    let deadline = Instant::now() + recovery.patience;
    progress.phase("restarting");
    restart::run(
        (&site.names.restart_command, command),
        &recovery.directory,
        deadline,
    )
    .await?;
    // Backups that were begun before the servers were stopped are of the time before, too.
    let (here, now) = (Arc::clone(site), context.now());
    tokio::task::spawn_blocking(move || here.history.break_off(now)).await??;
    progress.phase("comparing");
    let mut members = site.ensemble.members();
    if members.is_empty() {
        members.push(Arc::clone(&site.ensemble));
    }
    let mut comparing = Comparing::new(context, &opened.records, deadline);
    comparing.with(members).await?;
    let others = site.ensemble.other_members().await;
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
