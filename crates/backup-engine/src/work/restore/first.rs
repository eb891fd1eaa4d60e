//! The backup that is taken before a restore writes, of what it is to change.

use std::collections::BTreeMap;
use std::sync::Arc;

use vault_store::{Mode, VaultId};
use zk_snapshot::tree::{History, Reading, ZnodePath};

use crate::ensemble::Client;
use crate::kind;
use crate::requests::{BackupRequest, Ids, RestorePayload};
use crate::site::Site;
use crate::vaults::Vaults;
use crate::work::backup;
use crate::work::context::JobContext;
use crate::work::failure::{Cause, Failure};

/// What becomes of what was not there before.
const UNDONE: &str = "undone, that is deleted by hand";

/// What was backed up.
pub(super) struct First<'a> {
    ids: &'a Arc<Ids>,
    /// `None` where there was nothing to back up, or none was wanted.
    pub(super) id: Option<VaultId>,
    /// What did not exist, and so is not in it.
    absent: Vec<ZnodePath>,
    /// What was ephemeral, and so is in no backup.
    ephemeral: Vec<ZnodePath>,
}

/// Whether anything is to be backed up first.
pub(super) fn is_wanted(payload: &RestorePayload) -> bool {
    payload.backup_first && !payload.dry_run
}

impl<'a> First<'a> {
    /// Nothing yet.
    pub(super) fn new(ids: &'a Arc<Ids>) -> Self {
        Self {
            ids,
            id: None,
            absent: Vec::new(),
            ephemeral: Vec::new(),
        }
    }

    /// Backs up, pinned, whatever is live where the restore writes to, unless it does not ask for that.
    pub(super) async fn take(
        &mut self,
        vaults: &Arc<Vaults>,
        site: &Arc<Site>,
        context: &JobContext,
        payload: &RestorePayload,
    ) -> Result<(), Failure> {
        if !is_wanted(payload) {
            return Ok(());
        }
        let targets = targets(&payload.roots, &payload.renames);
        let taken = self.of_what_is_there(vaults, site, context, targets).await;
        context.progress.restart();
        context.progress.expect(0);
        let Err(failure) = taken else {
            return Ok(());
        };
        // Whatever it holds is no result of the restore.
        let left = self.id.take();
        context.check_stop()?;
        let left = left.map_or(String::new(), |id| {
            format!("what there is of it is backup {id}; ")
        });
        let cause = failure.cause;
        Err(Cause::Said(format!(
            "nothing was restored, as the backup that was to be taken first failed: {cause} ({left}without it: backup_first false)",
        ))
        .into())
    }

    /// Nothing is written over what has come since: no backup has it.
    pub(super) async fn check_left_out(
        &self,
        context: &JobContext,
        client: &dyn Client,
    ) -> Result<(), Failure> {
        let left_out: Vec<_> = self.absent.iter().chain(&self.ephemeral).cloned().collect();
        if left_out.is_empty() {
            return Ok(());
        }
        let read = client.read_many(&left_out, History::One);
        let readings = context.unless_stopped(read).await??;
        let (absent, ephemeral) = readings.split_at(self.absent.len());
        if let Some(path) = other(&self.absent, absent, |reading| *reading == Reading::Missing) {
            return Err(format!(
                "nothing was restored: {path} did not exist when it was to be backed up first, and does now: ask again"
            )
            .into());
        }
        let is_still = |reading: &Reading| *reading == Reading::Missing || is_ephemeral(reading);
        if let Some(path) = other(&self.ephemeral, ephemeral, is_still) {
            return Err(format!(
                "nothing was restored: {path} was ephemeral when it was to be backed up first, and is not now: ask again"
            )
            .into());
        }
        Ok(())
    }

    /// What it cannot bring back.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.absent.is_empty() {
            let absent = named(&self.absent);
            notes.push(match &self.id {
                Some(_) => {
                    format!(
                        "the backup that was taken first is without {absent}, which did not exist: {UNDONE}"
                    )
                }
                None => format!("no backup was taken first, as {absent} did not exist: {UNDONE}"),
            });
        }
        if !self.ephemeral.is_empty() {
            let ephemeral = named(&self.ephemeral);
            notes.push(format!(
                "no backup was taken first of {ephemeral}: ephemeral znodes are in none. What of it had ended by then is restored: {UNDONE}"
            ));
        }
        notes
    }

    /// Backs up those of the `targets` that exist, and notes those that do not, or are ephemeral; none means everything.
    async fn of_what_is_there(
        &mut self,
        vaults: &Arc<Vaults>,
        site: &Arc<Site>,
        context: &JobContext,
        targets: Vec<ZnodePath>,
    ) -> Result<(), Failure> {
        let is_everything = targets.is_empty();
        let roots = self.leave_out(site, context, targets).await?;
        if roots.is_empty() && !is_everything {
            context.log.info("there is nothing to back up first");
            return Ok(());
        }
        let (ids, kept, now) = (Arc::clone(self.ids), Arc::clone(vaults), context.now());
        let id = tokio::task::spawn_blocking(move || ids.apart(&kept, now)).await??;
        context
            .log
            .info(&format!("taking backup {id} first, of what is to be changed"));
        let request = BackupRequest {
            mode: Mode::Hierarchical,
            roots,
            pinned: true,
            ..BackupRequest::default()
        };
        let mut manifest = backup::begun(&id, &request, context);
        self.id = Some(id);
        manifest.before_restore_of = Some(kind::vault(&context.job).parse()?);
        manifest.restore_job = Some(context.job.id.clone());
        backup::take(vaults, site, context, &request, manifest).await?;
        Ok(())
    }

    /// Those of the `targets` that can be backed up. The others are noted.
    async fn leave_out(
        &mut self,
        site: &Site,
        context: &JobContext,
        targets: Vec<ZnodePath>,
    ) -> Result<Vec<ZnodePath>, Failure> {
        if targets.is_empty() {
            return Ok(targets);
        }
        context.progress.phase("connecting");
        let client = context.unless_stopped(site.ensemble.connect()).await??;
        let read = context
            .unless_stopped(client.read_many(&targets, History::One))
            .await;
        client.close().await;
        let mut there = Vec::new();
        for (path, reading) in targets.into_iter().zip(read??) {
            match reading {
                Reading::Missing => self.absent.push(path),
                reading if is_ephemeral(&reading) => self.ephemeral.push(path),
                _ => there.push(path),
            }
        }
        Ok(there)
    }
}

/// The first of these whose reading is another than it was.
fn other<'a>(
    paths: &'a [ZnodePath],
    readings: &[Reading],
    is_as_it_was: impl Fn(&Reading) -> bool,
) -> Option<&'a ZnodePath> {
    let mut looked_at = paths.iter().zip(readings);
    let (path, _) = looked_at.find(|(_, reading)| !is_as_it_was(reading))?;
    Some(path)
}

fn is_ephemeral(reading: &Reading) -> bool {
    matches!(reading, Reading::Found(found) if found.stat.is_ephemeral())
}

/// The subtrees that a restore of `roots` writes to; none means everything.
pub(super) fn targets(roots: &[ZnodePath], renames: &BTreeMap<ZnodePath, ZnodePath>) -> Vec<ZnodePath> {
    if roots.is_empty() {
        return Vec::new();
    }
    let moved = |root: &&ZnodePath| !renames.keys().any(|from| root.is_within(from));
    let stay = roots.iter().filter(moved).cloned();
    // A root below what is renamed goes with it.
    let go = roots.iter().filter_map(|root| {
        let (from, to) = renames
            .iter()
            .filter(|(from, _)| root.is_within(from))
            .max_by_key(|(from, _)| from.depth())?;
        Some(root.rebased(from, to))
    });
    let mut all: Vec<_> = stay.chain(go).chain(renames.values().cloned()).collect();
    all.sort();
    all.dedup();
    let outer = all.clone();
    all.retain(|path| !outer.iter().any(|other| other != path && path.is_within(other)));
    all
}

fn named(paths: &[ZnodePath]) -> String {
    let names: Vec<_> = paths.iter().map(ZnodePath::as_str).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_is_where_it_comes_back() {
        let path = |text: &str| ZnodePath::parse(text).unwrap();
        let of = |roots: &[&str], renames: &[(&str, &str)]| {
            let roots: Vec<_> = roots.iter().map(|root| path(root)).collect();
            let renames = renames.iter().map(|(from, to)| (path(from), path(to))).collect();
            named(&targets(&roots, &renames))
        };
        assert_eq!(of(&[], &[("/a", "/b")]), "");
        assert_eq!(of(&["/a/b", "/a", "/c"], &[]), "/a, /c");
        assert_eq!(of(&["/a"], &[("/a", "/z")]), "/z");
        assert_eq!(of(&["/a", "/d"], &[("/a/b", "/c/b")]), "/a, /c/b, /d");
    }
}
