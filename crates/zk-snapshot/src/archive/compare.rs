//! How the znodes of two backups differ.

use std::collections::HashSet;

use super::{AT_ONCE, ArchiveError, Record, RecordSource};
use crate::archive::Role;
use crate::tree::ZnodePath;
use crate::tree::keys::{KeyMap, Keys};
use crate::tree::reserved::is_reserved;

/// How many znodes are named of which nothing is known.
const NAMED: usize = 100;
/// How many bytes the paths of the differences on one page have, and what is written beside each.
const ROOM: usize = 8 << 20;
const BESIDE: usize = 64;

/// Stands for the fingerprint of an ACL that a backup does not hold.
const UNKNOWN_ACL: [u32; 3] = [0; 3];

/// What lies between two states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZnodeChange {
    /// Only the later one has the znode.
    Added,
    /// Only the earlier one has it.
    Removed,
    /// Its data differ.
    DataChanged,
    /// Its access control lists differ.
    AclChanged,
    /// Both do.
    BothChanged,
}

/// One znode that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedZnode {
    /// Which.
    pub path: ZnodePath,
    /// How.
    pub change: ZnodeChange,
}

/// How two states differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Znodes that only the later one has.
    pub added: u64,
    /// Znodes that only the earlier one has.
    pub removed: u64,
    /// Znodes whose data differ.
    pub data_changed: u64,
    /// Znodes whose access control lists differ.
    pub acl_changed: u64,
    /// Znodes that may differ: one of the two states does not say how they were, since they could not be read.
    pub unknown: u64,
    /// The first of these.
    pub unknown_paths: Vec<ZnodePath>,
    /// Some of those that differ, in the order in which they are found.
    pub differences: Vec<ChangedZnode>,
    /// The subtrees that were compared; `None` for everything.
    pub within: Option<Vec<ZnodePath>>,
    passed: usize,
    taken: usize,
}

impl Comparison {
    /// Counts a znode of which it is not known whether it differs.
    pub fn note_unknown(&mut self, path: &ZnodePath) {
        self.unknown += 1;
        if self.unknown_paths.len() < NAMED {
            self.unknown_paths.push(path.clone());
        }
    }

    /// Counts a difference, and keeps it if it is one of the `limit` after the first `offset`: fewer, where they take more
    /// than 8 MiB.
    pub fn note(&mut self, path: &ZnodePath, change: ZnodeChange, (offset, limit): (usize, usize)) {
        match change {
            ZnodeChange::Added => self.added += 1,
            ZnodeChange::Removed => self.removed += 1,
            ZnodeChange::DataChanged => self.data_changed += 1,
            ZnodeChange::AclChanged => self.acl_changed += 1,
            ZnodeChange::BothChanged => {
                self.data_changed += 1;
                self.acl_changed += 1;
            }
        }
        if self.passed >= offset && self.differences.len() < limit && self.taken < ROOM {
            self.taken += path.as_str().len() + BESIDE;
            self.differences.push(ChangedZnode {
                path: path.clone(),
                change,
            });
        }
        self.passed += 1;
    }
}

/// Compares the znodes that were captured in two backups, but for those below `/zookeeper`, by data and access
/// control list, those at and below `within`, if there is any; a list that one of them does not hold differs from none. Blocks; holds forty bytes for
/// each znode of `from`.
///
/// # Errors
/// [`ArchiveError`] of either.
pub fn compare(
    from: &dyn RecordSource,
    to: &dyn RecordSource,
    within: Option<Vec<ZnodePath>>,
    page: (usize, usize),
) -> Result<Comparison, ArchiveError> {
    let keys = Keys::random();
    let mut known = Known {
        keys,
        znodes: KeyMap::default(),
        unread: HashSet::new(),
    };
    let roots: Option<HashSet<_>> = within.as_ref().map(|roots| roots.iter().cloned().collect());
    let is_wanted = |path: &ZnodePath| roots.as_ref().is_none_or(|roots| is_at_or_below(roots, path));
    let left_out = |path: &ZnodePath| is_reserved(path) || !is_wanted(path);
    known.read(from, &left_out)?;
    let mut found = Comparison {
        within,
        ..Comparison::default()
    };
    known.unread.iter().for_each(|path| found.note_unknown(path));
    // Nothing is known of these in `to`, nor of what is below them.
    let mut unread = HashSet::new();
    for index in 0..to.frames() {
        for record in to.frame(index)? {
            match record.role {
                _ if left_out(&record.path) => {}
                Role::Ancestor => {}
                Role::Unreadable => {
                    if unread.insert(record.path.clone()) && !known.unread.contains(&record.path) {
                        found.note_unknown(&record.path);
                    }
                }
                Role::Captured if is_at_or_below(&known.unread, &record.path) => {}
                Role::Captured => {
                    if let Some(change) = known.take(&record) {
                        found.note(&record.path, change, page);
                    }
                }
            }
        }
    }
    if !known.znodes.is_empty() {
        for index in 0..from.frames() {
            for outline in from.outline(index)? {
                if known.znodes.contains_key(&keys.path(&outline.path))
                    && !is_at_or_below(&unread, &outline.path)
                {
                    found.note(&outline.path, ZnodeChange::Removed, page);
                }
            }
        }
    }
    Ok(found)
}

/// What the earlier state has, and the later one has not shown yet.
struct Known {
    keys: Keys,
    /// Fingerprints of their data and of their access control lists.
    znodes: KeyMap<3, ([u32; 3], [u32; 3])>,
    /// Nothing is known of these, nor of what is below them.
    unread: HashSet<ZnodePath>,
}

impl Known {
    fn read(
        &mut self,
        from: &dyn RecordSource,
        left_out: &impl Fn(&ZnodePath) -> bool,
    ) -> Result<(), ArchiveError> {
        self.znodes.reserve(from.records().min(AT_ONCE));
        for index in 0..from.frames() {
            for record in from.frame(index)? {
                match record.role {
                    _ if left_out(&record.path) => {}
                    Role::Captured => {
                        let fingerprints = self.fingerprints(&record);
                        self.znodes.insert(self.keys.path(&record.path), fingerprints);
                    }
                    Role::Unreadable => drop(self.unread.insert(record.path)),
                    Role::Ancestor => {}
                }
            }
        }
        Ok(())
    }

    fn fingerprints(&self, record: &Record) -> ([u32; 3], [u32; 3]) {
        let key = |bytes: &[u8]| self.keys.key::<3>(&[bytes]).0;
        if record.acl.is_unknown() {
            return (key(&record.data), UNKNOWN_ACL);
        }
        let mut entries = record.acl.entries().to_vec();
        entries.sort();
        let mut list = Vec::new();
        for entry in entries {
            list.extend_from_slice(&entry.perms.to_be_bytes());
            for text in [entry.scheme, entry.id] {
                list.extend_from_slice(&(text.len() as u64).to_be_bytes());
                list.extend_from_slice(text.as_bytes());
            }
        }
        (key(&record.data), key(&list))
    }

    /// How a znode of the later state differs, which has been shown then.
    fn take(&mut self, record: &Record) -> Option<ZnodeChange> {
        let after = self.fingerprints(record);
        let Some(before) = self.znodes.remove(&self.keys.path(&record.path)) else {
            return Some(ZnodeChange::Added);
        };
        let same_acl = before.1 == after.1 || [before.1, after.1].contains(&UNKNOWN_ACL);
        match (before.0 == after.0, same_acl) {
            (true, true) => None,
            (false, true) => Some(ZnodeChange::DataChanged),
            (true, false) => Some(ZnodeChange::AclChanged),
            (false, false) => Some(ZnodeChange::BothChanged),
        }
    }
}

fn is_at_or_below(some: &HashSet<ZnodePath>, path: &ZnodePath) -> bool {
    let holds = |path: &ZnodePath| some.contains(path);
    !some.is_empty() && (holds(path) || holds(&ZnodePath::root()) || path.ancestors().iter().any(holds))
}
