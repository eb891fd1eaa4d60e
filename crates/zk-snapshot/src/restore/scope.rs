//! Which records of a backup are wanted, and where they go.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use super::{RestoreError, RestoreOptions};
use crate::{Record, RecordSource, Role, ZnodePath};

/// A set of paths, 16 bytes each: the first half of their SHA-256.
#[derive(Default)]
pub(super) struct PathSet(HashSet<u128>);

impl PathSet {
    pub(super) fn insert(&mut self, path: &ZnodePath) -> bool {
        self.0.insert(key(path))
    }

    pub(super) fn contains(&self, path: &ZnodePath) -> bool {
        self.0.contains(&key(path))
    }
}

fn key(path: &ZnodePath) -> u128 {
    let hash = Sha256::digest(path.as_str().as_bytes());
    hash.iter()
        .take(16)
        .fold(0, |key, byte| key << 8 | u128::from(*byte))
}

/// The part of a backup that a restore is about, known before its first write.
pub(super) struct Scope<'a> {
    options: &'a RestoreOptions,
    /// Every path that will be there.
    pub(super) wanted: PathSet,
    /// Those of them that have children there.
    pub(super) parents: PathSet,
}

impl<'a> Scope<'a> {
    /// Reads, and so checks, the whole backup once.
    pub(super) fn new(source: &dyn RecordSource, options: &'a RestoreOptions) -> Result<Self, RestoreError> {
        let mut scope = Self {
            options,
            wanted: PathSet::default(),
            parents: PathSet::default(),
        };
        let mut missing: HashSet<_> = options.roots.iter().cloned().collect();
        for index in 0..source.frames() {
            for record in source.frame(index)? {
                if record.role != Role::Ancestor {
                    missing.remove(&record.path);
                }
                if let Some(record) = scope.place(record) {
                    if !scope.wanted.insert(&record.path) && record.role == Role::Captured {
                        return Err(RestoreError::Collision(record.path));
                    }
                    if let Some(parent) = record.path.parent() {
                        scope.parents.insert(&parent);
                    }
                }
            }
        }
        if missing.is_empty() {
            return Ok(scope);
        }
        let mut missing: Vec<_> = missing.into_iter().collect();
        missing.sort();
        Err(RestoreError::NotInBackup(missing))
    }

    /// The record as it is to be restored, or `None` if it is not wanted.
    pub(super) fn place(&self, mut record: Record) -> Option<Record> {
        let path = &record.path;
        let roots = &self.options.roots;
        if is_server_owned(path) {
            return None;
        }
        if roots.is_empty() {
            if path.is_within(&zookeeper()) {
                return None;
            }
        } else if !roots.iter().any(|root| path.is_within(root)) {
            if !roots.iter().any(|root| root.is_within(path)) || path.is_root() {
                return None;
            }
            record.role = Role::Ancestor;
        }
        if record.role != Role::Ancestor {
            let longest = self
                .options
                .renames
                .iter()
                .filter(|(from, _)| record.path.is_within(from));
            if let Some((from, to)) = longest.max_by_key(|(from, _)| from.depth()) {
                record.path = record.path.rebased(from, to);
            }
        }
        Some(record)
    }

    /// Whether a live child that the backup lacks may be deleted.
    pub(super) fn may_delete(&self, path: &ZnodePath) -> bool {
        let within_zookeeper = path.is_within(&zookeeper());
        let renamed_away = self.options.renames.keys().any(|from| path.is_within(from));
        !self.wanted.contains(path)
            && !renamed_away
            && !is_server_owned(path)
            && (!within_zookeeper || self.options.roots.iter().any(|root| root.is_within(&zookeeper())))
    }
}

fn zookeeper() -> ZnodePath {
    ZnodePath::parse("/zookeeper").unwrap_or_else(|_| ZnodePath::root())
}

/// What the server keeps itself and no restore writes: its own fixed znodes and the quota statistics.
fn is_server_owned(path: &ZnodePath) -> bool {
    let text = path.as_str();
    matches!(text, "/zookeeper" | "/zookeeper/config" | "/zookeeper/quota")
        || text.starts_with("/zookeeper/config/")
        || (text.starts_with("/zookeeper/quota/") && path.name() == "zookeeper_stats")
}
