//! The writes of a plan.

use super::Change;
use super::guard::Guards;
use super::noted::Begins;
use crate::archive::Record;
use crate::tree::{Acl, WriteOp, ZnodePath};

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) op: WriteOp,
    /// What it counts as.
    pub(super) counts: Option<Change>,
    /// From here on the znode is unfinished.
    pub(super) begins: Option<Begins>,
    /// With this it is finished.
    pub(super) ends: bool,
}

/// What comes when nothing is left to be done below a znode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FinalAcl {
    pub(super) acl: Acl,
    /// The `aversion` that it will have until then.
    pub(super) version: i32,
    pub(super) counts: bool,
    /// Its data come just before: until then it stands under an ACL that lets everybody read. The `version` that it
    /// will have.
    pub(super) data: Option<i32>,
}

pub(super) fn set_data(wanted: &Record, version: i32, counts: Option<Change>) -> Step {
    Step {
        op: WriteOp::SetData {
            path: wanted.path.clone(),
            data: wanted.data.clone(),
            version: Some(version),
        },
        counts,
        begins: None,
        ends: false,
    }
}

impl FinalAcl {
    /// The backup's own ACL.
    pub(super) fn step(self, path: &ZnodePath) -> Step {
        Step {
            op: WriteOp::SetAcl {
                path: path.clone(),
                acl: self.acl,
                version: Some(self.version),
            },
            counts: self.counts.then_some(Change::Acl),
            begins: None,
            ends: true,
        }
    }

    /// The steps for a znode whose data had to wait: it is shown to nobody, gets them, and then its own ACL.
    pub(super) fn with_data(mut self, wanted: &Record, guards: &Guards, version: i32) -> Vec<Step> {
        let narrow = Step {
            op: WriteOp::SetAcl {
                path: wanted.path.clone(),
                acl: guards.narrow.clone(),
                version: Some(self.version),
            },
            counts: None,
            begins: Some(Begins::Narrowed {
                aversion: self.version.wrapping_add(1),
            }),
            ends: false,
        };
        self.version = self.version.wrapping_add(1);
        vec![narrow, set_data(wanted, version, None), self.step(&wanted.path)]
    }
}
