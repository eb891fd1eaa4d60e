//! `GET /listbackups/<id>/znodes` and `GET /listbackups/<id>/znode`.

use backup_engine::{WholeZnodePage, ZnodeContent, ZnodeInfo, ZnodePage};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;
use zk_snapshot::tree::{Acl, Kind};

/// Children of a znode.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Znodes {
    path: String,
    /// How many there are in all.
    total: usize,
    /// Those that were asked for.
    znodes: Vec<Listed>,
}

/// A znode, with its data and ACL where these were asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ZnodeListed)]
struct Listed {
    #[serde(flatten)]
    info: Info,
    /// In standard base64 with padding.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    acl: Option<Vec<AclEntry>>,
}

/// A znode with its data.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Znode {
    #[serde(flatten)]
    info: Info,
    /// In standard base64 with padding.
    data: String,
    acl: Vec<AclEntry>,
}

/// A znode without its data.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ZnodeInfo)]
struct Info {
    path: String,
    /// Empty for the root.
    name: String,
    /// Null in a hierarchical backup.
    kind: Option<Lifetime>,
    /// How long a TTL znode lives without a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ttl_ms: Option<u64>,
    role: Role,
    /// Bytes of data.
    size: usize,
    /// Children in the backup.
    children: u32,
    stat: Stat,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ZnodeKind)]
enum Lifetime {
    Persistent,
    Container,
    Ttl,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ZnodeRole)]
enum Role {
    Captured,
    Ancestor,
    Unreadable,
}

/// Field by field as ZooKeeper names them; times in ms since the Unix epoch.
#[derive(Debug, Serialize, ToSchema)]
struct Stat {
    czxid: i64,
    mzxid: i64,
    pzxid: i64,
    ctime: i64,
    mtime: i64,
    version: i32,
    cversion: i32,
    aversion: i32,
    ephemeral_owner: i64,
    num_children: i32,
}

#[derive(Debug, Serialize, ToSchema)]
struct AclEntry {
    /// Bits: read 1, write 2, create 4, delete 8, admin 16.
    perms: u32,
    scheme: String,
    id: String,
}

impl From<ZnodePage> for Znodes {
    fn from(page: ZnodePage) -> Self {
        Self {
            path: page.path.to_string(),
            total: page.total,
            znodes: page.znodes.into_iter().map(Listed::alone).collect(),
        }
    }
}

impl From<WholeZnodePage> for Znodes {
    fn from(page: WholeZnodePage) -> Self {
        Self {
            path: page.path.to_string(),
            total: page.total,
            znodes: page.znodes.into_iter().map(Listed::whole).collect(),
        }
    }
}

impl Listed {
    fn alone(info: ZnodeInfo) -> Self {
        Self {
            info: info.into(),
            data: None,
            acl: None,
        }
    }

    fn whole(znode: ZnodeContent) -> Self {
        let Znode { info, data, acl } = znode.into();
        Self {
            info,
            data: Some(data),
            acl: Some(acl),
        }
    }
}

impl From<ZnodeContent> for Znode {
    fn from(znode: ZnodeContent) -> Self {
        Self {
            info: znode.info.into(),
            data: STANDARD.encode(&znode.data),
            acl: acl(&znode.acl),
        }
    }
}

impl From<ZnodeInfo> for Info {
    fn from(info: ZnodeInfo) -> Self {
        let (kind, ttl_ms) = info.kind.map(lifetime).unzip();
        Self {
            name: info.path.name().to_owned(),
            path: info.path.to_string(),
            kind,
            ttl_ms: ttl_ms.flatten(),
            role: info.role.into(),
            size: info.size,
            children: info.children,
            stat: info.stat.into(),
        }
    }
}

impl From<zk_snapshot::archive::Role> for Role {
    fn from(role: zk_snapshot::archive::Role) -> Self {
        match role {
            zk_snapshot::archive::Role::Captured => Self::Captured,
            zk_snapshot::archive::Role::Ancestor => Self::Ancestor,
            zk_snapshot::archive::Role::Unreadable => Self::Unreadable,
        }
    }
}

impl From<zk_snapshot::tree::Stat> for Stat {
    fn from(stat: zk_snapshot::tree::Stat) -> Self {
        Self {
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
}

fn acl(acl: &Acl) -> Vec<AclEntry> {
    let entries = acl.entries().iter();
    let entry = |entry: &zk_snapshot::tree::AclEntry| AclEntry {
        perms: entry.perms,
        scheme: entry.scheme.clone(),
        id: entry.id.clone(),
    };
    entries.map(entry).collect()
}

/// As a word, and in ms where it is a time.
fn lifetime(kind: Kind) -> (Lifetime, Option<u64>) {
    match kind {
        Kind::Container => (Lifetime::Container, None),
        Kind::Ttl(time) => (Lifetime::Ttl, u64::try_from(time.as_millis()).ok()),
        // No backup has ephemeral ones.
        Kind::Persistent | Kind::Ephemeral => (Lifetime::Persistent, None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_kind_is_a_word_and_a_ttl_a_number_beside_it() {
        for (kind, told) in [
            (Kind::Persistent, json!(["persistent", null])),
            (Kind::Container, json!(["container", null])),
            (Kind::Ttl(Duration::from_secs(60)), json!(["ttl", 60_000])),
        ] {
            assert_eq!(serde_json::to_value(lifetime(kind)).unwrap(), told);
        }
    }
}
