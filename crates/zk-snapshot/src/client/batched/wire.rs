//! From the library's words to ours, and back.

use zookeeper_client as zk;

use super::session::is_lost;
use crate::tree::{Acl, AclEntry, ClientErrorKind, Stat, ZnodePath};

pub(super) fn plain_words(error: &zk::Error) -> String {
    match error {
        zk::Error::Timeout => "no answer in time".to_owned(),
        zk::Error::NoHosts => "it takes connections, but gave no session in time".to_owned(),
        zk::Error::AuthFailed => "the server refused our identity".to_owned(),
        zk::Error::Unimplemented => "the server is too old for multiRead".to_owned(),
        other => other.to_string(),
    }
}

pub(super) fn kind(error: &zk::Error) -> ClientErrorKind {
    match error {
        zk::Error::Unimplemented => ClientErrorKind::Unsupported,
        zk::Error::AuthFailed | zk::Error::NoAuth => ClientErrorKind::Credentials,
        zk::Error::BadArguments(_) => ClientErrorKind::Settings,
        // The server asks to be asked later.
        zk::Error::Throttled => ClientErrorKind::Unanswered,
        error if is_lost(error) => ClientErrorKind::Unanswered,
        _ => ClientErrorKind::Answer,
    }
}

pub(super) fn stat(stat: &zk::Stat) -> Stat {
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

const PERMISSIONS: [(u32, zk::Permission); 5] = [
    (1, zk::Permission::READ),
    (2, zk::Permission::WRITE),
    (4, zk::Permission::CREATE),
    (8, zk::Permission::DELETE),
    (16, zk::Permission::ADMIN),
];

pub(super) fn from_wire(acl: &[zk::Acl]) -> Acl {
    let entry = |entry: &zk::Acl| AclEntry {
        perms: PERMISSIONS
            .iter()
            .filter(|(_, permission)| entry.permission().has(*permission))
            .map(|(bit, _)| bit)
            .sum(),
        scheme: entry.scheme().to_owned(),
        id: entry.id().to_owned(),
    };
    Acl::new(acl.iter().map(entry).collect())
}

pub(super) fn to_wire(acl: &Acl) -> Vec<zk::Acl> {
    let entry = |entry: &AclEntry| {
        let granted = PERMISSIONS.iter().filter(|(bit, _)| entry.perms & bit != 0);
        let permission = granted.fold(zk::Permission::NONE, |all, (_, one)| all | *one);
        zk::Acl::new(permission, zk::AuthId::new(&entry.scheme, &entry.id))
    };
    acl.entries().iter().map(entry).collect()
}

/// Adds what `event` speaks of; `false` if it says that events may be missing.
pub(super) fn changed(event: &zk::WatchedEvent, changed: &mut Vec<ZnodePath>) -> bool {
    if event.event_type == zk::EventType::Session {
        return false;
    }
    // A path that no server allows is not in any capture either: the walk has named its parent.
    let Ok(path) = ZnodePath::parse(&event.path) else {
        return true;
    };
    if event.event_type != zk::EventType::NodeDataChanged {
        changed.extend(path.parent());
    }
    changed.push(path);
    true
}
