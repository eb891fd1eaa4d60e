use crate::ZnodePath;
use crate::tree::keys::Keys;
use crate::tree::table::KeyTable;

/// The backup has it. Above these bits is the number of children that it will have.
const WANTED: u32 = 1;
/// It did not exist, and was or will be created.
const CREATED: u32 = 2;
const CHILD: u32 = 4;

/// What is known of every place that a restore is about, in one table for all of it.
pub(super) struct Places {
    keys: Keys,
    table: KeyTable,
}

impl Places {
    /// With room for `entries`, or what is reasonable.
    pub(super) fn with_room(entries: usize) -> Self {
        let entries = entries.min(1 << 24);
        Self {
            keys: Keys::random(),
            table: KeyTable::with_room(entries),
        }
    }

    fn get(&self, path: &ZnodePath) -> u32 {
        self.table.get(&self.keys.path(path))
    }

    fn change(&mut self, path: &ZnodePath, change: impl Fn(u32) -> u32) -> u32 {
        let key = self.keys.path(path);
        let before = self.table.get(&key);
        self.table.set(key, change(before));
        before
    }

    /// Notes that the backup has it; `false` if that was known.
    pub(super) fn want(&mut self, path: &ZnodePath) -> bool {
        self.change(path, |bits| bits | WANTED) & WANTED == 0
    }

    pub(super) fn is_wanted(&self, path: &ZnodePath) -> bool {
        self.get(path) & WANTED != 0
    }

    pub(super) fn add_child(&mut self, path: &ZnodePath) {
        self.change(path, |bits| bits.saturating_add(CHILD));
    }

    /// How many children the znode at `path` will have, those not counted that the backup lacks.
    pub(super) fn children(&self, path: &ZnodePath) -> u32 {
        self.get(path) / CHILD
    }

    pub(super) fn create(&mut self, path: &ZnodePath) {
        self.change(path, |bits| bits | CREATED);
    }

    /// Whether it did not exist, so that nothing was below it.
    pub(super) fn is_created(&self, path: &ZnodePath) -> bool {
        self.get(path) & CREATED != 0
    }
}
