//! What a restore is about, worked out from the backup in another way than the restore does it.

use std::collections::{BTreeMap, BTreeSet};

use zk_snapshot::archive::{Record, Role};
use zk_snapshot::model::{ModelTree, Znode};
use zk_snapshot::restore::Policy;
use zk_snapshot::tree::ZnodePath;

/// What the name of a child that raises a counter begins with.
const HELPER: &str = "zk-backup-sequence-counter";

pub struct Scope {
    pub policy: Policy,
    /// The records, where they go.
    pub wanted: BTreeMap<ZnodePath, Record>,
    /// What is above them, and is created where it is missing.
    pub above: BTreeSet<ZnodePath>,
    /// Of that, what the backup has.
    pub ancestors: BTreeMap<ZnodePath, Record>,
    /// From where what is renamed comes.
    from: Option<ZnodePath>,
    /// Whether the backup has all of every znode, in requests of this size.
    is_whole: Vec<(bool, usize)>,
}

impl Scope {
    pub fn new(
        records: &[Record],
        root: Option<&ZnodePath>,
        rename: Option<&(ZnodePath, ZnodePath)>,
        policy: Policy,
    ) -> Self {
        let mut wanted = BTreeMap::new();
        for record in records {
            if record.role == Role::Ancestor || root.is_some_and(|root| !record.path.is_within(root)) {
                continue;
            }
            let mut record = record.clone();
            if let Some((from, to)) = rename {
                record.path = record.path.rebased(from, to);
            }
            wanted.insert(record.path.clone(), record);
        }
        let tops = wanted.keys().flat_map(ZnodePath::ancestors);
        let above: BTreeSet<_> = tops.filter(|path| !wanted.contains_key(path)).collect();
        // With a renaming the backup has nothing to say of the places where it goes.
        let is_ancestor = |record: &&Record| {
            let is_known = record.role != Role::Unreadable && !record.path.is_root();
            is_known && rename.is_none() && above.contains(&record.path)
        };
        let ancestors = records.iter().filter(is_ancestor);
        let ancestors = ancestors
            .map(|record| (record.path.clone(), record.clone()))
            .collect();
        Self {
            policy,
            wanted,
            above,
            ancestors,
            from: rename.map(|(from, _)| from.clone()),
            is_whole: records
                .iter()
                .map(|record| {
                    let is_known = record.role != Role::Unreadable && !record.acl.is_masked();
                    (is_known, record.data.len() + 40)
                })
                .collect(),
        }
    }

    /// Whether all of the backup can be brought back through requests of this size.
    pub fn is_possible(&self, max_request: usize) -> bool {
        let mut all = self.is_whole.iter();
        all.all(|(is_whole, size)| *is_whole && *size <= max_request)
    }

    /// Whether the backup lacks it where it would be deleted for that.
    pub fn is_stranger(&self, path: &ZnodePath) -> bool {
        if self.policy != Policy::Replace
            || path.is_root()
            || self.wanted.contains_key(path)
            || self.above.contains(path)
        {
            return false;
        }
        let mut next = path.parent();
        while let Some(parent) = next {
            if let Some(record) = self.wanted.get(&parent) {
                let left = self.from.as_ref().is_some_and(|from| path.is_within(from));
                return record.role == Role::Captured && !left;
            }
            if self.above.contains(&parent) {
                return false;
            }
            next = parent.parent();
        }
        false
    }

    /// What must be there so that something can be created below it.
    pub fn needed(&self) -> impl Iterator<Item = &ZnodePath> {
        let is_needed = |path: &&ZnodePath| {
            let mut wanted = self.wanted.values();
            wanted.any(|record| record.role != Role::Unreadable && record.path.is_within(path))
        };
        self.above.iter().filter(is_needed)
    }

    pub fn is_helper(&self, path: &ZnodePath) -> bool {
        path.name().starts_with(HELPER)
            && path
                .parent()
                .is_some_and(|parent| self.wanted.contains_key(&parent) || self.above.contains(&parent))
    }

    /// Whether we created the znode that is there, in this run or an earlier one.
    pub fn is_ours(tree: &ModelTree, path: &ZnodePath, znode: &Znode) -> bool {
        let mut log = tree.log().iter();
        log.any(|entry| {
            entry.zxid == znode.stat.czxid
                && entry.op.path() == path
                && entry.before.is_none()
                && entry.by != 0
        })
    }

    /// Whether the policy lets the record have its way with the znode that is there.
    pub fn is_restored(&self, tree: &ModelTree, path: &ZnodePath, znode: &Znode) -> bool {
        let by_policy = self.policy != Policy::Missing
            && self
                .wanted
                .get(path)
                .is_some_and(|record| record.role == Role::Captured);
        by_policy || Self::is_ours(tree, path, znode)
    }
}

/// The newest state of the znode at `path` that we knew of before the log's entry `index`: what we were told, and what we
/// did ourselves.
pub fn known(tree: &ModelTree, path: &ZnodePath, what: &[&str], index: usize) -> i64 {
    let looks = tree.looks().iter();
    looks
        .filter(|look| look.after <= index && look.path == *path && what.contains(&look.what))
        .map(|look| look.zxid)
        .max()
        .unwrap_or(0)
}
