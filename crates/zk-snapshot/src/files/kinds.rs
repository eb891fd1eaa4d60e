//! How many znodes of each kind a tree has.

use crate::tree::Kind;

/// How many znodes of each kind there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Those that stay until they are deleted.
    pub persistent: u64,
    /// Those that go with their last child.
    pub container: u64,
    /// Those that go when nothing happens to them.
    pub ttl: u64,
    /// Bytes of data in all of them.
    pub bytes: u64,
}

impl Kinds {
    /// Of every kind.
    pub(super) fn znodes(&self) -> u64 {
        self.persistent + self.container + self.ttl
    }

    pub(super) fn count(&mut self, kind: Kind, data: Option<&[u8]>) {
        match kind {
            Kind::Persistent => self.persistent += 1,
            Kind::Container => self.container += 1,
            Kind::Ttl(_) => self.ttl += 1,
            Kind::Ephemeral => return,
        }
        self.bytes += data.map_or(0, <[u8]>::len) as u64;
    }
}
