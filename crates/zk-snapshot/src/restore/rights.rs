//! What the live ACLs do not let a restore do, as far as a dry run can tell.

use std::collections::{BTreeSet, HashMap};

use super::Change;
use super::error::Stop;
use super::guard::{is_of, name_of};
use super::step::Step;
use super::writer::Writer;
use crate::tree::{Acl, AclEntry, Reading, WriteError, WriteOp, ZnodePath, ZnodeReader, ZnodeWriter};

const READ: u32 = 1;
const WRITE: u32 = 2;
const CREATE: u32 = 4;
const DELETE: u32 = 8;
const ADMIN: u32 = 16;
/// Steps that are weighed together.
const AT_ONCE: usize = 256;
/// Why nothing is created there.
pub(super) const NO_PARENT: &str = "its parent could not be created";

/// As whom the servers know us.
pub(super) struct Rights(Vec<(String, String)>);

/// A step of a dry run that is not counted yet.
pub(super) struct Planned {
    path: ZnodePath,
    /// The znode whose list is asked.
    guard: ZnodePath,
    needs: u32,
    counts: Option<Change>,
}

impl Rights {
    /// `None` where that is not told, and where no list keeps us out.
    pub(super) fn of(identities: Option<Vec<String>>) -> Option<Self> {
        let split = |identity: &String| {
            let (scheme, id) = identity.split_once(':')?;
            Some((scheme.to_owned(), name_of(scheme, id).to_owned()))
        };
        let names: Vec<_> = identities?.iter().map(split).collect::<Option<_>>()?;
        let is_super = names.iter().any(|(scheme, _)| scheme == "super");
        (!is_super).then_some(Self(names))
    }

    /// Whether one of `permissions` may be ours: an entry is taken for ours if it can be.
    fn may(&self, acl: &Acl, permissions: u32) -> bool {
        // Whether other schemes mean us, their providers decide.
        let is_same = |entry: &AclEntry, name: &(String, String)| {
            entry.scheme == name.0 && (entry.scheme != "digest" || is_of(entry, name))
        };
        acl.entries()
            .iter()
            .filter(|entry| entry.perms & permissions != 0)
            .any(|entry| {
                matches!(entry.scheme.as_str(), "world" | "ip")
                    || self.0.iter().any(|name| is_same(entry, name))
            })
    }
}

impl Planned {
    fn of(step: &Step) -> Self {
        let path = step.op.path().clone();
        let needs = match step.op {
            WriteOp::Create { .. } => CREATE,
            WriteOp::Delete { .. } => DELETE,
            WriteOp::SetData { .. } => WRITE,
            WriteOp::SetAcl { .. } => ADMIN,
        };
        let parent = path.parent().filter(|_| matches!(needs, CREATE | DELETE));
        Self {
            guard: parent.unwrap_or_else(|| path.clone()),
            path,
            needs,
            counts: step.counts,
        }
    }
}

impl<T: ZnodeReader + ZnodeWriter + ?Sized> Writer<'_, T> {
    /// Counts what a dry run would do, as soon as it is known whether we may.
    pub(super) async fn plan_dry(&mut self, steps: &[Step]) -> Result<(), Stop> {
        if self.rights.is_none() {
            for step in steps {
                self.count(step.op.path(), step.counts);
            }
            return Ok(());
        }
        self.planned.extend(steps.iter().map(Planned::of));
        if self.planned.len() < AT_ONCE {
            return Ok(());
        }
        self.weigh().await
    }

    /// Counts the planned steps of a dry run, and names those that the live ACLs do not let us carry out.
    pub(super) async fn weigh(&mut self) -> Result<(), Stop> {
        let planned = std::mem::take(&mut self.planned);
        if planned.is_empty() {
            return Ok(());
        }
        self.check_permit()?;
        // What is to be created first is under a list of ours then.
        let is_there = |path: &&ZnodePath| !self.places.at(path).is_created();
        let guards: BTreeSet<_> = planned.iter().map(|one| &one.guard).filter(is_there).collect();
        let guards: Vec<_> = guards.into_iter().cloned().collect();
        let mut lists = HashMap::with_capacity(guards.len());
        if !guards.is_empty() {
            for (path, guard) in guards.iter().zip(self.live.read_acls(&guards).await?) {
                if let Reading::Found(guard) = guard {
                    lists.insert(path, guard.acl);
                }
            }
        }
        for one in planned {
            let list = lists.get(&one.guard);
            self.weigh_one(one, list);
        }
        Ok(())
    }

    /// Whoever may change a list may first put one on that admits us.
    fn weigh_one(&mut self, one: Planned, list: Option<&Acl>) {
        let Planned {
            path,
            guard,
            needs,
            counts,
        } = one;
        if self.broken.contains(&path) {
            return;
        }
        if self.places.at(&guard).is_failed() && needs != DELETE {
            if needs == CREATE {
                self.not_created_dry(&path, NO_PARENT.to_owned());
            }
            return;
        }
        if let Some(list) = list
            && self
                .rights
                .as_ref()
                .is_some_and(|ours| !ours.may(list, READ | ADMIN))
        {
            self.rights = None; // we were shown it all the same, so lists do not tell what we may do
        }
        let is_refused = |list: &Acl| {
            let ours = self.rights.as_ref();
            ours.is_some_and(|ours| !ours.may(list, needs | ADMIN))
        };
        if !list.is_some_and(is_refused) {
            return self.count(&path, counts);
        }
        let why = WriteError::NoAuth.to_string();
        match needs {
            CREATE => self.not_created_dry(&path, why),
            DELETE => self.leave(&path, why),
            _ => {
                self.fail_once(&path, why);
                self.broken.insert(path);
            }
        }
    }

    fn not_created_dry(&mut self, path: &ZnodePath, why: String) {
        self.fail_once(path, why);
        self.places.fail(path);
    }
}
