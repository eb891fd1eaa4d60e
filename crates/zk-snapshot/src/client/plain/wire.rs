//! From the library's words to ours, and back.

use zookeeper_async::{Permission, ZkError};

use crate::{Acl, AclEntry, Stat, WriteError};

pub(super) fn refused(error: ZkError) -> WriteError {
    match error {
        ZkError::NoNode => WriteError::NoNode,
        ZkError::NodeExists => WriteError::NodeExists,
        ZkError::NoAuth => WriteError::NoAuth,
        ZkError::NotEmpty => WriteError::NotEmpty,
        ZkError::BadVersion => WriteError::Changed,
        ZkError::NoChildrenForEphemerals => WriteError::EphemeralParent,
        ZkError::InvalidACL => WriteError::InvalidAcl,
        other => WriteError::Refused(other.to_string()),
    }
}

const PERMISSIONS: [(u32, Permission); 5] = [
    (1, Permission::READ),
    (2, Permission::WRITE),
    (4, Permission::CREATE),
    (8, Permission::DELETE),
    (16, Permission::ADMIN),
];

/// `None` where an entry has bits that no one has defined: they are not to be lost in silence.
pub(super) fn from_wire(acl: &[zookeeper_async::Acl]) -> Option<Acl> {
    let known = |entry: &zookeeper_async::Acl| {
        let granted = PERMISSIONS.iter().filter(|(_, p)| entry.perms.can(*p));
        entry.perms == granted.fold(Permission::NONE, |all, (_, p)| all | *p)
    };
    let entry = |entry: &zookeeper_async::Acl| AclEntry {
        perms: PERMISSIONS
            .iter()
            .filter(|(_, p)| entry.perms.can(*p))
            .map(|(bit, _)| bit)
            .sum(),
        scheme: entry.scheme.clone(),
        id: entry.id.clone(),
    };
    acl.iter()
        .all(known)
        .then(|| Acl::new(acl.iter().map(entry).collect()))
}

/// Why the library cannot send `acl` exactly as it is.
pub(super) fn unsendable(acl: &Acl) -> Option<WriteError> {
    let known = |entry: &AclEntry| entry.perms & !31 == 0;
    let why = "its ACL has permission bits that no client library sends";
    (!acl.entries().iter().all(known)).then(|| WriteError::Refused(why.to_owned()))
}

pub(super) fn to_wire(acl: &Acl) -> Vec<zookeeper_async::Acl> {
    let entry = |entry: &AclEntry| {
        let granted = PERMISSIONS.iter().filter(|(bit, _)| entry.perms & bit != 0);
        let perms = granted.fold(Permission::NONE, |all, (_, p)| all | *p);
        zookeeper_async::Acl {
            perms,
            scheme: entry.scheme.clone(),
            id: entry.id.clone(),
        }
    };
    acl.entries().iter().map(entry).collect()
}

pub(super) fn convert_stat(stat: &zookeeper_async::Stat) -> Stat {
    Stat {
        czxid: stat.czxid,
        mzxid: stat.mzxid,
        pzxid: stat.pzxid,
        ctime: stat.ctime,
        mtime: stat.mtime,
        version: stat.version,
        cversion: stat.cversion,
        aversion: stat.aversion,
        ephemeral_owner: stat.ephemeral_owner,
        num_children: stat.num_children,
    }
}
