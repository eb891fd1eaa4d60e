//! The pure part: what one znode needs to become as it was.

use super::Policy;
use crate::{Acl, Found, Record, Role, WriteOp};

/// What is live where a record is to go.
pub(super) enum Live {
    /// `acl` is `None` where it is known to be the record's.
    Found {
        found: Found,
        acl: Option<Acl>,
    },
    Missing,
    Denied,
    Undecodable(String),
}

/// What is to be done about one znode.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct NodePlan {
    /// Done on the way down, parents first.
    pub(super) now: Vec<WriteOp>,
    /// Done once all children are there, since it may take away our own permissions.
    pub(super) later: Vec<WriteOp>,
    /// Something else stands in its place.
    pub(super) blocked: bool,
    /// It is there and was not ours to touch, or equal already.
    pub(super) unchanged: bool,
}

/// Compares `wanted` with what is live.
///
/// `parent` tells whether the backup has children of it. `working` is an ACL under which we may create them.
pub(super) fn plan(wanted: &Record, live: &Live, policy: Policy, parent: bool, working: &Acl) -> NodePlan {
    let path = || wanted.path.clone();
    let mut plan = NodePlan::default();
    match live {
        _ if wanted.role == Role::Unreadable => plan.unchanged = true,
        Live::Missing if parent && !wanted.acl.lets_anyone_create() => {
            // Until its own ACL guards it, the znode holds no data.
            plan.now.push(WriteOp::Create {
                path: path(),
                data: Vec::new(),
                acl: working.clone(),
                kind: wanted.stat.kind(),
            });
            if !wanted.data.is_empty() {
                plan.later.push(WriteOp::SetData {
                    path: path(),
                    data: wanted.data.clone(),
                    version: None,
                });
            }
            plan.later.push(WriteOp::SetAcl {
                path: path(),
                acl: wanted.acl.clone(),
                version: None,
            });
        }
        Live::Missing => {
            plan.now.push(WriteOp::Create {
                path: path(),
                data: wanted.data.clone(),
                acl: wanted.acl.clone(),
                kind: wanted.stat.kind(),
            });
        }
        Live::Denied | Live::Undecodable(_) => plan.blocked = true,
        Live::Found { found, .. } if found.stat.is_ephemeral() => plan.blocked = true,
        Live::Found { .. } if wanted.role == Role::Ancestor || policy == Policy::Missing => {
            plan.unchanged = true;
        }
        Live::Found { found, acl } => {
            if found.data != wanted.data {
                plan.now.push(WriteOp::SetData {
                    path: path(),
                    data: wanted.data.clone(),
                    version: None,
                });
            }
            let differs = acl.as_ref().is_some_and(|acl| !acl.same_as(&wanted.acl));
            if differs && !wanted.acl.is_masked() {
                let op = WriteOp::SetAcl {
                    path: path(),
                    acl: wanted.acl.clone(),
                    version: None,
                };
                if parent || !found.children.is_empty() {
                    plan.later.push(op);
                } else {
                    plan.now.push(op);
                }
            }
            plan.unchanged = plan.now.is_empty() && plan.later.is_empty();
        }
    }
    plan
}
