//! Writing many operations at once, and finding out what became of each.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};
use futures::stream::{FuturesOrdered, StreamExt};

use super::error::Stop;
use super::ledger::Ledger;
use super::noted::{Begins, Noted};
use super::places::Places;
use super::question::Hint;
use super::rights::{Planned, Rights};
use super::step::{FinalAcl, Step};
use super::surprise::Surprise;
use super::{Change, NotPermitted, Permit, RestoreOptions, RestoreReport};
use crate::tree::{AclFound, History, WriteError, WriteOp, ZnodePath, ZnodeReader, ZnodeWriter};

/// Calls in flight together.
const IN_FLIGHT: usize = 8;
/// Bytes in one call, until a server shows that it takes less.
const BYTES: usize = 512 << 10;
/// No call is made smaller than this because a connection was lost.
const LEAST_BYTES: usize = 16 << 10;

/// What belongs to an operation that is under way.
pub(super) struct UnderWay {
    pub(super) counts: Option<Change>,
    pub(super) begins: Option<Began>,
    /// What was noted of it before it begins that.
    pub(super) before: Option<Noted>,
    pub(super) ends: bool,
    /// The steps after it, the next one last.
    then: Vec<Step>,
}

/// What an operation begins: see [`Begins`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Began {
    Created,
    Admitted,
    Opened,
}

/// What is known of a working ACL that went out for a znode which the backup lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    Sent,
    Unsure,
    Done,
}

/// Or why the call was not made.
type Outcomes = (
    Vec<WriteOp>,
    Vec<UnderWay>,
    Result<Vec<Result<(), WriteError>>, NotPermitted>,
);

/// Sends operations in batches, several at a time, and counts what became of them.
pub(super) struct Writer<'a, T: ?Sized> {
    pub(super) live: &'a T,
    pub(super) dry_run: bool,
    show: usize,
    pub(super) ledger: &'a Arc<dyn Ledger>,
    permit: &'a Arc<dyn Permit>,
    /// Why a call was not made.
    not_permitted: Option<NotPermitted>,
    /// Where what is renamed goes.
    targets: &'a BTreeMap<ZnodePath, ZnodePath>,
    pub(super) report: RestoreReport,
    pub(super) places: Places,
    pub(super) unfinished: HashMap<ZnodePath, Noted>,
    /// Those of them that earlier restores have left.
    pub(super) earlier: HashSet<ZnodePath>,
    pub(super) ended: Vec<ZnodePath>,
    /// Of which what was noted last was not begun after all.
    pub(super) not_begun: Vec<ZnodePath>,
    /// Those that it has created, and of which it is not known yet which znodes they are.
    pub(super) fresh: Vec<ZnodePath>,
    pub(super) surprises: HashMap<ZnodePath, Surprise>,
    /// Deletions that are to be looked at again.
    pub(super) undeleted: HashSet<ZnodePath>,
    /// Znodes that the backup lacks, and that cannot be deleted: told, and not tried again.
    pub(super) stuck: HashSet<ZnodePath>,
    /// Znodes that the backup lacks, and that do not let us look at or delete what is below them, with the list that does
    /// not where it was read.
    pub(super) shut_extras: BTreeMap<ZnodePath, Option<AclFound>>,
    /// Those of them that this restore has opened, and that are still there as far as is known.
    pub(super) opened: BTreeMap<ZnodePath, Opening>,
    /// Znodes whose own ACL must not be set, since something before it failed.
    pub(super) broken: HashSet<ZnodePath>,
    /// What was created above a renamed subtree and has not got its own ACL, or may not have got it.
    pub(super) unguarded: BTreeMap<ZnodePath, (FinalAcl, WriteError)>,
    /// Of a dry run that asks what the live ACLs let us do.
    pub(super) rights: Option<Rights>,
    pub(super) planned: Vec<Planned>,
    batch: Vec<(WriteOp, UnderWay)>,
    begun: Vec<(ZnodePath, Noted)>,
    bytes: usize,
    limit: usize,
    /// The last request that went out alone lost the connection.
    pub(super) is_lost: bool,
    in_flight: FuturesOrdered<BoxFuture<'a, Outcomes>>,
}

impl<'a, T: ZnodeReader + ZnodeWriter + ?Sized> Writer<'a, T> {
    pub(super) fn new(live: &'a T, options: &'a RestoreOptions, places: Places) -> Result<Self, Stop> {
        let unfinished = options.ledger.unfinished()?;
        let earlier = unfinished.iter().map(|one| one.path.clone()).collect();
        Ok(Self {
            live,
            dry_run: options.dry_run,
            show: options.show,
            ledger: &options.ledger,
            permit: &options.permit,
            not_permitted: None,
            targets: &options.renames,
            report: RestoreReport::default(),
            places,
            unfinished: unfinished.into_iter().map(Noted::earlier).collect(),
            earlier,
            ended: Vec::new(),
            not_begun: Vec::new(),
            fresh: Vec::new(),
            surprises: HashMap::new(),
            undeleted: HashSet::new(),
            stuck: HashSet::new(),
            shut_extras: BTreeMap::new(),
            opened: BTreeMap::new(),
            broken: HashSet::new(),
            unguarded: BTreeMap::new(),
            is_lost: false,
            rights: None,
            planned: Vec::new(),
            batch: Vec::new(),
            begun: Vec::new(),
            bytes: 0,
            limit: BYTES,
            in_flight: FuturesOrdered::new(),
        })
    }

    /// Ends the restore where it may not go on, or could not write.
    pub(super) fn check_permit(&mut self) -> Result<(), Stop> {
        self.check_refusal()?;
        self.permit.may_go_on().map_err(Stop::NotPermitted)
    }

    /// Ends the restore where it could not write.
    pub(super) fn check_refusal(&mut self) -> Result<(), Stop> {
        self.not_permitted
            .take()
            .map_or(Ok(()), |why| Err(Stop::NotPermitted(why)))
    }

    pub(super) fn hint(&self, path: &ZnodePath) -> Hint {
        self.surprises
            .get(path)
            .map(|known| known.hint)
            .unwrap_or_default()
    }

    /// Adds the steps of one znode. The first goes out after what was added before, where the client keeps the order;
    /// each other one when the one before it is done.
    pub(super) async fn push(&mut self, mut steps: Vec<Step>) -> Result<(), Stop> {
        if self.dry_run {
            return self.plan_dry(&steps).await;
        }
        steps.reverse();
        let Some(first) = steps.pop() else { return Ok(()) };
        let alone = self
            .surprises
            .get(first.op.path())
            .is_some_and(|known| known.alone);
        if alone {
            self.drain().await?;
            if std::mem::take(&mut self.is_lost) {
                // Whether there is an ensemble at all is known in the time of one request.
                self.live.read_many(&[ZnodePath::root()], History::Any).await?;
            }
            self.add(first, steps);
            return self.drain().await;
        }
        self.add(first, steps);
        if self.batch.len() >= self.live.write_batch().max(1) || self.bytes >= self.limit {
            self.send().await?;
            // Let it go out at once, and see what has come back.
            while let Some(Some(outcomes)) = self.in_flight.next().now_or_never() {
                self.judge(outcomes);
            }
            while self.in_flight.len() >= IN_FLIGHT {
                let Some(outcomes) = self.in_flight.next().await else {
                    break;
                };
                self.judge(outcomes);
            }
        }
        Ok(())
    }

    fn add(&mut self, step: Step, then: Vec<Step>) {
        let Step {
            op,
            counts,
            begins,
            ends,
        } = step;
        let began = begins.as_ref().map(|begins| match begins {
            Begins::Created { .. } => Began::Created,
            Begins::Admitted { .. } | Begins::Narrowed { .. } => Began::Admitted,
            Begins::Opened { .. } => Began::Opened,
        });
        let mut before = None;
        if let Some(begins) = begins {
            let path = op.path().clone();
            before = self.unfinished.get(&path).cloned();
            let anonymous = self.live.working_acl().lets_anyone_read();
            let noted = Noted::begun(begins, before.as_ref(), anonymous);
            if began == Some(Began::Opened) {
                self.opened.entry(path.clone()).or_insert(Opening::Sent);
            }
            self.begun.push((path, noted));
        }
        self.bytes += op.size() + then.iter().map(|step| step.op.size()).sum::<usize>();
        let rest = UnderWay {
            counts,
            begins: began,
            before,
            ends,
            then,
        };
        self.batch.push((op, rest));
    }

    /// Waits for `work`, and drives what is under way meanwhile: a request that nobody drives may hold what another one
    /// waits for.
    pub(super) async fn beside<F: Future>(&mut self, work: F) -> F::Output {
        let mut work = pin!(work);
        loop {
            if self.in_flight.is_empty() {
                return work.await;
            }
            match select(work.as_mut(), self.in_flight.next()).await {
                Either::Left((done, _)) => return done,
                Either::Right((Some(outcomes), _)) => self.judge(outcomes),
                Either::Right((None, _)) => {}
            }
        }
    }

    /// Waits until the outcome of everything is known, and of what follows from it.
    pub(super) async fn drain(&mut self) -> Result<(), Stop> {
        self.weigh().await?;
        loop {
            self.send().await?;
            let Some(outcomes) = self.in_flight.next().await else {
                return Ok(());
            };
            self.judge(outcomes);
        }
    }

    /// Waits for what is under way when nothing more can be sent, so that the report says what was done, and what may have
    /// been.
    pub(super) async fn abandon(&mut self) {
        self.batch.clear();
        while let Some((ops, rests, outcomes)) = self.in_flight.next().await {
            for ((op, rest), outcome) in ops.into_iter().zip(rests).zip(outcomes.unwrap_or_default()) {
                match outcome {
                    Ok(()) => self.succeeded(&op, &rest),
                    Err(error) if rest.begins == Some(Began::Opened) => self.not_opened(op.path(), &error),
                    Err(error) => {
                        self.not_admitted(op.path(), &rest, &error);
                        self.fail_once(op.path(), error.to_string());
                    }
                }
            }
        }
    }

    async fn send(&mut self) -> Result<(), Stop> {
        self.check_refusal()?;
        if !self.batch.is_empty() {
            self.check_permit()?;
        }
        if !self.begun.is_empty() {
            let begun = std::mem::take(&mut self.begun);
            let notes: Vec<_> = begun.iter().map(|(path, noted)| noted.note(path)).collect();
            self.ledger.begin(&notes).await?;
            self.unfinished.extend(begun);
        }
        self.bytes = 0;
        let (live, permit) = (self.live, self.permit);
        let mut waiting = std::mem::take(&mut self.batch).into_iter().peekable();
        while waiting.peek().is_some() {
            let (mut ops, mut rests, mut bytes) = (Vec::new(), Vec::new(), 0);
            while let Some((op, _)) = waiting.peek()
                && (ops.is_empty() || (ops.len() < live.write_batch() && bytes + op.size() <= self.limit))
            {
                bytes += op.size();
                if let Some((op, rest)) = waiting.next() {
                    ops.push(op);
                    rests.push(rest);
                }
            }
            let call = async move {
                let outcomes = match permit.may_write() {
                    Ok(()) => Ok(live.write_many(&ops).await),
                    Err(why) => Err(why),
                };
                (ops, rests, outcomes)
            };
            self.in_flight.push_back(call.boxed());
        }
        Ok(())
    }

    fn judge(&mut self, (ops, rests, outcomes): Outcomes) {
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            Err(why) => {
                self.not_permitted.get_or_insert(why);
                return;
            }
        };
        let several = ops.len() > 1;
        let lost = |outcome: &Result<(), WriteError>| matches!(outcome, Err(WriteError::Unknown(_)));
        if several && outcomes.iter().any(lost) {
            let bytes: usize = ops.iter().map(WriteOp::size).sum();
            self.limit = self.limit.min((bytes / 2).max(LEAST_BYTES));
        }
        for ((op, rest), outcome) in ops.into_iter().zip(rests).zip(outcomes) {
            match outcome {
                Ok(()) => {
                    self.succeeded(&op, &rest);
                    let mut then = rest.then;
                    if let Some(next) = then.pop() {
                        self.add(next, then);
                    }
                }
                Err(error) => self.surprised(&op, &rest, &error, !several),
            }
        }
    }

    fn succeeded(&mut self, op: &WriteOp, rest: &UnderWay) {
        let path = op.path();
        if matches!(op, WriteOp::SetData { .. })
            && let Some(noted) = self.unfinished.get_mut(path)
        {
            noted.written += 1;
        }
        self.count(path, rest.counts);
        if let Some(known) = self.surprises.get_mut(path)
            && known.unsure == rest.counts
        {
            known.unsure = None; // it is counted
        }
        if rest.counts == Some(Change::Data)
            && let Some(owed) = self.owed(path)
        {
            owed.data = false;
        }
        match rest.begins {
            Some(Began::Created) => {
                if let Some(noted) = self.unfinished.get_mut(path) {
                    noted.made = true;
                }
                self.fresh.push(path.clone());
            }
            Some(Began::Opened) => drop(self.opened.insert(path.clone(), Opening::Done)),
            Some(Began::Admitted) | None => {}
        }
        if rest.ends || rest.counts == Some(Change::Delete) {
            self.end(path, rest.ends);
        }
    }

    pub(super) fn count(&mut self, path: &ZnodePath, counts: Option<Change>) {
        let Some(change) = counts else { return };
        match change {
            Change::Create => self.report.created += 1,
            Change::Data => self.report.data_changed += 1,
            Change::Acl => self.report.acl_changed += 1,
            Change::Delete => {
                self.report.deleted += 1;
                let targets = self.targets.iter();
                for (_, to) in targets.filter(|(from, to)| from != to && path.is_within(to)) {
                    *self.report.deleted_below.entry(to.clone()).or_default() += 1;
                }
            }
        }
        self.report.show(self.show, path, change);
    }
}
