//! The backup that is taken before a restore writes, of what it is to change.

use std::collections::BTreeMap;
use std::sync::Arc;

use vault_store::{Mode, VaultId};
use zk_snapshot::tree::{History, Reading, ZnodePath};

use crate::kind;
use crate::requests::{BackupRequest, Ids, RestorePayload};
use crate::site::Site;
use crate::vaults::Vaults;
use crate::work::backup;
use crate::work::context::JobContext;
use crate::work::failure::{Cause, Failure};

/// What was backed up.
#[derive(Default)]
pub(super) struct First {
    /// `None` where there was nothing to back up, or none was wanted.
    pub(super) id: Option<VaultId>,
    /// What it cannot bring back.
    pub(super) notes: Vec<String>,
}

/// Backs up, pinned, whatever is live where the restore writes to, unless it does not ask for that.
pub(super) async fn take(
    vaults: &Arc<Vaults>,
    site: &Arc<Site>,
    ids: &Arc<Ids>,
    context: &JobContext,
    payload: &RestorePayload,
) -> Result<First, Failure> {
    if !payload.backup_first || payload.dry_run {
        return Ok(First::default());
    }
    let taken = of_what_is_there(vaults, site, ids, context, payload).await;
    // Whatever it holds is no result of the restore.
    taken.map_err(|failure| match context.check_stop() {
        Err(stopped) => stopped.into(),
        Ok(()) => Cause::Said(format!(
            "nothing was restored, as the backup that was to be taken first failed: {} (without it: backup_first false)",
            failure.cause
        ))
        .into(),
    })
}

async fn of_what_is_there(
    vaults: &Arc<Vaults>,
    site: &Arc<Site>,
    ids: &Arc<Ids>,
    context: &JobContext,
    payload: &RestorePayload,
) -> Result<First, Failure> {
    let targets = targets(&payload.roots, &payload.renames);
    let (roots, absent) = there(site, context, targets).await?;
    let notes = match absent.is_empty() {
        true => Vec::new(),
        false => vec![format!(
            "the backup that was taken first is without {}, which did not exist: undone, that is deleted by hand",
            named(&absent)
        )],
    };
    if roots.is_empty() && !absent.is_empty() {
        context.log.info("there is nothing yet to back up first");
        return Ok(First { id: None, notes });
    }
    let (given, kept, now) = (Arc::clone(ids), Arc::clone(vaults), context.now());
    let id = tokio::task::spawn_blocking(move || given.apart(&kept, now)).await??;
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
    manifest.before_restore_of = Some(kind::vault(&context.job).parse()?);
    backup::take(vaults, site, context, &request, manifest).await?;
    context.progress.restart();
    context.progress.expect(0);
    Ok(First { id: Some(id), notes })
}

/// Those of the roots that exist, and those that do not.
async fn there(
    site: &Site,
    context: &JobContext,
    roots: Vec<ZnodePath>,
) -> Result<(Vec<ZnodePath>, Vec<ZnodePath>), Failure> {
    if roots.is_empty() {
        return Ok(Default::default());
    }
    context.progress.phase("connecting");
    let client = context.unless_stopped(site.ensemble.connect()).await??;
    let read = context
        .unless_stopped(client.read_many(&roots, History::One))
        .await;
    client.close().await;
    let readings = read??;
    let (there, absent): (Vec<_>, Vec<_>) = roots
        .into_iter()
        .zip(readings)
        .partition(|(_, reading)| *reading != Reading::Missing);
    let paths = |pairs: Vec<(ZnodePath, _)>| pairs.into_iter().map(|(path, _)| path).collect();
    Ok((paths(there), paths(absent)))
}

/// The subtrees that a restore of `roots` writes to; none means everything.
fn targets(roots: &[ZnodePath], renames: &BTreeMap<ZnodePath, ZnodePath>) -> Vec<ZnodePath> {
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
