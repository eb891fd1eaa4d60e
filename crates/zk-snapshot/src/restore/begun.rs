//! What an earlier restore has begun, as it is planned again.

use super::Policy;
use super::guard::can_be_of;
use super::noted::Noted;
use super::question::Question;
use crate::archive::{Record, Role};
use crate::tree::{Acl, Found, Stat};

/// Whether the backup says whom it is to let in.
pub(super) fn has_its_acl(wanted: &Record) -> bool {
    !wanted.acl.is_masked() && !wanted.acl.is_unknown()
}

/// Whether only another backup says whom it is to let in: this one has none, or was taken while a restore had left it unfinished.
pub(super) fn lacks_its_acl(asked: &Question<'_>) -> bool {
    let wanted = asked.wanted;
    wanted.acl.is_unknown()
        || asked
            .unfinished
            .is_some_and(|noted| noted.is_recorded(&wanted.stat, &wanted.acl, asked.guards))
}

/// Whether a restore of something else, renamed to there, has opened to itself what was there before.
pub(super) fn is_of_something_else(asked: &Question<'_>) -> bool {
    let is_ours_to_change = asked.wanted.role == Role::Captured && asked.policy != Policy::Missing;
    let is_else = |noted: &Noted| !noted.created && noted.from.as_ref() != asked.from;
    !is_ours_to_change && asked.unfinished.is_some_and(is_else)
}

/// Whether the live znode still is what a restore has left unfinished, so that it is finished whatever the policy.
pub(super) fn is_half_done(asked: &Question<'_>, found: &Found, acl: Option<&Acl>) -> bool {
    let (Some(noted), Some(acl)) = (asked.unfinished, acl) else {
        return false;
    };
    let is_like = found.data == asked.wanted.data;
    let is_the_same = noted.from.as_ref() == asked.from;
    let holds_ours = match (noted.created, is_the_same) {
        (true, true) => {
            // Or those of another backup of it, which has its ACL as well.
            let is_anothers = has_its_acl(asked.wanted) && noted.holds_its_first_data(&found.stat);
            is_like || found.data.is_empty() || is_anothers
        }
        (true, false) => is_like || found.data.is_empty(),
        (false, true) => true,
        // It was there before, and is to become something else.
        (false, false) => is_like,
    };
    holds_ours && noted.is_left(&found.stat, acl, asked.guards)
}

/// Whether what we may not read stands as a restore has left it that had no identity, or another one: it is opened to us whatever the policy.
pub(super) fn is_left_shut(asked: &Question<'_>, stat: &Stat, acl: &Acl) -> bool {
    let is_left = |noted: &Noted| noted.is_left(stat, acl, asked.guards);
    !is_of_something_else(asked) && asked.unfinished.is_some_and(is_left)
}

/// Whether what is not finished is surely that, and stands under a list that nobody but us could have written under, or holds what a restore has created. One that
/// has its own list, which is like ours, lacks nothing.
pub(super) fn stays_ours(asked: &Question<'_>, found: &Found, acl: Option<&Acl>) -> bool {
    asked.unfinished.zip(acl).is_some_and(|(noted, acl)| {
        let is_it = noted.czxid.is_some() || found.stat.version == 0;
        let hides = can_be_of(false, acl) && is_it;
        let is_the_same = noted.from.as_ref() == asked.from;
        let has_its_own = is_the_same && acl.same_as(&asked.wanted.acl) && !lacks_its_acl(asked);
        !has_its_own
            && (hides || !noted.created || noted.holds_its_first_data(&found.stat))
            && noted.is_left(&found.stat, acl, asked.guards)
    })
}
