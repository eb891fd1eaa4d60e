//! What is known of a znode whose writes met something else than what was read.

use super::Change;
use super::guard::is_shown_as;
use super::plan::{NodePlan, Verdict};
use super::question::{Hint, LiveZnode};
use crate::archive::Record;
use crate::tree::Acl;

/// Whether nobody has changed what is there since it was created whole, with all that the backup has, as far as that was asked for.
pub(super) fn is_as_made(wanted: &Record, live: &LiveZnode) -> bool {
    let LiveZnode::Found { found, acl } = live else {
        return false;
    };
    let is_its_own = |acl: &Acl| match wanted.acl.is_unknown() {
        true => acl.same_as(&Acl::open()),
        false => is_shown_as(acl, &wanted.acl),
    };
    (found.stat.version, found.stat.aversion) == (0, 0)
        && found.data == wanted.data
        && acl.as_ref().is_none_or(is_its_own)
}

/// What is known of a znode whose writes did not go as planned.
#[derive(Debug, Default)]
pub(super) struct Surprise {
    pub(super) hint: Hint,
    pub(super) tries: u8,
    /// Its request was one of several that a connection was lost with, or the only one: it goes out alone.
    pub(super) alone: bool,
    pub(super) lost_alone: u8,
    /// How often it was opened to us, so that it could be looked at, or what is below it deleted.
    pub(super) opened: u8,
    /// It was not there when something was to be created below it.
    pub(super) misses: bool,
    /// Somebody else had created it.
    pub(super) met: bool,
    /// What may have been done all the same.
    pub(super) unsure: Option<Change>,
}

impl Surprise {
    /// What may have been done and, as the znode was looked at again, was done. What still may have been stays.
    pub(super) fn resolve(&mut self, wanted: &Record, live: &LiveZnode, plan: &NodePlan) -> Option<Change> {
        let change = self.unsure?;
        let found = match live {
            LiveZnode::Found { found, acl } => Some((found, acl)),
            LiveZnode::Hidden(_) => None,
            // A server that is behind does not have it yet.
            LiveZnode::Missing if change == Change::Create => return None,
            LiveZnode::Missing => {
                self.unsure = None;
                return None;
            }
            _ => return None,
        };
        let is_landed = match change {
            _ if plan.verdict == Verdict::Equal => true,
            // Under its working ACL it can only be our own creation.
            Change::Create if plan.verdict == Verdict::Change => plan.finishes,
            Change::Create => is_as_made(wanted, live),
            Change::Data => found.is_some_and(|(found, _)| found.data == wanted.data),
            Change::Acl => {
                found.is_some_and(|(_, acl)| acl.as_ref().is_some_and(|acl| acl.same_as(&wanted.acl)))
            }
            Change::Delete => false,
        };
        if is_landed || change == Change::Create {
            self.unsure = None;
        }
        is_landed.then_some(change)
    }
}
