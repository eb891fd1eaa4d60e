//! The counters from which sequential children are numbered.
//!
//! A server numbers them by how many children it has ever created below the parent, so a parent that comes back
//! with fewer creations behind it would give numbers out a second time. Creating and deleting a child raises the
//! counter by one.

use std::collections::HashMap;

use crate::tree::ZnodePath;
use crate::tree::keys::Keys;

/// What the names of children begin with that are created and deleted again. What follows is each restore's own, and not to
/// be guessed, so that no znode of somebody else has such a name. Earlier versions called them just this.
pub(super) const HELPER: &str = "zk-backup-sequence-counter";

/// Parents that will need a higher counter.
#[derive(Default)]
pub(super) struct Counters {
    low: HashMap<ZnodePath, Counter>,
    /// Those that are not ours to change.
    left: HashMap<ZnodePath, Counter>,
}

pub(super) struct Counter {
    pub(super) wanted: i64,
    /// Before the children that are being created.
    pub(super) there: i64,
    pub(super) created: i64,
}

impl Counter {
    /// How much it lacks when nobody but us creates children, as in a dry run.
    pub(super) fn lacks(&self) -> i64 {
        (self.wanted - self.there - self.created).max(0)
    }
}

/// A name for the children that one restore creates and deletes again.
pub(super) fn helper_name() -> String {
    let Keys(one, other) = Keys::random();
    format!("{HELPER}-{one:016x}{other:016x}")
}

/// Whether restores call such a child so.
pub(super) fn is_helper(name: &str) -> bool {
    let is_own = |rest: &str| rest.len() == 33 && rest.starts_with('-');
    name.strip_prefix(HELPER)
        .is_some_and(|rest| rest.is_empty() || is_own(rest))
}

impl Counters {
    /// Notes that the counter at `path` should be at least `wanted`. It is `there` now and will be at least
    /// `at_least` without our doing.
    pub(super) fn want(&mut self, path: &ZnodePath, wanted: i64, at_least: i64, there: i64) {
        if wanted > at_least {
            let counter = Counter {
                wanted,
                there,
                created: 0,
            };
            self.low.insert(path.clone(), counter);
        }
    }

    /// Notes that the counter at `path` is `there`, lower than what is `wanted`, and not ours to raise.
    pub(super) fn leave(&mut self, path: &ZnodePath, wanted: i64, there: i64) {
        let counter = Counter {
            wanted,
            there,
            created: 0,
        };
        self.left.insert(path.clone(), counter);
    }

    /// Forgets what was planned for the znode at `path`.
    pub(super) fn forget(&mut self, path: &ZnodePath) {
        self.low.remove(path);
        self.left.remove(path);
    }

    /// Notes that the znode at `path` is to be created.
    pub(super) fn child_created(&mut self, path: &ZnodePath) {
        if self.low.is_empty() && self.left.is_empty() {
            return;
        }
        let Some(parent) = path.parent() else { return };
        if let Some(counter) = self.low.get_mut(&parent).or(self.left.get_mut(&parent)) {
            counter.created += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.low.is_empty()
    }

    /// Those that are not ours to change.
    pub(super) fn take_left(&mut self) -> Vec<(ZnodePath, Counter)> {
        in_order(std::mem::take(&mut self.left))
    }

    pub(super) fn take(&mut self) -> Vec<(ZnodePath, Counter)> {
        in_order(std::mem::take(&mut self.low))
    }
}

fn in_order(counters: HashMap<ZnodePath, Counter>) -> Vec<(ZnodePath, Counter)> {
    let mut counters: Vec<_> = counters.into_iter().collect();
    counters.sort_by(|a, b| a.0.cmp(&b.0));
    counters
}
