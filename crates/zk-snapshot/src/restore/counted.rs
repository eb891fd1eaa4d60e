//! What znodes count as of which a restore has written a part before it looks at them again.

use super::Change;
use super::guard::Guards;
use super::noted::{Noted, Owed};
use super::plan::NodePlan;
use super::question::LiveZnode;
use crate::archive::Record;
use crate::tree::WriteOp;

/// What a znode counts as of which this restore has written a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// As created, and as nothing more.
    Created,
    /// Its ACL is not its own, and counts as changed if that is another than it was before.
    Admitted(Owed),
}

pub(super) fn has_own_acl(record: &Record, live: &LiveZnode) -> bool {
    match live {
        LiveZnode::Found { acl: Some(acl), .. } => acl.same_as(&record.acl),
        _ => false,
    }
}

/// What it has counted as, if this restore has begun it and it stands there as it was left.
pub(super) fn counted_as(noted: &Noted, live: &LiveZnode, guards: &Guards) -> Option<Counted> {
    let mut owed = noted.owed?;
    match live {
        LiveZnode::Found {
            found,
            acl: Some(acl),
        } if noted.is_left(&found.stat, acl, guards) => owed.data = false,
        LiveZnode::Hidden(_) => {}
        _ => return None,
    }
    Some(if noted.created {
        Counted::Created
    } else {
        Counted::Admitted(owed)
    })
}

impl NodePlan {
    /// Leaves out what is counted already.
    pub(super) fn count_as(&mut self, counted: Option<Counted>) {
        let Some(counted) = counted else { return };
        let owed = match counted {
            Counted::Created => Owed::default(),
            Counted::Admitted(owed) => owed,
        };
        for step in &mut self.steps {
            match &step.op {
                WriteOp::SetAcl { .. } => step.counts = (owed.acl && step.ends).then_some(Change::Acl),
                _ if counted == Counted::Created => step.counts = None,
                // What they were cannot be seen any more.
                WriteOp::SetData { .. } if owed.data => step.counts = Some(Change::Data),
                _ => {}
            }
        }
        self.final_acl.iter_mut().for_each(|last| last.counts = owed.acl);
    }
}
