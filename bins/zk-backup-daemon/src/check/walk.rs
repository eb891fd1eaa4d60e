//! A walk over the tree that keeps nothing, as long as there is time.

use std::time::{Duration, Instant};

use time::OffsetDateTime;
use zk_snapshot::tree::{Acl, ClientError, History, Reading, ZnodePath, ZnodeReader};

/// What a walk has seen.
pub(super) struct Seen {
    pub(super) znodes: u64,
    pub(super) unreadable: u64,
    pub(super) first_unreadable: Option<ZnodePath>,
    /// When the last one was written that was written last.
    pub(super) newest: OffsetDateTime,
    /// Whether that was all of the tree.
    pub(super) is_all: bool,
}

/// Reads znodes and ACLs from the root down until `patience` is over.
pub(super) async fn walk(
    client: &(impl ZnodeReader + ?Sized),
    patience: Duration,
) -> Result<Seen, ClientError> {
    let begun = Instant::now();
    let mut seen = Seen {
        znodes: 0,
        unreadable: 0,
        first_unreadable: None,
        newest: OffsetDateTime::UNIX_EPOCH,
        is_all: true,
    };
    let mut left = vec![ZnodePath::root()];
    while !left.is_empty() {
        if begun.elapsed() > patience {
            seen.is_all = false;
            break;
        }
        let batch = left.split_off(left.len().saturating_sub(client.batch_size().max(1)));
        let found = client.read_many(&batch, History::Any).await?;
        let acls = client.read_acls(&batch).await?;
        for ((path, reading), acl) in batch.into_iter().zip(found).zip(acls) {
            let is_open = |acl: &Acl| !acl.is_masked();
            let shown = match &acl {
                Reading::Found(found) => is_open(&found.acl),
                Reading::Missing => true,
                Reading::Denied | Reading::Undecodable(_) => false,
            };
            match reading {
                Reading::Missing => continue, // deleted meanwhile
                Reading::Found(found) if found.stat.is_ephemeral() => continue, // no backup has it
                Reading::Found(found) => {
                    let written = i128::from(found.stat.mtime.max(found.stat.ctime)) * 1_000_000;
                    if let Ok(written) = OffsetDateTime::from_unix_timestamp_nanos(written) {
                        seen.newest = seen.newest.max(written);
                    }
                    let children = found.children.iter().filter_map(|name| path.child(name).ok());
                    left.extend(children);
                    seen.unreadable += u64::from(!shown);
                }
                Reading::Denied | Reading::Undecodable(_) => seen.unreadable += 1,
            }
            seen.znodes += 1;
            if seen.unreadable > 0 {
                seen.first_unreadable.get_or_insert(path);
            }
        }
    }
    Ok(seen)
}
