//! What was restored, read anew and compared with the backup znode by znode.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use zk_snapshot::archive::{ArchiveError, Record, RecordSource, Role};
use zk_snapshot::tree::reserved::{NAME, is_reserved};
use zk_snapshot::tree::{Acl, AclFound, ClientError, Found, History, Kind, Reading, ZnodePath, ZnodeReader};

use crate::work::failure::Cause;

/// Differences that are named.
const NAMED: usize = 20;

/// What a comparison found.
#[derive(Default)]
pub(super) struct Compared {
    /// Znodes that were read and compared.
    pub(super) znodes: u64,
    /// SHA-256 of what was read of them: paths, data and ACLs in the order of the backup.
    pub(super) sha256: String,
    /// Containers and TTL znodes that are not there: servers delete them by themselves.
    pub(super) gone_by_themselves: u64,
    /// Parents whose next sequential child would get a lower number than the backup says.
    pub(super) counters_behind: u64,
    /// How many znodes differ, and the first of them with how.
    pub(super) differing: u64,
    pub(super) differences: Vec<(ZnodePath, String)>,
}

impl Compared {
    fn differs(&mut self, path: &ZnodePath, how: impl Into<String>) {
        self.differing += 1;
        if self.differences.len() < NAMED {
            self.differences.push((path.clone(), how.into()));
        }
    }

    /// What differs, in one sentence, where anything does.
    pub(super) fn difference(&self) -> Option<String> {
        if self.differing == 0 {
            return None;
        }
        let first = self
            .differences
            .iter()
            .map(|(path, how)| format!("{path}: {how}"));
        let more = if self.differing > NAMED as u64 {
            ", …"
        } else {
            ""
        };
        Some(format!(
            "{} znodes are not as in the backup: {}{more}",
            self.differing,
            first.collect::<Vec<_>>().join(", ")
        ))
    }
}

/// Compares all of the backup but `/zookeeper` with what `live` shows, with nothing taken as known. Holds sixteen bytes for each znode.
pub(super) async fn compare(
    records: &Arc<dyn RecordSource>,
    live: &(impl ZnodeReader + ?Sized),
    counters_known: bool,
) -> Result<Compared, Cause> {
    live.sync().await?;
    let hasher = RandomState::new();
    let hash = |path: &ZnodePath| hasher.hash_one(path.as_str());
    let mut wanted = HashSet::new();
    for index in 0..records.frames() {
        let outlines = read_frame(records, move |records| records.outline(index)).await?;
        wanted.extend(outlines.iter().map(|outline| hash(&outline.path)));
    }
    let mut compared = Compared::default();
    let mut digest = Sha256::new();
    for index in 0..records.frames() {
        let mut frame = read_frame(records, move |records| records.frame(index)).await?;
        frame.retain(|record| !is_reserved(&record.path) && record.role != Role::Unreadable);
        for some in frame.chunks(live.batch_size().max(1)) {
            let (found, guards) = read(live, some).await?;
            for ((record, found), guard) in some.iter().zip(found).zip(guards) {
                let children = compare_one(record, found, guard, counters_known, &mut compared, &mut digest);
                for name in children {
                    let is_servers = record.path.is_root() && name == NAME;
                    if let Ok(child) = record.path.child(&name)
                        && !is_servers
                        && !wanted.contains(&hash(&child))
                    {
                        compared.differs(&child, "it is not in the backup");
                    }
                }
            }
        }
    }
    compared.sha256 = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(compared)
}

async fn read_frame<T: Send + 'static>(
    records: &Arc<dyn RecordSource>,
    read: impl FnOnce(&dyn RecordSource) -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, Cause> {
    let records = Arc::clone(records);
    Ok(tokio::task::spawn_blocking(move || read(&*records)).await??)
}

async fn read(
    live: &(impl ZnodeReader + ?Sized),
    records: &[Record],
) -> Result<(Vec<Reading>, Vec<Reading<AclFound>>), ClientError> {
    let paths: Vec<_> = records.iter().map(|record| record.path.clone()).collect();
    let found = live.read_many(&paths, History::One).await?;
    let guards = live.read_acls(&paths).await?;
    Ok((found, guards))
}

/// Compares one znode, and gives the names of its children.
fn compare_one(
    record: &Record,
    found: Reading,
    guard: Reading<AclFound>,
    counters_known: bool,
    compared: &mut Compared,
    digest: &mut Sha256,
) -> Vec<String> {
    let path = &record.path;
    let (found, guard) = match (found, guard) {
        (Reading::Found(found), Reading::Found(guard)) => (found, guard.acl),
        (Reading::Missing, _) | (_, Reading::Missing) => {
            match record.stat.kind() {
                Kind::Container | Kind::Ttl(_) => compared.gone_by_themselves += 1,
                Kind::Persistent | Kind::Ephemeral => compared.differs(path, "it is not there"),
            }
            return Vec::new();
        }
        (Reading::Undecodable(why), _) | (_, Reading::Undecodable(why)) => {
            compared.differs(path, why);
            return Vec::new();
        }
        (Reading::Denied, _) | (_, Reading::Denied) => {
            compared.differs(path, "it may not be read");
            return Vec::new();
        }
    };
    // What is only above what was asked for is brought back as well where it is missing, as it is here.
    compared.znodes += 1;
    let how = how(record, &found, &guard);
    if let Some(how) = how {
        compared.differs(path, how);
    }
    let behind = found.stat.next_sequence() < record.stat.next_sequence();
    compared.counters_behind += u64::from(counters_known && behind);
    add(digest, path, &found.data, &guard);
    found.children
}

fn how(record: &Record, found: &Found, guard: &Acl) -> Option<String> {
    let mut lacks = Vec::new();
    if found.data != record.data {
        lacks.push("other data");
    }
    if !record.acl.is_unknown() && !guard.same_as(&record.acl) {
        lacks.push("another ACL");
    }
    // Clients are not shown whether a znode is a container or has a TTL.
    if found.stat.kind() == Kind::Ephemeral {
        lacks.push("a session that owns it");
    }
    (!lacks.is_empty()).then(|| format!("it has {}", lacks.join(" and ")))
}

fn add(digest: &mut Sha256, path: &ZnodePath, data: &[u8], acl: &Acl) {
    let mut text = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    text(path.as_str().as_bytes());
    text(data);
    let mut entries = acl.entries().to_vec();
    entries.sort();
    for entry in entries {
        text(&entry.perms.to_be_bytes());
        text(entry.scheme.as_bytes());
        text(entry.id.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use zk_snapshot::capture::{CaptureOptions, capture_in_memory};
    use zk_snapshot::tree::MemoryTree;

    use super::*;

    fn tree() -> MemoryTree {
        let tree = MemoryTree::new();
        for (path, data) in [("/a", "1"), ("/a/b", "2"), ("/c", "3")] {
            tree.put(path, data.as_bytes(), Acl::open()).unwrap();
        }
        tree
    }

    #[tokio::test]
    async fn each_difference_is_named_and_what_is_alike_has_one_digest() {
        let backup = capture_in_memory(&tree(), &CaptureOptions::default())
            .await
            .unwrap();
        let records: Arc<dyn RecordSource> = Arc::new(backup.records);
        let alike = compare(&records, &tree(), true).await.unwrap();
        assert_eq!((alike.difference(), alike.znodes), (None, 4));
        let again = compare(&records, &tree(), true).await.unwrap();
        assert_eq!((alike.sha256.len(), &alike.sha256), (64, &again.sha256));

        let other = tree();
        other.put("/a", b"other", Acl::default()).unwrap();
        other.put("/a/b/more", b"", Acl::open()).unwrap();
        other.own("/c", 7);
        let found = compare(&records, &other, true).await.unwrap();
        assert_eq!(
            found.difference().unwrap(),
            "3 znodes are not as in the backup: /a: it has other data and another ACL, /c: it has a session that owns it, \
             /a/b/more: it is not in the backup"
        );
        assert_ne!(found.sha256, alike.sha256);

        let nothing = compare(&records, &MemoryTree::new(), true).await.unwrap();
        assert_eq!((nothing.differing, nothing.counters_behind), (3, 1));
    }
}
