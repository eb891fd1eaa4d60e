//! How the znodes of two backups differ.

use std::collections::HashSet;

use serde::Serialize;

use super::{AT_ONCE, ArchiveError, RecordSource};
use crate::archive::Role;
use crate::tree::ZnodePath;
use crate::tree::keys::{KeyMap, Keys};
use crate::tree::reserved::is_reserved;

/// How many znodes are named of which nothing is known.
const NAMED: usize = 100;
/// How many bytes the paths of the differences on one page have, and what is written beside each.
const ROOM: usize = 8 << 20;
const BESIDE: usize = 64;

/// What lies between two states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Turned {
    /// Which.
    pub path: ZnodePath,
    /// How.
    pub change: Turn,
}

/// How two states differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
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
    pub differences: Vec<Turned>,
    #[serde(skip)]
    passed: usize,
    #[serde(skip)]
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
    pub fn note(&mut self, path: &ZnodePath, change: Turn, (offset, limit): (usize, usize)) {
        match change {
            Turn::Added => self.added += 1,
            Turn::Removed => self.removed += 1,
            Turn::DataChanged => self.data_changed += 1,
            Turn::AclChanged => self.acl_changed += 1,
            Turn::BothChanged => {
                self.data_changed += 1;
                self.acl_changed += 1;
            }
        }
        if self.passed >= offset && self.differences.len() < limit && self.taken < ROOM {
            self.taken += path.as_str().len() + BESIDE;
            self.differences.push(Turned {
                path: path.clone(),
                change,
            });
        }
        self.passed += 1;
    }
}

/// Compares the znodes that were captured in two backups, but for those below `/zookeeper`, by data and access
/// control list, as far as `within` says. Blocks; holds forty bytes for each znode of `from`.
///
/// # Errors
/// [`ArchiveError`] of either.
pub fn compare(
    from: &dyn RecordSource,
    to: &dyn RecordSource,
    within: impl Fn(&ZnodePath) -> bool,
    page: (usize, usize),
) -> Result<Comparison, ArchiveError> {
    let keys = Keys::random();
    let own = |path: &ZnodePath| is_reserved(path) || !within(path);
    let prints = |record: &super::Record| {
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
        let (data, acl) = (keys.key::<3>(&[&record.data]), keys.key::<3>(&[&list]));
        (data.0, acl.0)
    };
    let mut known: KeyMap<3, ([u32; 3], [u32; 3])> = KeyMap::default();
    known.reserve(from.records().min(AT_ONCE));
    // Nothing is known of these, nor of what is below them.
    let mut unread: [HashSet<ZnodePath>; 2] = Default::default();
    for index in 0..from.frames() {
        for record in from.frame(index)? {
            match record.role {
                _ if own(&record.path) => {}
                Role::Captured => drop(known.insert(keys.path(&record.path), prints(&record))),
                Role::Unreadable => drop(unread[0].insert(record.path)),
                Role::Ancestor => {}
            }
        }
    }
    let is_below = |unread: &HashSet<ZnodePath>, path: &ZnodePath| {
        let holds = |path: &ZnodePath| unread.contains(path);
        !unread.is_empty() && (holds(path) || holds(&ZnodePath::root()) || path.ancestors().iter().any(holds))
    };
    let mut found = Comparison::default();
    unread[0].iter().for_each(|path| found.note_unknown(path));
    for index in 0..to.frames() {
        for record in to.frame(index)? {
            if own(&record.path) {
                continue;
            }
            match record.role {
                Role::Captured => {}
                Role::Unreadable => {
                    if unread[1].insert(record.path.clone()) && !unread[0].contains(&record.path) {
                        found.note_unknown(&record.path);
                    }
                    continue;
                }
                Role::Ancestor => continue,
            }
            if is_below(&unread[0], &record.path) {
                continue;
            }
            let change = match (known.remove(&keys.path(&record.path)), prints(&record)) {
                (None, _) => Turn::Added,
                (Some(before), after) => match (before.0 == after.0, before.1 == after.1) {
                    (true, true) => continue,
                    (false, true) => Turn::DataChanged,
                    (true, false) => Turn::AclChanged,
                    (false, false) => Turn::BothChanged,
                },
            };
            found.note(&record.path, change, page);
        }
    }
    if !known.is_empty() {
        for index in 0..from.frames() {
            for outline in from.outline(index)? {
                if known.contains_key(&keys.path(&outline.path)) && !is_below(&unread[1], &outline.path) {
                    found.note(&outline.path, Turn::Removed, page);
                }
            }
        }
    }
    Ok(found)
}
