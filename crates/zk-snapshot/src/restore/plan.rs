//! The pure part: what one znode needs to become as it was.
//!
//! The order is always the same: admit ourselves, narrow, create, data, and the backup's own ACL last. Each step goes
//! out only when the one before it is known to be done.

use super::begun::{
    has_its_acl, is_half_done, is_left_shut, is_of_something_else, lacks_its_acl, stays_ours,
};
use super::guard::{can_be_of, exposes};
use super::noted::{Begins, Noted, Owed};
use super::question::{LiveZnode, Question};
use super::step::{FinalAcl, Step, set_data};
use super::{Change, Policy};
use crate::archive::Role;
use crate::tree::{Acl, Found, Stat, WriteOp};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is something to be done.
    Change,
    /// It must be opened to us before it can be compared.
    Open,
    /// It is as in the backup.
    Equal,
    /// It is not ours to touch.
    LeftAlone,
    /// The backup does not know what it was.
    Unknown,
    /// It cannot become as it was.
    Blocked(String),
}

/// What is to be done about one znode.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NodePlan {
    pub(super) verdict: Verdict,
    pub(super) steps: Vec<Step>,
    pub(super) final_acl: Option<FinalAcl>,
    /// Its ACL cannot be brought back: the backup has it without its digests.
    pub(super) masked: bool,
    /// What is below it cannot be compared.
    pub(super) blind: bool,
    /// It stays as a restore of another backup has left it.
    pub(super) begun_elsewhere: bool,
    /// It finishes what an earlier restore has begun.
    pub(super) finishes: bool,
}

const MASKED: &str = "the backup holds its ACL without the digests";
const BLIND: &str = "it may not be read, so what is below it and not in the backup is not known";
const BEGUN_ELSEWHERE: &str = "a restore left it unfinished, and this backup does not say what it is to become: restore the one that \
                               it was of, or give it another ACL by hand or delete it, and back up anew";
const EXPOSED: &str = "its live ACL shows more than that of the backup, and may not be changed by us";
const MASKED_AND_EXPOSED: &str = "its live ACL shows more than that of the backup, which has that without the digests: \
                                  nothing was written";

impl NodePlan {
    fn only(verdict: Verdict) -> Self {
        Self {
            verdict,
            steps: Vec::new(),
            final_acl: None,
            masked: false,
            blind: false,
            begun_elsewhere: false,
            finishes: false,
        }
    }

    /// Why it will not be as in the backup, whatever is done.
    pub(super) fn failure(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Blocked(why) => Some(why),
            _ if self.blind => Some(BLIND),
            _ if self.begun_elsewhere => Some(BEGUN_ELSEWHERE),
            _ => self.masked.then_some(MASKED),
        }
    }
}

/// Compares what is wanted with what is live.
pub(super) fn plan(asked: &Question<'_>) -> NodePlan {
    let Question { wanted, live, .. } = asked;
    let blocked = |why: String| NodePlan::only(Verdict::Blocked(why));
    match live {
        _ if wanted.role == Role::Unreadable => NodePlan::only(Verdict::Unknown),
        LiveZnode::Missing => make(asked),
        LiveZnode::Found {
            found: Found { stat, .. },
            ..
        }
        | LiveZnode::Hidden(stat)
        | LiveZnode::Shut(stat, _)
            if stat.is_ephemeral() =>
        {
            blocked("a live ephemeral znode stands in its place".to_owned())
        }
        LiveZnode::Shut(stat, acl)
            if (is_ours_to_change(asked) || (!asked.above && is_left_shut(asked, stat, acl)))
                && has_its_acl(wanted)
                && !lacks_its_acl(asked) =>
        {
            open(asked, stat, acl)
        }
        // It is hidden until it gets an ACL that this backup does not have.
        LiveZnode::Hidden(_) if lacks_its_acl(asked) || is_of_something_else(asked) => {
            blocked(BEGUN_ELSEWHERE.to_owned())
        }
        LiveZnode::Hidden(stat) if has_its_acl(wanted) => reveal(asked, stat),
        LiveZnode::Hidden(_) | LiveZnode::Shut(..) | LiveZnode::Denied => {
            blocked("the live znode, or its ACL, may not be read".to_owned())
        }
        LiveZnode::Undecodable(why) => {
            blocked(format!("the live znode, or its ACL, cannot be understood: {why}"))
        }
        LiveZnode::Torn => blocked("it changed each time it was looked at".to_owned()),
        LiveZnode::Found { found, acl } => {
            if is_ours_to_change(asked) || is_half_done(asked, found, acl.as_ref()) {
                change(asked, found, acl.as_ref())
            } else {
                NodePlan {
                    begun_elsewhere: stays_ours(asked, found, acl.as_ref()),
                    ..NodePlan::only(Verdict::LeftAlone)
                }
            }
        }
    }
}

fn is_ours_to_change(asked: &Question<'_>) -> bool {
    asked.wanted.role == Role::Captured && asked.policy != Policy::Missing
}

/// Lets us look at it; what else is to be done is planned then.
fn open(asked: &Question<'_>, stat: &Stat, acl: &Acl) -> NodePlan {
    let mut plan = NodePlan::only(Verdict::Open);
    plan.steps.push(admit(asked, acl, stat, false));
    plan
}

/// Puts the ACL on under which we may do everything; `data`: they are known to differ.
fn admit(asked: &Question<'_>, live: &Acl, stat: &Stat, data: bool) -> Step {
    Step {
        op: WriteOp::SetAcl {
            path: asked.wanted.path.clone(),
            acl: asked.guards.admitting(live, &asked.wanted.acl).clone(),
            version: Some(stat.aversion),
        },
        counts: None,
        begins: Some(Begins::Admitted {
            czxid: stat.czxid,
            ctime: stat.ctime,
            aversion: stat.aversion.wrapping_add(1),
            from: asked.from.cloned(),
            again: asked
                .unfinished
                .is_some_and(|noted| noted.is_left(stat, live, asked.guards)),
            owed: Owed {
                acl: !live.same_as(&asked.wanted.acl),
                data,
            },
        }),
        ends: false,
    }
}

fn make(asked: &Question<'_>) -> NodePlan {
    let (wanted, guards) = (asked.wanted, asked.guards);
    let unknown = wanted.acl.is_unknown();
    let acl = if unknown { &Acl::open() } else { &wanted.acl };
    let (masked, begun_elsewhere) = (acl.is_masked(), !unknown && lacks_its_acl(asked));
    let restrictive = !acl.lets_anyone_create();
    let mut plan = NodePlan {
        masked,
        begun_elsewhere,
        ..NodePlan::only(Verdict::Change)
    };
    // Whom it is to let in is not known: until it is nobody is let in.
    let masked = masked || begun_elsewhere;
    let create = |data: &[u8], under: &Acl, begins: Option<Begins>| Step {
        op: WriteOp::Create {
            path: wanted.path.clone(),
            data: data.to_vec(),
            acl: under.clone(),
            kind: wanted.stat.kind(),
        },
        counts: Some(Change::Create),
        begins,
        ends: false,
    };
    let begun = |acl_unknown| Begins::Created {
        acl_unknown,
        above: asked.above,
        from: asked.from.cloned(),
    };
    let begins = Some(begun(false));
    let own = |data| FinalAcl {
        acl: acl.clone(),
        version: 0,
        counts: false,
        data,
    };
    let waits = asked.parent && restrictive && !masked;
    let splits = asked.hint.split && !wanted.data.is_empty();
    if unknown && splits {
        // All that it lacks under its own ACL are its data, so nothing has to be opened later.
        plan.steps.push(create(&[], acl, Some(begun(true))));
        plan.steps.push(Step {
            ends: true,
            ..set_data(wanted, 0, None)
        });
    } else if !waits && !masked && (unknown || !asked.hint.split) {
        plan.steps.push(Step {
            ends: true,
            ..create(&wanted.data, acl, None)
        });
    } else if waits && !guards.hides() {
        // Everybody may read it, so it stays empty until the end.
        plan.steps.push(create(&[], &guards.working, begins));
        plan.final_acl = Some(own((!wanted.data.is_empty()).then_some(0)));
    } else {
        let whole = !asked.hint.split;
        plan.steps.push(create(
            if whole { &wanted.data } else { &[] },
            &guards.narrow,
            begins,
        ));
        if !whole && !wanted.data.is_empty() {
            plan.steps.push(set_data(wanted, 0, None));
        }
        match own(None) {
            _ if masked => {}
            last if asked.parent => plan.final_acl = Some(last),
            last => plan.steps.push(last.step(&wanted.path)),
        }
    }
    plan
}

/// What an interrupted restore has hidden until it gets its own ACL. Whether it has its data yet cannot be seen.
fn reveal(asked: &Question<'_>, stat: &Stat) -> NodePlan {
    let wanted = asked.wanted;
    let mut plan = NodePlan {
        finishes: true,
        blind: stat.num_children > 0 && asked.policy == Policy::Replace && wanted.role == Role::Captured,
        ..NodePlan::only(Verdict::Change)
    };
    plan.steps.push(set_data(wanted, stat.version, None));
    let last = FinalAcl {
        acl: wanted.acl.clone(),
        version: stat.aversion,
        counts: false,
        data: None,
    };
    if asked.parent || stat.num_children > 0 {
        plan.final_acl = Some(last);
    } else {
        plan.steps.push(last.step(&wanted.path));
    }
    plan
}

fn change(asked: &Question<'_>, found: &Found, acl: Option<&Acl>) -> NodePlan {
    let (wanted, hint) = (asked.wanted, asked.hint);
    let masked = wanted.acl.is_masked();
    // Where the backup does not have it, what is live stays: whom it is to let in is not known.
    let keeps = masked || lacks_its_acl(asked);
    let data_differ = found.data != wanted.data;
    let differs = !keeps && acl.is_some_and(|acl| !acl.same_as(&wanted.acl));
    // Also where the list could be ours: whose identities it names is not known.
    let exposed = data_differ && !wanted.acl.is_unknown() && acl.is_some_and(|acl| exposes(acl, &wanted.acl));
    // One that an interrupted restore may have put on, open to all or not, is not its own, and the own one is not known here.
    let foreign = |noted: &Noted, acl: &Acl| asked.guards.is_ours(acl) || can_be_of(noted.anonymous, acl);
    let is_left = |noted: &Noted, acl: &Acl| {
        noted.is_left(&found.stat, acl, asked.guards) || (noted.opened.is_some() && foreign(noted, acl))
    };
    let begun_elsewhere = lacks_its_acl(asked)
        && asked
            .unfinished
            .zip(acl)
            .is_some_and(|(noted, acl)| !noted.acl_unknown && is_left(noted, acl));
    let mut plan = NodePlan {
        masked,
        begun_elsewhere,
        finishes: asked.unfinished.is_some() && !begun_elsewhere,
        ..NodePlan::only(Verdict::Change)
    };
    let live = acl.unwrap_or(&wanted.acl);
    if exposed && hint.no_admin {
        plan.verdict = Verdict::Blocked(EXPOSED.to_owned());
        return plan;
    }
    // The list that is there could not be put back, and no other is known.
    let is_of_a_restore = (asked.guards.hides() && asked.guards.is_just_ours(live))
        || asked
            .unfinished
            .is_some_and(|noted| noted.is_left(&found.stat, live, asked.guards));
    if exposed && keeps && !is_of_a_restore {
        let why = if masked {
            MASKED_AND_EXPOSED
        } else {
            BEGUN_ELSEWHERE
        };
        plan.verdict = Verdict::Blocked(why.to_owned());
        return plan;
    }
    let mut aversion = found.stat.aversion;
    let shut = hint.admit && !hint.no_admin && !keeps && !asked.guards.is_ours(live);
    if exposed || shut {
        plan.steps.push(admit(asked, live, &found.stat, data_differ));
        aversion = aversion.wrapping_add(1);
    }
    if data_differ {
        plan.steps
            .push(set_data(wanted, found.stat.version, Some(Change::Data)));
    }
    if differs || (!keeps && !plan.steps.is_empty() && plan.steps[0].begins.is_some()) {
        let last = FinalAcl {
            acl: wanted.acl.clone(),
            version: aversion,
            counts: differs,
            data: None,
        };
        if asked.parent || !found.children.is_empty() {
            plan.final_acl = Some(last);
        } else {
            plan.steps.push(last.step(&wanted.path));
        }
    }
    match plan.steps.last_mut() {
        _ if plan.final_acl.is_some() => {}
        // Its ACL is its own already.
        Some(step) => step.ends |= !masked && !begun_elsewhere,
        None => plan.verdict = Verdict::Equal,
    }
    plan
}
