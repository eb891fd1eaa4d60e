//! Reading znodes together with their ACLs.

use super::AclIndex;
use crate::archive::{Record, Role};
use crate::tree::{Acl, AclFound, ClientError, Found, History, Reading, Stat, ZnodePath, ZnodeReader};

/// What the walk met: one more than the length of the data, or one of these, which no data are as long as.
pub(super) const EPHEMERAL: u32 = u32::MAX;
pub(super) const UNREADABLE: u32 = u32::MAX - 1;
/// It was met, and is gone.
pub(super) const GONE: u32 = u32::MAX - 2;

/// A znode as the walk read it, with its ACL where it has one to keep.
pub(super) struct Visit {
    pub(super) path: ZnodePath,
    pub(super) reading: Reading,
    pub(super) acl: Option<Reading<AclFound>>,
    pub(super) reused: bool,
}

impl Visit {
    pub(super) fn bytes(&self) -> usize {
        bytes(&self.reading)
    }
}

/// Bytes of data, and of the names of children with what holds them.
pub(super) fn bytes(reading: &Reading) -> usize {
    match reading {
        Reading::Found(found) => {
            let names = found.children.iter().map(|name| name.len() + size_of::<String>());
            found.data.len() + names.sum::<usize>()
        }
        _ => 0,
    }
}

/// What is noted of a znode that is kept.
pub(super) fn length(found: &Found) -> u32 {
    u32::try_from(found.data.len() + 1).map_or(GONE - 1, |length| length.min(GONE - 1))
}

/// Whether `guard` is that of the znode with `stat`, and its list was there together with the data, as it is the one that these had, or as they are there
/// still. `stat` takes over what belongs to the list then.
pub(super) fn pair(stat: &mut Stat, guard: &AclFound) -> bool {
    let same_znode = stat.czxid == guard.stat.czxid && stat.ctime == guard.stat.ctime;
    let same = same_znode && (stat.aversion == guard.stat.aversion || stat.mzxid == guard.stat.mzxid);
    if same {
        stat.aversion = guard.stat.aversion;
    }
    same
}

pub(super) fn record(path: ZnodePath, role: Role, found: Found, acl: Acl) -> Record {
    Record {
        path,
        role,
        data: found.data,
        acl,
        stat: found.stat,
    }
}

pub(super) fn unreadable(path: ZnodePath) -> Record {
    Record::unreadable(path)
}

/// Reads znodes, and the ACLs of those that are to be kept.
pub(super) async fn visit(
    reader: &dyn ZnodeReader,
    known: Option<&AclIndex>,
    paths: Vec<ZnodePath>,
    history: History,
) -> Result<Vec<Visit>, ClientError> {
    let readings = reader.read_many(&paths, history).await?;
    let mut visits: Vec<Visit> = paths
        .into_iter()
        .zip(readings)
        .map(|(path, reading)| Visit {
            path,
            reading,
            acl: None,
            reused: false,
        })
        .collect();
    let mut unknown = Vec::new();
    for (index, visit) in visits.iter_mut().enumerate() {
        if let Reading::Found(found) = &visit.reading {
            if found.stat.is_ephemeral() {
                continue;
            }
            match known.and_then(|index| index.get(&visit.path, &found.stat)) {
                Some(acl) => {
                    visit.reused = true;
                    visit.acl = Some(Reading::Found(AclFound {
                        acl: acl.clone(),
                        stat: found.stat,
                    }));
                }
                None => unknown.push(index),
            }
        }
    }
    if !unknown.is_empty() {
        let paths: Vec<_> = unknown.iter().map(|index| visits[*index].path.clone()).collect();
        for (index, acl) in unknown.into_iter().zip(reader.read_acls(&paths).await?) {
            visits[index].acl = Some(acl);
        }
    }
    Ok(visits)
}
