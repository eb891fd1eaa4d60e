//! What a server does with a write (`PrepRequestProcessor`, `DataTree`).

use std::sync::Arc;

use super::{Entry, Identity, ModelTree, Znode};
use crate::tree::{Stat, WriteError, WriteOp, ZnodePath};

const WRITE: u32 = 2;
const CREATE: u32 = 4;
const DELETE: u32 = 8;
const ADMIN: u32 = 16;

impl ModelTree {
    /// Carries out all of `ops` as one transaction, or none of them.
    pub(super) fn commit(
        &mut self,
        by: i64,
        owner: i64,
        identity: &Identity,
        ops: &[WriteOp],
    ) -> Result<(), WriteError> {
        let known = self.log.len();
        self.zxid += 1;
        let done = ops.iter().try_for_each(|op| self.apply(by, owner, identity, op));
        if done.is_err() {
            self.log.truncate(known);
            let zxid = self.zxid;
            for versions in self.versions.values_mut() {
                versions.retain(|(since, _)| *since != zxid);
            }
            self.versions.retain(|_, versions| !versions.is_empty());
        }
        done
    }

    fn apply(&mut self, by: i64, owner: i64, identity: &Identity, op: &WriteOp) -> Result<(), WriteError> {
        let path = op.path();
        let before = self.get(path).cloned();
        let after = match op {
            WriteOp::Create { data, acl, .. } => {
                let acl = identity.fixed(acl)?;
                let parent = self.parent(path)?;
                may(identity, &parent, CREATE)?;
                if before.is_some() {
                    return Err(WriteError::NodeExists);
                }
                if parent.stat.is_ephemeral() {
                    return Err(WriteError::EphemeralParent);
                }
                self.touch_parent(path, &parent, 1);
                let stat = Stat {
                    czxid: self.zxid,
                    mzxid: self.zxid,
                    pzxid: self.zxid,
                    ctime: self.zxid,
                    mtime: self.zxid,
                    ephemeral_owner: owner,
                    ..Stat::default()
                };
                Some(Znode {
                    data: data.clone(),
                    acl,
                    stat,
                })
            }
            WriteOp::SetData { data, version, .. } => {
                let mut znode = (**before.as_ref().ok_or(WriteError::NoNode)?).clone();
                may(identity, &znode, WRITE)?;
                unchanged(*version, znode.stat.version)?;
                znode.data.clone_from(data);
                znode.stat.version += 1;
                (znode.stat.mzxid, znode.stat.mtime) = (self.zxid, self.zxid);
                Some(znode)
            }
            WriteOp::SetAcl { acl, version, .. } => {
                let acl = identity.fixed(acl)?;
                let mut znode = (**before.as_ref().ok_or(WriteError::NoNode)?).clone();
                may(identity, &znode, ADMIN)?;
                unchanged(*version, znode.stat.aversion)?;
                znode.acl = acl;
                znode.stat.aversion += 1;
                Some(znode)
            }
            WriteOp::Delete { version, .. } => {
                let parent = self.parent(path)?;
                may(identity, &parent, DELETE)?;
                let znode = before.as_ref().ok_or(WriteError::NoNode)?;
                unchanged(*version, znode.stat.version)?;
                if znode.stat.num_children > 0 {
                    return Err(WriteError::NotEmpty);
                }
                self.touch_parent(path, &parent, -1);
                None
            }
        };
        let after = after.map(Arc::new);
        self.put(path, after.clone());
        self.log.push(Entry {
            zxid: self.zxid,
            by,
            op: op.clone(),
            before,
            after,
        });
        Ok(())
    }

    fn parent(&self, path: &ZnodePath) -> Result<Arc<Znode>, WriteError> {
        let Some(parent) = path.parent() else {
            return Err(WriteError::Refused("bad arguments".to_owned()));
        };
        self.get(&parent).cloned().ok_or(WriteError::NoNode)
    }

    /// Twice the creations so far, less the children, is what `cversion` shows.
    fn touch_parent(&mut self, path: &ZnodePath, parent: &Znode, by: i32) {
        let mut parent = parent.clone();
        parent.stat.pzxid = self.zxid;
        parent.stat.cversion += 1;
        parent.stat.num_children += by;
        if let Some(path) = path.parent() {
            self.put(&path, Some(Arc::new(parent)));
        }
    }

    fn put(&mut self, path: &ZnodePath, znode: Option<Arc<Znode>>) {
        let zxid = self.zxid;
        let versions = self.versions.entry(path.clone()).or_default();
        match versions.last_mut() {
            Some((since, last)) if *since == zxid => *last = znode,
            _ => versions.push((zxid, znode)),
        }
    }
}

fn may(identity: &Identity, znode: &Znode, permission: u32) -> Result<(), WriteError> {
    if identity.may(&znode.acl, permission) {
        Ok(())
    } else {
        Err(WriteError::NoAuth)
    }
}

fn unchanged(wanted: Option<i32>, there: i32) -> Result<(), WriteError> {
    match wanted {
        Some(wanted) if wanted != there => Err(WriteError::Changed),
        _ => Ok(()),
    }
}
