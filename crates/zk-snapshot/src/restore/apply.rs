//! Carrying the plan out: records compared with what is live, level by level.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::StreamExt;

use super::counted::{Counted, counted_as, has_own_acl};
use super::error::Stop;
use super::noted::Owed;
use super::plan::{NodePlan, Verdict, plan};
use super::question::{LiveZnode, Question};
use super::report::name_path;
use super::rights::NO_PARENT;
use super::scope::{Placed, ahead};
use super::state::RestoreState;
use super::step::Step;
use super::surprise::is_as_made;
use super::{Change, Policy};
use crate::archive::{Record, RecordSource, Role};
use crate::tree::reserved::is_reserved;
use crate::tree::{Found, Kind, WriteOp, ZnodePath, ZnodeReader, ZnodeWriter};

/// Records that are compared together, in number and in bytes of data.
const TOGETHER: usize = 4_096;
const BYTES_TOGETHER: usize = 16 << 20;
/// How often what did not go as planned is gone through. Each znode gives up long before.
const PASSES: usize = 64;
/// What is to be done about one znode at once.
pub(super) struct Decided {
    pub(super) steps: Vec<Step>,
    /// That lets us look at it, and it is planned again then.
    opens: bool,
}

fn is_ephemeral(live: &LiveZnode) -> bool {
    match live {
        LiveZnode::Found {
            found: Found { stat, .. },
            ..
        }
        | LiveZnode::Hidden(stat)
        | LiveZnode::Shut(stat, _) => stat.is_ephemeral(),
        _ => false,
    }
}

/// Whether a server may have deleted it by itself by `now`.
fn has_passed(record: &Record, now: i64) -> bool {
    match record.stat.kind() {
        Kind::Container => true,
        Kind::Ttl(ttl) => i128::from(record.stat.mtime) + ttl.as_millis().cast_signed() <= i128::from(now),
        Kind::Persistent | Kind::Ephemeral => false,
    }
}

impl<T: ZnodeReader + ZnodeWriter + ?Sized> RestoreState<'_, T> {
    /// Goes through the records that are `wanted`, in the backup's order.
    pub(super) async fn pass(
        &mut self,
        source: &Arc<dyn RecordSource>,
        wanted: impl Fn(&mut Self, &ZnodePath) -> bool,
    ) -> Result<(), Stop> {
        let mut frames = Box::pin(ahead(source, |source, index| source.frame(index)));
        let (mut together, mut bytes): (Vec<Placed>, usize) = (Vec::new(), 0);
        while let Some(records) = frames.next().await {
            for record in records? {
                let Some(placed) = self.scope.place(record) else {
                    continue;
                };
                if wanted(self, &placed.record.path) {
                    bytes += placed.record.data.len();
                    together.push(placed);
                }
            }
            if together.len() >= TOGETHER || bytes >= BYTES_TOGETHER {
                self.compare(std::mem::take(&mut together)).await?;
                if !self.writer.fresh.is_empty() {
                    self.writer.drain().await?;
                    self.identify().await?;
                }
                bytes = 0;
            }
        }
        self.compare(together).await?;
        self.writer.drain().await?;
        self.identify().await
    }

    /// Plans again what met something else than what was read, until nothing does.
    pub(super) async fn plan_again(&mut self, source: &Arc<dyn RecordSource>) -> Result<(), Stop> {
        self.writer.drain().await?;
        while self.writer.places.pending() > 0 && self.passes < PASSES {
            self.passes += 1;
            self.known_above.clear();
            self.pass(source, |run, path| run.writer.places.take(path))
                .await?;
        }
        if self.writer.places.pending() > 0 {
            let why = format!("{} znodes kept changing", self.writer.places.pending());
            self.writer.report.fail(&ZnodePath::root(), why);
        }
        Ok(())
    }

    async fn compare(&mut self, records: Vec<Placed>) -> Result<(), Stop> {
        let mut levels: BTreeMap<usize, Vec<Placed>> = BTreeMap::new();
        for placed in records {
            levels.entry(placed.record.path.depth()).or_default().push(placed);
        }
        for (_, records) in levels {
            self.level(records).await?;
            if std::mem::take(&mut self.admits) || !self.live.keeps_order() {
                self.writer.drain().await?;
            }
        }
        Ok(())
    }

    /// Records of one depth, which cannot depend on each other.
    async fn level(&mut self, records: Vec<Placed>) -> Result<(), Stop> {
        let shown = self.writer.report.differences.len();
        let mut unknown = Vec::with_capacity(records.len());
        for placed in records {
            let path = &placed.record.path;
            let Some(parent) = path.parent() else {
                unknown.push(placed);
                continue;
            };
            let place = self.writer.places.at(&parent);
            if place.is_failed() {
                if placed.record.role == Role::Unreadable {
                    self.note_unknown(&placed, &LiveZnode::Missing);
                } else {
                    self.writer.fail_once(path, NO_PARENT.to_owned());
                }
                self.writer.places.fail(path);
            } else if place.is_shut() || !self.has_way(&parent).await? {
                self.writer.places.pend(path, true);
            } else if (placed.record.role == Role::Unreadable && !self.writer.misses(path))
                || self.is_surely_empty(self.writer.places.at(&parent))
            {
                // Of what the backup does not know nothing needs to be known here either, unless nothing can be created below it.
                self.plan_one(placed, &LiveZnode::Missing).await?;
            } else {
                unknown.push(placed);
            }
        }
        self.look(unknown).await?;
        self.writer.weigh().await?;
        self.writer.report.order(shown, self.options.show);
        Ok(())
    }

    /// Plans one record and begins to carry that out.
    pub(super) async fn plan_one(&mut self, placed: Placed, live: &LiveZnode) -> Result<(), Stop> {
        let steps = self.decide(&placed, live);
        self.carry_out(placed.record.path, steps).await
    }

    /// Begins to do what was decided.
    pub(super) async fn carry_out(&mut self, path: ZnodePath, decided: Decided) -> Result<(), Stop> {
        if decided.opens && self.options.dry_run {
            self.writer.report.unseen += 1;
            return Ok(());
        }
        // A server checks what comes after `setACL` against the old list until the new one is applied.
        self.admits |= decided
            .steps
            .first()
            .is_some_and(|step| matches!(step.op, WriteOp::SetAcl { .. }));
        self.writer.push(decided.steps).await?;
        if decided.opens {
            self.writer.drain().await?;
            let known = self.writer.surprises.entry(path.clone()).or_default();
            known.hint.admit = true;
            known.opened += 1;
            self.writer.places.pend(&path, true);
        }
        Ok(())
    }

    /// Plans one record, and notes what follows from that.
    pub(super) fn decide(&mut self, placed: &Placed, live: &LiveZnode) -> Decided {
        let record = &placed.record;
        let path = &record.path;
        let children = i64::from(self.writer.places.at(path).children());
        if let LiveZnode::Found {
            found: Found { stat, .. },
            ..
        }
        | LiveZnode::Hidden(stat) = live
            && let Some(noted) = self.writer.unfinished.get(path)
            && noted.is_succeeded_by(stat)
        {
            self.writer.end(path, false);
        }
        let unfinished = self.writer.unfinished.get(path);
        let own = unfinished.and_then(|noted| counted_as(noted, live, &self.guards));
        let restores = self.options.policy != Policy::Missing || unfinished.is_some();
        let wanted = match self.options.counters_known {
            true => record.stat.next_sequence(),
            false => 0,
        };
        // What was created below it before may be gone with it.
        let coming = if self.passes == 0 { children } else { 0 };
        let counts = match live {
            LiveZnode::Missing if record.role != Role::Unreadable => wanted > coming,
            LiveZnode::Found { found, .. }
                if restores && (record.role == Role::Captured || unfinished.is_some()) =>
            {
                wanted > found.stat.next_sequence()
            }
            LiveZnode::Hidden(stat) => wanted > stat.next_sequence(),
            _ => false,
        };
        let mut plan = plan(&Question {
            wanted: record,
            live,
            policy: self.options.policy,
            parent: children > 0 || (counts && self.options.sequence_limit > 0),
            above: self.scope.is_missing_above(path),
            from: placed.from.as_ref(),
            unfinished,
            hint: self.writer.hint(path),
            guards: &self.guards,
        });
        let landed = self.note(placed, live, &plan);
        if landed == Some(Change::Create) {
            self.writer.places.create(path);
        }
        let is_made = self.writer.places.at(path).is_created() && is_as_made(record, live);
        let ours = is_made || plan.verdict != Verdict::LeftAlone;
        let low = match live {
            LiveZnode::Found { found, .. } => wanted > found.stat.next_sequence(),
            _ => counts,
        };
        plan.count_as(match landed {
            Some(Change::Create) => Some(Counted::Created),
            _ => own,
        });
        // Our list is its own one, and its answer was lost.
        if matches!(own, Some(Counted::Admitted(Owed { acl: true, .. })))
            && landed != Some(Change::Acl)
            && has_own_acl(record, live)
        {
            self.writer.count(path, Some(Change::Acl));
            if let Some(owed) = self.writer.owed(path) {
                owed.acl = false;
            }
        }
        let opens = plan.verdict == Verdict::Open;
        let steps = std::mem::take(&mut plan.steps);
        self.note_what_follows(path, live, plan, (wanted, coming, low, ours));
        Decided { steps, opens }
    }

    /// What comes when nothing is left to be done below it: its own ACL, and a counter that is to be `wanted`, where it is `low`. Where the znode
    /// is not `ours` to change the counter is only told of.
    fn note_what_follows(
        &mut self,
        path: &ZnodePath,
        live: &LiveZnode,
        plan: NodePlan,
        (wanted, coming, low, ours): (i64, i64, bool, bool),
    ) {
        // What an earlier plan had left for the end is of another state.
        self.final_acls.remove(path);
        self.counters.forget(path);
        if matches!(plan.verdict, Verdict::Change) {
            match live {
                LiveZnode::Missing => {
                    self.counters.child_created(path);
                    self.counters.want(path, wanted, coming, 0);
                    self.writer.places.create(path);
                }
                LiveZnode::Found {
                    found: Found { stat, .. },
                    ..
                }
                | LiveZnode::Hidden(stat) => {
                    let there = stat.next_sequence();
                    if low {
                        self.counters.want(path, wanted, there, there);
                    }
                }
                _ => {}
            }
            if let Some(last) = plan.final_acl {
                self.final_acls.insert(path.clone(), last);
            }
        } else if low
            && matches!(plan.verdict, Verdict::Equal | Verdict::LeftAlone)
            && let LiveZnode::Found { found, .. } = live
        {
            let there = found.stat.next_sequence();
            if ours {
                self.counters.want(path, wanted, there, there);
            } else if !is_reserved(path) {
                self.counters.leave(path, wanted, there);
            }
        }
    }

    /// Counts what the backup does not know, and whether something can be created below it.
    fn note_unknown(&mut self, placed: &Placed, live: &LiveZnode) {
        let path = &placed.record.path;
        if self.writer.places.report(path) {
            self.writer.report.unknown += 1;
            name_path(&mut self.writer.report.unknown_paths, path);
            if placed.named {
                let why = "it was asked for by name, and the backup could not read it";
                self.writer.report.fail(path, why.to_owned());
            }
        }
        if matches!(live, LiveZnode::Missing) && self.writer.misses(path) {
            self.writer.places.fail(path);
        }
    }

    /// Counts what is known by now, and answers what was done by a write whose answer was lost.
    fn note(&mut self, placed: &Placed, live: &LiveZnode, plan: &NodePlan) -> Option<Change> {
        let record = &placed.record;
        let path = &record.path;
        let surprise = self.writer.surprises.get_mut(path);
        let met = surprise.as_ref().is_some_and(|known| known.met);
        let landed = surprise.and_then(|known| known.resolve(record, live, plan));
        if let Some(why) = plan.failure()
            && self.writer.places.report(path)
        {
            self.writer.report.fail(path, why.to_owned());
        }
        self.writer.count(path, landed);
        if self.options.dry_run && is_ephemeral(live) && matches!(plan.verdict, Verdict::Blocked(_)) {
            self.writer.places.fail(path); // nothing can be created below it
        }
        match plan.verdict {
            Verdict::Equal | Verdict::LeftAlone if landed.is_some() => {}
            Verdict::Equal | Verdict::LeftAlone => {
                let before = self.writer.places.same(path, true);
                self.writer.report.unchanged += u64::from(!before);
            }
            Verdict::Unknown => self.note_unknown(placed, live),
            Verdict::Change if matches!(live, LiveZnode::Missing) => {
                self.writer.report.created_passing += u64::from(has_passed(record, self.options.now));
            }
            Verdict::Change | Verdict::Open | Verdict::Blocked(_) => {}
        }
        if self.passes > 0
            && !matches!(plan.verdict, Verdict::Equal | Verdict::LeftAlone)
            && self.writer.places.same(path, false)
        {
            self.writer.report.unchanged -= 1; // it was, when it was looked at first
        }
        if plan.verdict == Verdict::LeftAlone && met {
            self.writer.report.met += 1;
            name_path(&mut self.writer.report.met_paths, path);
        }
        let is_over = match plan.verdict {
            Verdict::Equal => !plan.masked && !plan.begun_elsewhere,
            // What could not be put back is noted until it is.
            Verdict::LeftAlone => {
                let noted = self.writer.unfinished.get(path);
                !plan.begun_elsewhere && noted.is_none_or(|noted| noted.opened.is_none())
            }
            _ => false,
        };
        if is_over {
            self.writer.end(path, plan.verdict == Verdict::Equal);
        }
        if record.role == Role::Captured
            && self.options.policy == Policy::Replace
            && !matches!(plan.verdict, Verdict::Blocked(_))
            && let LiveZnode::Found { found, .. } = live
        {
            let children = found.children.iter().filter_map(|name| path.child(name).ok());
            let places = &self.writer.places;
            self.extras
                .extend(children.filter(|child| self.scope.may_delete(places, child)));
        }
        landed
    }
}
