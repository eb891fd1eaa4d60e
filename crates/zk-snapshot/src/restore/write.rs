//! Writing many operations at once, and finding out what became of each.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesOrdered, StreamExt};

use super::ledger::{Ledger, Unfinished};
use super::places::Places;
use super::plan::{Hint, Step};
use super::{Change, RestoreOptions, RestoreReport, Stop};
use crate::{History, WriteError, WriteOp, ZnodePath, ZnodeReader, ZnodeWriter};

/// Calls in flight together.
const IN_FLIGHT: usize = 8;
/// Bytes in one call, until a server shows that it takes less.
const BYTES: usize = 512 << 10;
/// No call is made smaller than this because a connection was lost.
const LEAST_BYTES: usize = 16 << 10;
/// A znode is planned again this often because of what came between.
pub(super) const TRIES: u8 = 4;
/// A request that loses the connection by itself is sent again this often.
const LOST_ALONE: u8 = 3;

const TOO_LARGE: &str =
    "each request for it loses the connection: it may be larger than the server's jute.maxbuffer allows";

/// What belongs to an operation that is under way.
struct Rest {
    counts: Option<Change>,
    ends: bool,
    /// The steps after it, the next one last.
    then: Vec<Step>,
}

type Outcomes = (Vec<WriteOp>, Vec<Rest>, Vec<Result<(), WriteError>>);

/// What is known of a znode whose writes did not go as planned.
#[derive(Debug, Default)]
pub(super) struct Surprise {
    pub(super) hint: Hint,
    tries: u8,
    /// Its request was one of several that a connection was lost with, or the only one: it goes out alone.
    alone: bool,
    lost_alone: u8,
    /// How often it was opened to us, so that it could be looked at.
    pub(super) opened: u8,
    /// Somebody else had created it.
    pub(super) met: bool,
    /// What may have been done all the same.
    pub(super) unsure: Option<Change>,
}

/// Sends operations in batches, several at a time, and counts what became of them.
pub(super) struct Writer<'a, T: ?Sized> {
    live: &'a T,
    dry_run: bool,
    show: usize,
    ledger: &'a Arc<dyn Ledger>,
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
    batch: Vec<(WriteOp, Rest)>,
    begun: Vec<Unfinished>,
    bytes: usize,
    limit: usize,
    /// The last request that went out alone lost the connection.
    is_lost: bool,
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
                self.live
                    .read_many(std::slice::from_ref(first.op.path()), History::Any)
                    .await?;
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
        self.bytes += size(&op) + then.iter().map(|step| size(&step.op)).sum::<usize>();
        self.batch.push((op, Rest { counts, ends, then }));
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

    /// Waits for what is under way when nothing more can be sent, so that the report says what was done.
    pub(super) async fn abandon(&mut self) {
        self.batch.clear();
        while let Some((ops, rests, outcomes)) = self.in_flight.next().await {
            for ((op, rest), outcome) in ops.into_iter().zip(rests).zip(outcomes) {
                match outcome {
                    Ok(()) => self.succeeded(op.path(), rest.counts, rest.ends),
                    Err(error) => self.report.fail(op.path(), error.to_string()),
                }
            }
        }
    }

    async fn send(&mut self) -> Result<(), Stop> {
        if !self.begun.is_empty() {
            let begun = std::mem::take(&mut self.begun);
            self.ledger.begin(&begun).await?;
            for one in begun {
                self.unfinished.entry(one.path).or_insert(one.created);
            }
        }
        self.bytes = 0;
        let live = self.live;
        let mut waiting = std::mem::take(&mut self.batch).into_iter().peekable();
        while waiting.peek().is_some() {
            let (mut ops, mut rests, mut bytes) = (Vec::new(), Vec::new(), 0);
            while let Some((op, _)) = waiting.peek()
                && (ops.is_empty() || (ops.len() < live.write_batch() && bytes + size(op) <= self.limit))
            {
                bytes += size(op);
                if let Some((op, rest)) = waiting.next() {
                    ops.push(op);
                    rests.push(rest);
                }
            }
            let call = async move {
                let outcomes = live.write_many(&ops).await;
                (ops, rests, outcomes)
            };
            self.in_flight.push_back(call.boxed());
        }
        Ok(())
    }

    fn judge(&mut self, (ops, rests, outcomes): Outcomes) {
        let several = ops.len() > 1;
        let lost = |outcome: &Result<(), WriteError>| matches!(outcome, Err(WriteError::Unknown(_)));
        if several && outcomes.iter().any(lost) {
            let bytes: usize = ops.iter().map(size).sum();
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
    pub(super) async fn tell_ends(&mut self) -> Result<(), Stop> {
        let ended = std::mem::take(&mut self.ended);
        if !ended.is_empty() && !self.dry_run {
            self.ledger.end(&ended).await?;
        }
        Ok(())
    }

    /// What is to be done about a write that was not carried out, or may not have been.
    fn surprised(&mut self, op: &WriteOp, rest: &Rest, error: &WriteError, alone: bool) {
        let path = op.path();
        if matches!(op, WriteOp::Delete { .. }) {
            return self.not_deleted(path, error);
        }
        let creates = matches!(op, WriteOp::Create { .. });
        if !self.places.at(path).is_wanted() {
            // What is above a renamed subtree, or is to be deleted: what depends on it meets the same.
            if creates {
                self.ask_the_parent(path, error);
            }
            return;
        }
        // Who does not let us create is the parent, and it may be gone.
        let admissible = creates && self.ask_the_parent(path, error);
        self.is_lost |= alone && matches!(error, WriteError::Unknown(_));
        if creates && *error == WriteError::NoAuth && !admissible {
            return self.give_up(op, error.to_string());
        }
        let known = self.surprises.entry(path.clone()).or_default();
        let mut why = None;
        match (error, op) {
            (WriteError::Unknown(_), _) => {
                known.unsure = known.unsure.or(rest.counts);
                known.alone = true;
                known.lost_alone += u8::from(alone);
                if known.lost_alone >= LOST_ALONE {
                    why = Some(TOO_LARGE.to_owned());
                } else if alone && creates {
                    known.hint.split = true;
                }
            }
            (WriteError::NodeExists, _) => known.met = true,
            (WriteError::NoNode | WriteError::Changed, _) => {}
            (WriteError::NoAuth, WriteOp::Create { .. }) if admissible => {}
            (WriteError::NoAuth, WriteOp::SetData { .. }) if !known.hint.admit => known.hint.admit = true,
            (WriteError::NoAuth, WriteOp::SetAcl { .. }) if !rest.ends && !known.hint.no_admin => {
                known.hint.no_admin = true;
            }
            (other, _) => why = Some(other.to_string()),
        }
        known.tries += u8::from(!matches!(error, WriteError::Unknown(_)));
        if why.is_none() && known.tries >= TRIES {
            why = Some(format!("{error}; others keep changing it"));
        }
        match why {
            None => self.places.pend(path, creates),
            Some(why) => self.give_up(op, why),
        }
    }

    fn give_up(&mut self, op: &WriteOp, why: String) {
        let path = op.path();
        if self.places.tell(path) {
            self.report.fail(path, why);
        }
        if matches!(op, WriteOp::Create { .. }) {
            self.places.fail(path);
        } else {
            self.broken.insert(path.clone());
        }
    }

    /// Has the parent of a znode that could not be created planned again, if that may help. `false` if we may not create
    /// there, and nothing is left to be done about it.
    fn ask_the_parent(&mut self, path: &ZnodePath, error: &WriteError) -> bool {
        let is_ours =
            |parent: &ZnodePath| self.places.at(parent).is_wanted() && !self.places.at(parent).is_failed();
        let Some(parent) = path.parent().filter(is_ours) else {
            return false;
        };
        match error {
            WriteError::NoNode | WriteError::EphemeralParent => self.places.pend(&parent, false),
            // Those that went out together with the first to be refused get a second try.
            WriteError::NoAuth if self.is_tried(&parent) => {
                return self.surprises.get(path).is_none_or(|known| known.tries == 0);
            }
            WriteError::NoAuth => self.admit(&parent),
            _ => {}
        }
        true
    }

    fn not_deleted(&mut self, path: &ZnodePath, error: &WriteError) {
        let known = self.surprises.entry(path.clone()).or_default();
        known.tries += 1;
        match error {
            WriteError::NoNode => return self.gone(path),
            WriteError::Unknown(_) => {
                known.unsure = Some(Change::Delete);
                known.alone = true;
            }
            _ => {}
        }
        let tries = known.tries;
        if *error == WriteError::NoAuth
            && let Some(parent) = path.parent()
        {
            if self.is_tried(&parent) && tries > 1 {
                return self.report.fail(path, error.to_string());
            }
            if self.places.at(&parent).is_wanted() {
                self.admit(&parent);
            } else {
                self.surprises.entry(parent.clone()).or_default().hint.admit = true;
                self.shut_extras.insert(parent, None);
            }
        }
        if tries >= TRIES || matches!(error, WriteError::Refused(_)) {
            self.report.fail(path, error.to_string());
        } else {
            self.undeleted.insert(path.clone());
        }
    }

    /// Has the znode at `path` planned again so that we may do everything below it.
    pub(super) fn admit(&mut self, path: &ZnodePath) {
        self.surprises.entry(path.clone()).or_default().hint.admit = true;
        self.places.pend(path, false);
    }

    /// Whether admitting ourselves was tried there.
    pub(super) fn is_tried(&self, path: &ZnodePath) -> bool {
        self.hint(path).admit
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

fn size(op: &WriteOp) -> usize {
    let acl = |acl: &crate::Acl| -> usize {
        acl.entries()
            .iter()
            .map(|e| e.scheme.len() + e.id.len() + 12)
            .sum()
    };
    let body = match op {
        WriteOp::Create { data, acl: list, .. } => data.len() + acl(list),
        WriteOp::SetData { data, .. } => data.len(),
        WriteOp::SetAcl { acl: list, .. } => acl(list),
        WriteOp::Delete { .. } => 0,
    };
    op.path().as_str().len() + body + 32
}
