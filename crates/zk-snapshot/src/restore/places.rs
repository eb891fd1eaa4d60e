//! What is known of every place that a restore is about.

use crate::tree::ZnodePath;
use crate::tree::keys::Keys;
use crate::tree::table::KeyTable;

/// The backup has it.
const WANTED: u32 = 1;
/// It did not exist, and was or will be created.
const CREATED: u32 = 1 << 1;
/// Something that is wanted lies below it.
const ABOVE: u32 = 1 << 2;
/// It is to be planned again, from what is live by then.
const PENDING: u32 = 1 << 3;
/// Nothing can be below it until it was planned again.
const SHUT: u32 = 1 << 4;
/// It could not be created.
const FAILED: u32 = 1 << 5;
/// Why it will not be as in the backup was told.
const TOLD: u32 = 1 << 6;
/// It was as in the backup when it was looked at.
const SAME: u32 = 1 << 7;
/// From here on: the number of children that it will have.
const CHILD: u32 = 1 << 8;

/// Room that is made at once; more is made when it is used up.
const AT_ONCE: usize = 1 << 18;

/// What is known of every place that a restore is about, in one table for all of it.
pub(super) struct Places {
    keys: Keys,
    table: KeyTable,
    pending: usize,
}

/// What is known of one place.
#[derive(Clone, Copy)]
pub(super) struct Place(u32);

impl Place {
    pub(super) fn is_wanted(self) -> bool {
        self.0 & WANTED != 0
    }

    /// Whether something that is wanted lies below it.
    pub(super) fn is_above(self) -> bool {
        self.0 & ABOVE != 0
    }

    /// Whether it did not exist, so that nothing was below it.
    pub(super) fn is_created(self) -> bool {
        self.0 & CREATED != 0
    }

    /// Whether nothing can be below it until it was planned again.
    pub(super) fn is_shut(self) -> bool {
        self.0 & SHUT != 0
    }

    /// Whether it is to be planned again.
    pub(super) fn is_pending(self) -> bool {
        self.0 & PENDING != 0
    }

    pub(super) fn is_failed(self) -> bool {
        self.0 & FAILED != 0
    }

    /// How many children it will have, those not counted that the backup lacks.
    pub(super) fn children(self) -> u32 {
        self.0 / CHILD
    }
}

impl Places {
    /// With room for `entries`, as far as that is reasonable.
    pub(super) fn with_room(entries: usize) -> Self {
        Self {
            keys: Keys::random(),
            table: KeyTable::with_room(entries.min(AT_ONCE)),
            pending: 0,
        }
    }

    pub(super) fn at(&self, path: &ZnodePath) -> Place {
        Place(self.table.get(&self.keys.path(path)))
    }

    fn change(&mut self, path: &ZnodePath, change: impl Fn(u32) -> u32) -> u32 {
        let key = self.keys.path(path);
        let before = self.table.get(&key);
        let after = change(before);
        if after != before {
            self.table.set(key, after);
        }
        before
    }

    /// Notes that the backup has it; `false` if that was known.
    pub(super) fn want(&mut self, path: &ZnodePath) -> bool {
        self.change(path, |bits| bits | WANTED) & WANTED == 0
    }

    /// Notes that something wanted lies below each ancestor of `path`.
    pub(super) fn add_above(&mut self, path: &ZnodePath) {
        let mut next = path.parent();
        while let Some(parent) = next.filter(|parent| !parent.is_root()) {
            if self.change(&parent, |bits| bits | ABOVE) & ABOVE != 0 {
                return;
            }
            next = parent.parent();
        }
    }

    pub(super) fn add_child(&mut self, path: &ZnodePath) {
        self.change(path, |bits| {
            if bits > u32::MAX - CHILD {
                bits
            } else {
                bits + CHILD
            }
        });
    }

    pub(super) fn create(&mut self, path: &ZnodePath) {
        self.change(path, |bits| bits | CREATED);
    }

    /// Notes that it is to be planned again; what is to be below it, too, where that is `shut` out until then.
    pub(super) fn pend(&mut self, path: &ZnodePath, shut: bool) {
        let before = self.change(path, |bits| {
            if shut {
                (bits | PENDING | SHUT) & !CREATED
            } else {
                bits | PENDING
            }
        });
        self.pending += usize::from(before & PENDING == 0);
    }

    /// Whether it was to be planned again, which is done now.
    pub(super) fn take(&mut self, path: &ZnodePath) -> bool {
        let before = self.at(path).0;
        if before & PENDING != 0 {
            self.change(path, |bits| bits & !(PENDING | SHUT));
            self.pending -= 1;
        }
        before & PENDING != 0
    }

    /// How many are to be planned again.
    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// Notes that its failure is told; `false` if it was before.
    pub(super) fn report(&mut self, path: &ZnodePath) -> bool {
        self.change(path, |bits| bits | TOLD) & TOLD == 0
    }

    /// Notes whether it is as in the backup; answers whether it was before.
    pub(super) fn same(&mut self, path: &ZnodePath, same: bool) -> bool {
        self.change(path, |bits| if same { bits | SAME } else { bits & !SAME }) & SAME != 0
    }

    pub(super) fn fail(&mut self, path: &ZnodePath) {
        self.change(path, |bits| (bits | FAILED) & !CREATED);
    }
}
