//! Making znodes of a tree what a client was shown of them later.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::Fault;
use super::acls;
use super::jute::Persisted;
use super::paths::{bytes_of, name_of, parent};
use super::tree::FileTree;
use crate::tree::{Acl, Stat, ZnodePath};

/// What a client was shown of a znode.
pub(crate) struct RereadZnode {
    pub(crate) data: Vec<u8>,
    pub(crate) stat: Stat,
    /// The access control list, where it is known; nobody asks for that of an ephemeral znode.
    pub(crate) acl: Option<Acl>,
    /// What the server keeps as its owner, where it is known.
    pub(crate) owner: Option<i64>,
}

impl RereadZnode {
    /// Whether its access control list came without its digests.
    pub(crate) fn is_masked(&self) -> bool {
        self.acl.as_ref().is_some_and(Acl::is_masked)
    }
}

impl FileTree {
    /// Makes the znodes of `later` what it says. Returns how many of them are ephemeral, and so left out.
    pub(super) fn amend(&mut self, later: &BTreeMap<ZnodePath, Option<RereadZnode>>) -> Result<u64, Fault> {
        let mut ephemerals = 0;
        // Children come after their parents.
        for (path, znode) in later.iter().rev() {
            let ephemeral = znode.as_ref().is_some_and(|znode| znode.stat.is_ephemeral());
            ephemerals += u64::from(ephemeral);
            if znode.is_some() && !ephemeral {
                continue;
            }
            let path = bytes_of(path);
            if let Some(at) = self.find(path) {
                if self.node(at).has_children() {
                    return Err(Fault::Children(name_of(path)));
                }
                let above = parent(path).and_then(|path| self.find(path));
                self.remove(at, above);
            }
        }
        let mut left_out: HashMap<&[u8], i64> = HashMap::new();
        for (path, znode) in later {
            if let Some(znode) = znode {
                self.zxid = self.zxid.max(znode.stat.newest_zxid());
                if znode.stat.is_ephemeral() {
                    *left_out
                        .entry(parent(bytes_of(path)).unwrap_or_default())
                        .or_default() += 1;
                } else {
                    self.put_as_shown(bytes_of(path), znode)?;
                }
            }
        }
        // What was not told of shows here.
        for (path, znode) in later {
            let Some(znode) = znode.as_ref().filter(|znode| !znode.stat.is_ephemeral()) else {
                continue;
            };
            let path = bytes_of(path);
            let children = self.find(path).map_or(0, |at| self.node(at).children());
            let all = i64::from(children) + left_out.get(path).copied().unwrap_or_default();
            if all != i64::from(znode.stat.num_children) {
                return Err(Fault::Family(name_of(path)));
            }
        }
        Ok(ephemerals)
    }

    fn put_as_shown(&mut self, path: &[u8], znode: &RereadZnode) -> Result<(), Fault> {
        let acl = znode.acl.as_ref().ok_or_else(|| Fault::NoAcl(name_of(path)))?;
        let acl = self.acls.number(&acls::encode(acl));
        let stat = Persisted::of(&znode.stat, znode.owner.unwrap_or_default());
        let Some(at) = self.find(path) else {
            let above = parent(path).and_then(|path| self.find(path));
            let above = above.ok_or_else(|| Fault::NoParent(name_of(path)))?;
            let put = self.put((path, Some(&znode.data)), acl, stat, Some(above));
            return put.map(drop);
        };
        self.release(at);
        self.change(at, |node, arena| {
            // A client cannot tell no data from none at all.
            if arena.get(node.data).unwrap_or_default() != znode.data {
                arena.replace(&mut node.data, Some(&znode.data));
            }
            (node.acl, node.stat) = (acl, stat);
        });
        Ok(())
    }
}
