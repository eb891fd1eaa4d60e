//! What an interrupted restore has left where a backup is taken: it has these znodes as they stand, which is not as they were.

use std::collections::HashSet;
use std::sync::Arc;

use vault_store::{Contents, Hierarchical, Manifest, Outcome, Transactional};
use zk_snapshot::restore::{Unfinished, still_unfinished};
use zk_snapshot::tree::{ClientError, ZnodePath};

use super::Staged;
use crate::requests::BackupRequest;
use crate::site::{Origin, Site};
use crate::work::context::JobContext;
use crate::work::failure::Failure;

/// Znodes that are named.
const NAMED: usize = 20;

/// Says so where the backup that is begun has some: it would bring back a list that lets nobody but a restore in.
pub(super) async fn find(
    site: &Arc<Site>,
    context: &JobContext,
    request: &BackupRequest,
) -> Result<Option<String>, Failure> {
    let roots = &request.roots;
    let is_in = |path: &ZnodePath| {
        roots.is_empty()
            || roots
                .iter()
                .any(|root| path.is_within(root) || root.is_within(path))
    };
    let mut noted = site.unfinished.left();
    noted.retain(|(znode, _)| is_in(&znode.path));
    if noted.is_empty() {
        return Ok(None);
    }
    let znodes = noted.iter().map(|(znode, _)| znode.clone()).collect();
    match context.unless_stopped(look(site, znodes)).await? {
        Ok(still) => {
            let still: HashSet<_> = still.into_iter().collect();
            noted.retain(|(znode, _)| still.contains(&znode.path));
        }
        Err(error) => context.log.error(&format!(
            "whether znodes are unfinished still cannot be seen: {error}"
        )),
    }
    Ok(said(&noted))
}

async fn look(site: &Site, znodes: Vec<Unfinished>) -> Result<Vec<ZnodePath>, ClientError> {
    let client = site.ensemble.connect().await?;
    let still = still_unfinished(&*client, znodes).await;
    client.close().await;
    still
}

fn said(left: &[(Unfinished, Origin)]) -> Option<String> {
    let (_, Origin { restore, vault }) = left.first()?;
    let mut names: Vec<_> = left
        .iter()
        .take(NAMED)
        .map(|(znode, _)| znode.path.as_str())
        .collect();
    if left.len() > NAMED {
        names.push("…");
    }
    Some(format!(
        "{} znodes stand under the ACL of the interrupted restore {restore}, perhaps without their data: {}; restore backup {vault} again, and \
         back up then",
        left.len(),
        names.join(", ")
    ))
}

/// A backup that has some has what was there, and is a good one: it tells what it would bring back. One that is taken before a restore is the way back, and tells it in
/// its log.
pub(super) fn mark(staged: &mut Staged, found: Option<String>, manifest: &Manifest, context: &JobContext) {
    let Some(found) = found else { return };
    if manifest.before_restore_of.is_some() {
        return context.log.error(&found);
    }
    staged.outcome = match std::mem::replace(&mut staged.outcome, Outcome::Complete) {
        Outcome::Complete => {
            let (Contents::Hierarchical(Hierarchical { captured, .. })
            | Contents::Transactional(Transactional { captured, .. })) = &mut staged.contents;
            captured.allow_partial = true;
            Outcome::Partial {
                reason: format!("partial: {found}"),
            }
        }
        Outcome::Partial { reason } => Outcome::Partial {
            reason: format!("{reason}; {found}"),
        },
        failed @ Outcome::Failed { .. } => failed,
    };
}
