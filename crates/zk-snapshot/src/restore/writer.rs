//! Writing many operations at once, and finding out what became of each.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};
use futures::stream::{FuturesOrdered, StreamExt};

use super::error::Stop;
use super::ledger::{Ledger, Unfinished};
use super::places::Places;
use super::plan::{Hint, Step};
use super::surprise::Surprise;
use super::{Change, NotPermitted, Permit, RestoreOptions, RestoreReport};
use crate::tree::{History, WriteError, WriteOp, ZnodePath, ZnodeReader, ZnodeWriter};

/// Calls in flight together.
const IN_FLIGHT: usize = 8;
/// Bytes in one call, until a server shows that it takes less.
const BYTES: usize = 512 << 10;
/// No call is made smaller than this because a connection was lost.
const LEAST_BYTES: usize = 16 << 10;

/// What belongs to an operation that is under way.
pub(super) struct UnderWay {
    pub(super) counts: Option<Change>,
    pub(super) ends: bool,
    /// The steps after it, the next one last.
    then: Vec<Step>,
}

/// Or why the call was not made.
type Outcomes = (
    Vec<WriteOp>,
    Vec<UnderWay>,
    Result<Vec<Result<(), WriteError>>, NotPermitted>,
);

/// Sends operations in batches, several at a time, and counts what became of them.
pub(super) struct Writer<'a, T: ?Sized> {
    live: &'a T,
    dry_run: bool,
    show: usize,
    ledger: &'a Arc<dyn Ledger>,
    permit: &'a Arc<dyn Permit>,
    /// Why a call was not made.
    not_permitted: Option<NotPermitted>,
    /// Where what is renamed goes.
    targets: &'a BTreeMap<ZnodePath, ZnodePath>,
    pub(super) report: RestoreReport,
    pub(super) places: Places,
    pub(super) unfinished: HashMap<ZnodePath, bool>,
    /// Those of them that earlier restores have left.
    pub(super) earlier: HashSet<ZnodePath>,
    ended: Vec<ZnodePath>,
    pub(super) surprises: HashMap<ZnodePath, Surprise>,
    /// Deletions that are to be looked at again.
    pub(super) undeleted: HashSet<ZnodePath>,
    /// Znodes that are to be deleted, and that do not let us look at or delete what is below them, with the `aversion` of
    /// the list that does not.
    pub(super) shut_extras: HashMap<ZnodePath, Option<i32>>,
    /// Znodes whose own ACL must not be set, since something before it failed.
    pub(super) broken: HashSet<ZnodePath>,
    batch: Vec<(WriteOp, UnderWay)>,
    begun: Vec<Unfinished>,
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
            unfinished: unfinished
                .into_iter()
                .map(|one| (one.path, one.created))
                .collect(),
            earlier,
            ended: Vec::new(),
            surprises: HashMap::new(),
            undeleted: HashSet::new(),
            shut_extras: HashMap::new(),
            broken: HashSet::new(),
            is_lost: false,
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
            for step in &steps {
                self.count(step.op.path(), step.counts);
            }
            return Ok(());
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
        if let Some(created) = begins {
            let path = op.path().clone();
            self.begun.push(Unfinished { path, created });
        }
        self.bytes += op.size() + then.iter().map(|step| step.op.size()).sum::<usize>();
        self.batch.push((op, UnderWay { counts, ends, then }));
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
                    Ok(()) => self.succeeded(op.path(), rest.counts, rest.ends),
                    Err(error) => self.report.fail(op.path(), error.to_string()),
                }
            }
        }
    }

    /// Names what may have been written, where the restore ends before that can be looked up.
    pub(super) fn name_unsure(&mut self) {
        let unsure = self.surprises.iter().filter(|(_, known)| known.unsure.is_some());
        let unsure: Vec<_> = unsure.map(|(path, _)| path.clone()).collect();
        for path in unsure.iter().filter(|path| self.places.report(path)) {
            self.report
                .fail(path, "whether it was written is not known".to_owned());
        }
    }

    async fn send(&mut self) -> Result<(), Stop> {
        self.check_refusal()?;
        if !self.batch.is_empty() {
            self.check_permit()?;
        }
        if !self.begun.is_empty() {
            let begun = std::mem::take(&mut self.begun);
            self.ledger.begin(&begun).await?;
            for one in begun {
                self.unfinished.entry(one.path).or_insert(one.created);
            }
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
                    self.succeeded(op.path(), rest.counts, rest.ends);
                    let mut then = rest.then;
                    if let Some(next) = then.pop() {
                        self.add(next, then);
                    }
                }
                Err(error) => self.surprised(&op, &rest, &error, !several),
            }
        }
    }

    fn succeeded(&mut self, path: &ZnodePath, counts: Option<Change>, ends: bool) {
        self.count(path, counts);
        if ends || counts == Some(Change::Delete) {
            self.end(path, ends);
        }
    }

    /// Notes that these are created, and deleted again: what an interruption leaves of them is known.
    pub(super) async fn begin(&mut self, helpers: &[ZnodePath]) -> Result<(), Stop> {
        if self.dry_run || helpers.is_empty() {
            return Ok(());
        }
        let begun = |path: &ZnodePath| Unfinished {
            path: path.clone(),
            created: true,
        };
        let begun: Vec<_> = helpers.iter().map(begun).collect();
        self.ledger.begin(&begun).await?;
        self.unfinished
            .extend(begun.into_iter().map(|one| (one.path, true)));
        Ok(())
    }

    /// Notes that a znode is no longer unfinished, and whether that is because it was `finished`.
    pub(super) fn end(&mut self, path: &ZnodePath, finished: bool) {
        if self.unfinished.remove(path).is_some() {
            self.ended.push(path.clone());
            let earlier = self.earlier.remove(path);
            self.report.finished += u64::from(earlier && finished);
        }
    }

    /// Notes that a znode which was to be deleted is not there.
    pub(super) fn gone(&mut self, path: &ZnodePath) {
        let known = self.surprises.get_mut(path);
        let ours = known.and_then(|known| known.unsure.take());
        self.count(path, ours.filter(|change| *change == Change::Delete));
        self.end(path, false);
    }

    /// Tells the ledger what was finished.
    pub(super) async fn note_ends(&mut self) -> Result<(), Stop> {
        let ended = std::mem::take(&mut self.ended);
        if !ended.is_empty() && !self.dry_run {
            self.ledger.end(&ended).await?;
        }
        Ok(())
    }

    pub(super) fn count(&mut self, path: &ZnodePath, counts: Option<Change>) {
        let Some(change) = counts else { return };
        match change {
            Change::Create => self.report.created += 1,
            Change::Data => self.report.data_changed += 1,
            Change::Acl => self.report.acl_changed += 1,
            Change::Delete => {
                self.report.deleted += 1;
                for to in self.targets.values().filter(|to| path.is_within(to)) {
                    *self.report.deleted_below.entry(to.clone()).or_default() += 1;
                }
            }
        }
        self.report.show(self.show, path, change);
    }
}
