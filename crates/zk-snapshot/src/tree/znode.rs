//! A znode's access control list and its `Stat`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Permission to read, as ZooKeeper numbers it.
const READ: u32 = 1;
/// Permission to create children, as ZooKeeper numbers it.
const CREATE: u32 = 4;
/// Permission to set the list itself, as ZooKeeper numbers it.
const ADMIN: u32 = 16;
/// Every permission: read 1, write 2, create 4, delete 8, admin 16.
const ALL: u32 = 31;

/// One entry of an access control list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AclEntry {
    /// Bits: read 1, write 2, create 4, delete 8, admin 16.
    pub perms: u32,
    /// `world`, `digest`, `ip`, `sasl`, `x509`, …
    pub scheme: String,
    /// Whom the scheme names, such as `anyone` or `user:<digest>`.
    pub id: String,
}

/// A znode's access control list, in the server's order. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Acl(Arc<[AclEntry]>);

impl Default for Acl {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Acl {
    /// A list of these entries. No server accepts an empty one.
    #[must_use]
    pub fn new(entries: Vec<AclEntry>) -> Self {
        Self(entries.into())
    }

    /// Its entries.
    #[must_use]
    pub fn entries(&self) -> &[AclEntry] {
        &self.0
    }

    /// Of a znode of a backup that holds no ACLs: the empty list, which no znode of a server has. A restore leaves the ACL of such a znode as
    /// it is where the znode is there, and creates it [`open`](Self::open) where it is not.
    #[must_use]
    pub fn unknown() -> Self {
        Self::default()
    }

    /// Whether it is [`unknown`](Self::unknown).
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.0.is_empty()
    }

    /// `world:anyone` may do everything.
    #[must_use]
    pub fn open() -> Self {
        Self::new(vec![AclEntry {
            perms: ALL,
            scheme: "world".to_owned(),
            id: "anyone".to_owned(),
        }])
    }

    /// Every identity that the writing connection has authenticated may do everything. The server replaces
    /// this entry by those identities, and refuses it where there are none.
    #[must_use]
    pub fn creator() -> Self {
        Self::new(vec![AclEntry {
            perms: ALL,
            scheme: "auth".to_owned(),
            id: String::new(),
        }])
    }

    /// Whether anybody may create children under a znode with this list.
    #[must_use]
    pub fn lets_anyone_create(&self) -> bool {
        self.lets_anyone(CREATE)
    }

    /// Whether anybody may read a znode with this list.
    #[must_use]
    pub fn lets_anyone_read(&self) -> bool {
        self.lets_anyone(READ)
    }

    fn lets_anyone(&self, permission: u32) -> bool {
        let anyone = |e: &AclEntry| e.scheme == "world" && e.id == "anyone" && e.perms & permission != 0;
        self.0.iter().any(anyone)
    }

    /// Whether the server may have hidden digests from us, as `getACL` does for a client without ADMIN permission: it shows
    /// each as `:x` then. Where another digest is shown, or everybody has ADMIN, `:x` is what the list says.
    #[must_use]
    pub fn is_masked(&self) -> bool {
        let mut digests = self.0.iter().filter(|e| e.scheme == "digest").peekable();
        digests.peek().is_some() && digests.all(|e| e.id.ends_with(":x")) && !self.lets_anyone(ADMIN)
    }

    /// Whether both lists grant the same, whatever the order of their entries.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let sorted = |acl: &Self| {
            let mut entries = acl.0.to_vec();
            entries.sort();
            entries
        };
        self == other || sorted(self) == sorted(other)
    }
}

/// A znode's `Stat`, field by field as ZooKeeper names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stat {
    /// zxid of the creation.
    pub czxid: i64,
    /// zxid of the last change of the data.
    pub mzxid: i64,
    /// zxid of the last creation or deletion of a child.
    pub pzxid: i64,
    /// Creation time, ms since the Unix epoch.
    pub ctime: i64,
    /// Time of the last change of the data, ms since the Unix epoch.
    pub mtime: i64,
    /// Number of changes of the data.
    pub version: i32,
    /// Number of changes of the children.
    pub cversion: i32,
    /// Number of changes of the ACL.
    pub aversion: i32,
    /// Session that owns an ephemeral znode; 0 for every other one.
    pub ephemeral_owner: i64,
    /// Number of children, ephemeral ones included.
    pub num_children: i32,
}

impl Stat {
    /// Whether a session owns this znode.
    #[must_use]
    pub fn is_ephemeral(&self) -> bool {
        self.ephemeral_owner != 0
    }

    /// The number that the next sequential child gets. The server counts creations of children, and shows
    /// twice that count less the number of children as `cversion`, in 32 bits (`DataNode.copyStat`).
    #[must_use]
    pub fn next_sequence(&self) -> i64 {
        i64::from(self.cversion.wrapping_add(self.num_children).cast_unsigned() >> 1)
    }

    /// Whether both are of one znode with one access control list.
    pub(crate) fn same_acl(&self, other: &Self) -> bool {
        (self.czxid, self.aversion) == (other.czxid, other.aversion)
    }

    /// Whether the znode has the list that it was created with, told apart by the zxid and time of its creation: whichever
    /// history of an ensemble has this znode, it has this list. A list that was set later is another in another history, such as the one after a
    /// rollback, under the same numbers. What every server begins with has no time of creation, and tells nothing.
    pub(crate) fn acl_is_of_creation(&self) -> bool {
        self.ctime != 0 && self.aversion == 0
    }

    /// The newest zxid that this `Stat` speaks of.
    #[must_use]
    pub fn newest_zxid(&self) -> i64 {
        self.czxid.max(self.mzxid).max(self.pzxid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_may_be_hidden_where_all_look_so_and_not_everybody_may_see_them() {
        let list = |entries: &[(u32, &str, &str)]| {
            let entry = |(perms, scheme, id): &(u32, &str, &str)| AclEntry {
                perms: *perms,
                scheme: (*scheme).to_owned(),
                id: (*id).to_owned(),
            };
            Acl::new(entries.iter().map(entry).collect())
        };
        for (entries, masked) in [
            (&[(31, "digest", "bob:x")][..], true),
            (&[(31, "digest", "bob:x"), (1, "digest", "eve:x")], true),
            (&[(31, "digest", "bob:x"), (1, "world", "anyone")], true),
            (&[(31, "digest", "bob:x"), (31, "ip", "10.0.0.1")], true),
            (&[(31, "digest", "bob:x"), (1, "digest", "eve:aGFzaA==")], false),
            (&[(31, "digest", "bob:x"), (16, "world", "anyone")], false),
            (&[(31, "digest", "bob:aGFzaA==")], false),
            (&[(31, "sasl", "bob:x")], false),
            (&[], false),
        ] {
            assert_eq!(list(entries).is_masked(), masked, "{entries:?}");
        }
    }
}
