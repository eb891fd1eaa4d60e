//! Whether the records of a backup make a tree.

use std::collections::BTreeSet;

use super::{Record, Role};
use crate::tree::ZnodePath;
use crate::tree::keys::Keys;
use crate::tree::table::KeyTable;

/// Room that is made at once, and how many znodes are waited for whose children have come.
const ROOM: usize = 1 << 18;
const AWAITED: usize = 1_000;
/// What each znode in the table is.
const THERE: u32 = 1;

/// What does not hold of a record's place among the others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misplaced {
    /// It was there before.
    #[error("{0} is there twice")]
    Twice(ZnodePath),
    /// It comes after one that is below it.
    #[error("{path} comes after {child}, which is below it")]
    AfterChild {
        /// The record's.
        path: ZnodePath,
        /// The first one that has come before it.
        child: ZnodePath,
    },
}

/// Looks at all records of a backup, in their order: each znode comes once, and after its parent. Holds sixteen bytes for each znode.
pub struct TreeOrder {
    keys: Keys,
    seen: KeyTable,
    /// Parents that have not come, and a child of each that has.
    awaited: BTreeSet<(ZnodePath, ZnodePath)>,
    znodes: u64,
    bytes: u64,
}

impl std::fmt::Debug for TreeOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TreeOrder")
            .field("znodes", &self.znodes)
            .finish_non_exhaustive()
    }
}

impl TreeOrder {
    /// With room for `records`, as far as that is reasonable.
    #[must_use]
    pub fn with_room(records: usize) -> Self {
        Self {
            keys: Keys::random(),
            seen: KeyTable::with_room(records.min(ROOM)),
            awaited: BTreeSet::new(),
            znodes: 0,
            bytes: 0,
        }
    }

    /// Looks at the next record.
    ///
    /// # Errors
    /// [`Misplaced`]: what does not hold of it. The next ones can be looked at all the same.
    pub fn see(&mut self, record: &Record) -> Result<(), Misplaced> {
        let path = &record.path;
        let key = self.keys.path(path);
        if self.seen.get(&key) == THERE {
            return Err(Misplaced::Twice(path.clone()));
        }
        self.seen.set(key, THERE);
        if record.role == Role::Captured {
            self.znodes += 1;
            self.bytes += record.data.len() as u64;
        }
        if let Some(parent) = path.parent()
            && self.seen.get(&self.keys.path(&parent)) != THERE
            && self.awaited.len() < AWAITED
            && !(parent.is_root() && self.awaits_root())
        {
            self.awaited.insert((parent, path.clone()));
        }
        let first = self.awaited.iter().find(|(parent, _)| parent == path);
        match first.cloned() {
            None => Ok(()),
            Some((_, child)) => {
                self.awaited.retain(|(parent, _)| parent != path);
                Err(Misplaced::AfterChild {
                    path: path.clone(),
                    child,
                })
            }
        }
    }

    fn awaits_root(&self) -> bool {
        self.awaited.iter().any(|(parent, _)| parent.is_root())
    }

    /// A znode whose parent did not come at all. The root is everywhere, and need not come: a backup of parts has all ancestors but that.
    #[must_use]
    pub fn orphan(&self) -> Option<&ZnodePath> {
        let mut awaited = self.awaited.iter().filter(|(parent, _)| !parent.is_root());
        awaited.next().map(|(_, child)| child)
    }

    /// Whether `/` has come.
    #[must_use]
    pub fn has_root(&self) -> bool {
        self.seen.get(&self.keys.path(&ZnodePath::root())) == THERE
    }

    /// How many znodes were captured, ancestors and unreadable ones not counted.
    #[must_use]
    pub fn znodes(&self) -> u64 {
        self.znodes
    }

    /// Bytes of data in them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Acl, Stat};

    fn seen(paths: &[&str]) -> (TreeOrder, Vec<String>) {
        let mut order = TreeOrder::with_room(0);
        let record = |path: &&str| Record {
            path: ZnodePath::parse(path).unwrap(),
            role: Role::Captured,
            data: vec![1, 2],
            acl: Acl::open(),
            stat: Stat::default(),
        };
        let wrong = paths
            .iter()
            .filter_map(|path| order.see(&record(path)).err())
            .map(|wrong| wrong.to_string())
            .collect();
        (order, wrong)
    }

    #[test]
    fn parents_come_first_and_nothing_comes_twice() {
        let (order, wrong) = seen(&["/", "/a", "/a/b", "/c"]);
        assert_eq!((wrong, order.orphan()), (vec![], None));
        assert_eq!((order.znodes(), order.bytes()), (4, 8));
        let (order, wrong) = seen(&["/", "/a/b", "/a/c", "/a", "/a"]);
        assert_eq!(
            wrong,
            ["/a comes after /a/b, which is below it", "/a is there twice"]
        );
        assert_eq!(order.orphan(), None);
        let (order, wrong) = seen(&["/a", "/a/b", "/c"]);
        assert_eq!((wrong, order.orphan()), (vec![], None), "parts of a tree");
        assert_eq!(seen(&["/a", "/"]).1, ["/ comes after /a, which is below it"]);
        let (order, wrong) = seen(&["/", "/a/b"]);
        assert!(wrong.is_empty() && order.orphan().is_some_and(|path| path.as_str() == "/a/b"));
    }
}
