//! What a persistent recursive watch tells, and what it hides.

use super::{Ensemble, Identity};
use crate::tree::{Changes, TreeWatch, WriteOp, ZnodePath};

/// A persistent recursive watch of one connection.
pub(super) struct Watch {
    pub(super) ensemble: Ensemble,
    pub(super) connection: usize,
    pub(super) epoch: u64,
    pub(super) identity: Identity,
    pub(super) roots: Vec<ZnodePath>,
    /// The last transaction that it has told of.
    pub(super) told: i64,
}

impl TreeWatch for Watch {
    fn take(&mut self) -> Changes {
        let mut wire = self.ensemble.lock();
        let hides = wire.rules.hides;
        if wire.epoch(self.connection) != self.epoch {
            return Changes::Lost;
        }
        let seen = wire.view(self.connection);
        let mut changed = Vec::new();
        for entry in &wire.tree.log {
            let is_setting = matches!(entry.op, WriteOp::SetData { .. });
            let is_acl = matches!(entry.op, WriteOp::SetAcl { .. });
            let path = entry.op.path();
            if entry.zxid <= self.told
                || entry.zxid > seen
                || is_acl
                || !self.roots.iter().any(|root| path.is_within(root))
            {
                continue;
            }
            let znode = entry.before.as_ref().or(entry.after.as_ref());
            if hides && !znode.is_some_and(|znode| self.identity.may(&znode.acl, 1)) {
                continue;
            }
            changed.push(path.clone());
            changed.extend(path.parent().filter(|_| !is_setting));
        }
        self.told = seen;
        Changes::Of(changed)
    }
}
