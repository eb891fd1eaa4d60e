//! What interrupted restores have left, as it stands now.

use super::counters::is_helper;
use super::guard::Guards;
use super::ledger::Unfinished;
use super::noted::Noted;
use crate::tree::{ClientError, Reading, ZnodePath, ZnodeReader, ZnodeWriter};

/// ACLs in one call.
const AT_ONCE: usize = 256;

/// Which of the znodes that are noted as `unfinished` still stand under a list of a restore, or may: what a backup would have of them is not what they are
/// to be. The others were deleted, or somebody has set another list. What was only created to raise a counter is to be nothing else.
///
/// # Errors
/// Those of the client.
pub async fn still_unfinished<T: ZnodeReader + ZnodeWriter + ?Sized>(
    live: &T,
    unfinished: Vec<Unfinished>,
) -> Result<Vec<ZnodePath>, ClientError> {
    let mut guards = Guards::new(live.working_acl());
    if guards.hides() && !unfinished.is_empty() {
        guards.know(live.identities().await?);
    }
    let (mut still, mut unfinished) = (Vec::new(), unfinished);
    unfinished.retain(|one| !(one.created && is_helper(one.path.name())));
    for some in unfinished.chunks(AT_ONCE) {
        let paths: Vec<_> = some.iter().map(|one| one.path.clone()).collect();
        for (one, reading) in some.iter().zip(live.read_acls(&paths).await?) {
            let (path, noted) = Noted::earlier(one.clone());
            let stands = match reading {
                Reading::Missing => false,
                Reading::Found(guard) => {
                    noted.is_opened(&guard, &guards) || noted.is_left(&guard.stat, &guard.acl, &guards)
                }
                // No list of ours keeps us from seeing it, as far as that is known.
                Reading::Denied => noted.aversions.is_none() && !noted.acl_unknown,
                Reading::Undecodable(_) => true,
            };
            if stands {
                still.push(path);
            }
        }
    }
    Ok(still)
}
