//! From the library's words to ours, and back.

use zookeeper_async::{Permission, ZkError};

use crate::tree::{Acl, AclEntry, Stat, WriteError};

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

/// The list, or why it cannot be said in our words.
pub(super) fn from_wire(acl: &[zookeeper_async::Acl]) -> Result<Acl, String> {
    let entry = |entry: &zookeeper_async::Acl| {
        let granted = PERMISSIONS.iter().filter(|(_, p)| entry.perms.can(*p));
        let known = granted.clone().fold(Permission::NONE, |all, (_, p)| all | *p);
        if known != entry.perms {
            return Err("its ACL has permission bits that no one has defined".to_owned());
        }
        Ok(AclEntry {
            perms: granted.map(|(bit, _)| bit).sum(),
            scheme: entry.scheme.clone(),
            id: entry.id.clone(),
        })
    };
    Ok(Acl::new(acl.iter().map(entry).collect::<Result<_, _>>()?))
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
