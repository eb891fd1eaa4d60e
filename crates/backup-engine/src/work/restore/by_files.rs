//! Restores by files, for an ensemble that is lost: the snapshot is placed, the servers are restarted by a command,
//! and every member is compared with the backup afterwards.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio::time::Instant;
use vault_store::{Consistency, Contents, FileName, Manifest, VaultId, Zxid};

use super::comparing::Comparing;
use super::epoch::{self, Begun};
use super::first::First;
use super::placing::{Placing, place};
use super::restart;
use super::sound::{Depth, open_sound};
use crate::requests::RestorePayload;
use crate::site::{Recovery, Site};
use crate::vaults::Vaults;
use crate::vaults::records::{SNAPSHOT, snapshot_of};
use crate::work::context::JobContext;
use crate::work::failure::Failure;
use crate::work::result::{JobResult, PlacedFiles, RestoreResult, RestoredFiles};

/// Places the files of a vault, and has the ensemble begin anew with them.
pub(super) async fn run(
    vaults: &Arc<Vaults>,
    site: &Arc<Site>,
    context: &JobContext,
    id: &VaultId,
    payload: &RestorePayload,
    first: &mut First<'_>,
) -> Result<RestoreResult, Failure> {
    let JobContext { log, progress, .. } = context;
    site.refuse_chroot("a restore by files is")?;
    let recovery = site
        .recovery
        .clone()
        .ok_or("restores by files need a storage directory")?;
    progress.phase("verifying");
    let (kept, vault, now) = (Arc::clone(vaults), id.clone(), context.now());
    let stopped = context.stopped();
    // Once the servers are stopped it is too late to find that none can load it.
    let opening =
        tokio::task::spawn_blocking(move || open_sound(&kept, &vault, Depth::Loaded, now, &stopped));
    let (manifest, opened) = context.unless_stopped(opening).await???;
    let mut plan = Plan::new(&recovery, &manifest, payload)?;
    if manifest.consistency() == Some(Consistency::Fuzzy) {
        log.error(
            "the backup is fuzzy: its znodes may not be of one moment, or of another than it was asked for",
        );
    }
    if payload.dry_run {
        context.unless_stopped(plan.raise(site, payload)).await?;
        return Ok(plan.into_result());
    }
    first.take(vaults, site, context, payload).await?;
    // As late as can be: the servers go on until the command stops them.
    context.unless_stopped(plan.raise(site, payload)).await?;
    plan.notes.iter().for_each(|note| log.info(note));
    // From here it is not called off until the servers are compared.
    context.check_stop()?;
    context.permit().may_write()?;
    progress.phase("placing");
    place_files(vaults, site, context, id, &plan).await?;
    let Some(command) = &recovery.command else {
        log.info(&format!(
            "{} is not configured: what is left to do is in the result, and in README beside it",
            site.names.restart_command
        ));
        return Ok(plan.placed(Vec::new(), 0));
    };
    let deadline = Instant::now() + recovery.patience;
    let command = restart::Restart {
        name: &site.names.restart_command,
        command,
        environment: &recovery.environment,
        variable: &recovery.variable,
    };
    let mut comparing = Comparing::new(context, &opened.records, deadline, old_names(&manifest));
    let begun = begin_anew(site, context, &command, &mut plan, &mut comparing).await;
    let Comparing { verified, gone, .. } = comparing;
    if let Err(Failure { cause, .. }) = begun {
        let result = JobResult::Restore(Box::new(plan.placed(verified, gone)));
        return Err(Failure { cause, result });
    }
    // Where nothing was compared, somebody has to look first.
    if !verified.is_empty() {
        let directory = recovery.directory.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || fs::remove_dir_all(directory)).await? {
            let note = format!(
                "{} has to be removed by hand: {error}",
                recovery.directory.display()
            );
            log.info(&note);
            plan.notes.push(note);
        }
    }
    Ok(plan.placed(verified, gone))
}

/// Znodes that clients cannot be shown.
fn old_names(manifest: &Manifest) -> u64 {
    match &manifest.contents {
        Some(Contents::Transactional(of)) => of.taken_from.old_names,
        _ => 0,
    }
}

/// What is placed, and what has to be done with it.
struct Plan {
    snapshot: FileName,
    zxid: i64,
    /// What the next zxid is to begin above, where that is raised.
    epoch: Option<i64>,
    steps: Vec<String>,
    ttl: u64,
    by_people: bool,
    dry_run: bool,
    files: RestoredFiles,
    /// What people should know.
    notes: Vec<String>,
}

impl Plan {
    fn new(recovery: &Recovery, manifest: &Manifest, payload: &RestorePayload) -> Result<Self, Failure> {
        let snapshot = snapshot_of(manifest)
            .map(|file| file.name.clone())
            .ok_or("only a transactional backup can be restored by files")?;
        let zxid = i64::from_str_radix(snapshot.as_str().trim_start_matches(SNAPSHOT), 16)
            .map_err(|error| format!("{snapshot} names no zxid: {error}"))?;
        let files = RestoredFiles {
            strategy: payload.strategy,
            directory: recovery.directory.clone(),
            steps: Vec::new(),
            placed: None,
        };
        let mut plan = Self {
            snapshot,
            zxid,
            epoch: None,
            steps: Vec::new(),
            ttl: manifest.contents.as_ref().map_or(0, Contents::ttl_znodes),
            by_people: recovery.command.is_none(),
            dry_run: payload.dry_run,
            files,
            notes: Vec::new(),
        };
        plan.write_steps();
        Ok(plan)
    }

    /// Begins above every epoch that is known now, where that is asked for.
    async fn raise(&mut self, site: &Site, payload: &RestorePayload) {
        let Some(least) = payload.raise_epoch else {
            return;
        };
        let (epoch, is_told) = epoch::to_begin_above(&*site.ensemble, self.zxid, least).await;
        self.epoch = Some(epoch);
        self.write_steps();
        if !is_told && least == 0 {
            self.notes.push(format!(
                "no server tells how far it has come: epoch {epoch} is above that of the backup, and may not be above those \
                 that were given out since; raise_epoch takes a number, too"
            ));
        }
    }

    fn write_steps(&mut self) {
        self.steps = steps(
            &self.files.directory,
            self.snapshot.as_str(),
            self.epoch,
            self.ttl,
        );
        if self.by_people {
            self.files.steps.clone_from(&self.steps);
        }
    }

    /// The plan alone.
    fn into_result(self) -> RestoreResult {
        RestoreResult {
            dry_run: Some(self.dry_run),
            files: Some(self.files),
            notes: Some(self.notes).filter(|notes| !notes.is_empty()),
            ..RestoreResult::default()
        }
    }

    fn placed(mut self, verified: Vec<String>, gone: u64) -> RestoreResult {
        self.files.placed = Some(PlacedFiles {
            zxid: Zxid(self.zxid),
            epoch: self.epoch,
            verified,
            gone_by_themselves: gone,
        });
        let notes = std::mem::take(&mut self.notes);
        RestoreResult {
            notes: Some(notes),
            ..self.into_result()
        }
    }
}

/// Ends what an earlier restore has left running, breaks the history off, and places the files.
async fn place_files(
    vaults: &Vaults,
    site: &Arc<Site>,
    context: &JobContext,
    id: &VaultId,
    plan: &Plan,
) -> Result<(), Failure> {
    let (directory, name) = (&plan.files.directory, &site.names.restart_command);
    if restart::end_left_over(name, directory).await? {
        context.log.error(&format!(
            "{name} of a restore that was interrupted was still running, and was ended"
        ));
    }
    let (store, here) = (Arc::clone(&vaults.store), Arc::clone(site));
    let (vault, place_at) = (id.clone(), directory.clone());
    let placing = Placing {
        name: plan.snapshot.clone(),
        epoch: plan.epoch,
        readme: plan.steps.join("\n") + "\n",
    };
    let (now, permit) = (context.now(), context.permit());
    tokio::task::spawn_blocking(move || {
        here.history.break_off(now)?;
        place(&*store, &vault, &placing, &place_at, &*permit)
    })
    .await??;
    context
        .log
        .info(&format!("{} is in {}", plan.snapshot, directory.display()));
    Ok(())
}

/// Has the servers restarted, compares them, and looks where they went on.
async fn begin_anew(
    site: &Arc<Site>,
    context: &JobContext,
    command: &restart::Restart<'_>,
    plan: &mut Plan,
    comparing: &mut Comparing<'_>,
) -> Result<(), Failure> {
    context.progress.phase("restarting");
    context.permit().may_write()?; // placing takes its time
    restart::run(command, &plan.files.directory, comparing.deadline).await?;
    // Backups that were begun before the servers were stopped are of the time before, too.
    let (here, now) = (Arc::clone(site), context.now());
    tokio::task::spawn_blocking(move || here.history.break_off(now)).await??;
    context.progress.phase("comparing");
    compare(site, comparing).await?;
    plan.notes.extend(comparing.notes());
    let Some(epoch) = plan.epoch else {
        return Ok(());
    };
    let note = match epoch::check(&*site.ensemble, epoch).await? {
        Begun::Above => return Ok(()),
        Begun::Standalone => {
            plan.epoch = None;
            "the epoch was not raised: a server alone goes on after the zxid of its snapshot, and files of epochs have no \
             effect"
        }
        Begun::Unknown => "no server tells whether it has begun above the epoch",
    };
    context.log.error(note);
    plan.notes.push(note.to_owned());
    Ok(())
}

/// Waits until every server holds what the backup holds: those that are named to us, and those that the ensemble names.
async fn compare(site: &Site, comparing: &mut Comparing<'_>) -> Result<(), Failure> {
    let mut members = site.ensemble.members();
    if members.is_empty() {
        members.push(Arc::clone(&site.ensemble));
    }
    comparing.with(members).await?;
    let others = site.ensemble.other_members().await;
    let others = others.map_err(|why| {
        let verified = comparing.verified.join(", ");
        format!("{verified} have been compared, and no others: {why}")
    })?;
    comparing.with(others).await
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
