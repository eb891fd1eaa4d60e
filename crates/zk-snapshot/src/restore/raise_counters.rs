//! Raising the counters from which sequential children are numbered, once all children are there.

use std::sync::Arc;

use super::Permit;
use super::counters::{Counter, HELPER, is_helper};
use super::error::Stop;
use super::state::RestoreState;
use crate::archive::RecordSource;
use crate::tree::{
    ClientError, Found, History, Kind, Reading, Stat, WriteError, WriteOp, ZnodePath, ZnodeReader,
    ZnodeWriter,
};

const STUCK: &str = "it was created to raise a counter, and cannot be deleted";
const TAKEN: &str = "it was created to raise a counter, and others have changed it since: it is left to them";
const LEFT_ALONE: &str = "it is left as it is, since the policy says so or it is only above what was asked for, and its counter is lower than in the backup";
const CHANGING: &str = "others change it all the time";
const UNSEEN: &str = "it could not be seen when it was looked at last, so its counter is not known";
/// Parents that are read together. Nothing tells how large they are.
const AT_ONCE: usize = 16;
/// A parent is looked at again this often.
const ATTEMPTS: usize = 3;

/// Why a counter is as it was, or not known to be higher.
enum Low {
    NoAuth,
    Because(String),
    /// It is not what it was when it was planned: gone, or in its place is an ephemeral znode.
    Another,
    /// The child was created, and cannot be deleted.
    Stuck(WriteError),
}

/// Whether a znode is as it was created to raise a counter.
fn is_untouched(found: &Found) -> bool {
    let Stat {
        version, cversion, ..
    } = found.stat;
    found.data.is_empty() && (version, cversion) == (0, 0) && !found.stat.is_ephemeral()
}

impl<T: ZnodeReader + ZnodeWriter + ?Sized> RestoreState<'_, T> {
    /// Raises what is too low, once all children are there.
    pub(super) async fn raise_counters(&mut self, source: &Arc<dyn RecordSource>) -> Result<(), Stop> {
        self.delete_helpers().await?;
        let mut left = self.options.sequence_limit;
        let counters = self.counters.take();
        let refused = self.raise_all(counters, &mut left, false).await?;
        if refused.is_empty() {
            return Ok(());
        }
        for (path, _) in &refused {
            self.writer.admit(path);
        }
        self.plan_again(source).await?;
        for (path, _) in &refused {
            self.counters.forget(path); // it was planned again, and is among those that come now
        }
        self.raise_all(refused, &mut left, true).await.map(drop)
    }

    /// Deletes what earlier restores created to raise a counter, and did not delete. What others have made of it since, or a
    /// znode of theirs that is called as an earlier version called it, is left to them.
    async fn delete_helpers(&mut self) -> Result<(), Stop> {
        let writer = &self.writer;
        let left = writer.earlier.iter().filter(|path| {
            let created = writer.unfinished.get(path).is_some_and(|noted| noted.created);
            created && is_helper(path.name()) && !writer.places.at(path).is_wanted()
        });
        let left: Vec<_> = left.filter(|_| !self.options.dry_run).cloned().collect();
        for path in left {
            let mut readings = self
                .live
                .read_many(std::slice::from_ref(&path), History::Any)
                .await?;
            let found = match readings.pop() {
                Some(Reading::Found(found)) => found,
                Some(Reading::Missing) => {
                    self.writer.end(&path, false);
                    continue;
                }
                _ => continue,
            };
            if is_untouched(&found) && self.may_be_ours(&path).await? {
                match removed(self.live, &path, &*self.options.permit).await? {
                    Ok(()) => self.writer.end(&path, false),
                    Err(error) if self.reported_extras.insert(path.clone()) => {
                        self.writer.report.fail(&path, format!("{STUCK}: {error}"));
                    }
                    Err(_) => {}
                }
                continue;
            }
            if path.name() != HELPER {
                self.writer.report.fail(&path, TAKEN.to_owned());
            }
            self.writer.end(&path, false);
        }
        Ok(())
    }

    /// Whether nobody else can have created it: nobody guesses its name, or it stands under an ACL of ours.
    async fn may_be_ours(&mut self, path: &ZnodePath) -> Result<bool, Stop> {
        if path.name() != HELPER {
            return Ok(true);
        }
        let mut guards = self.live.read_acls(std::slice::from_ref(path)).await?;
        Ok(matches!(guards.pop(), Some(Reading::Found(guard)) if self.guards.is_just_ours(&guard.acl)))
    }

    /// Those are handed back that may be raised once we are admitted to them.
    async fn raise_all(
        &mut self,
        counters: Vec<(ZnodePath, Counter)>,
        left: &mut u64,
        for_the_last_time: bool,
    ) -> Result<Vec<(ZnodePath, Counter)>, Stop> {
        let helpers: Vec<_> = counters
            .iter()
            .filter_map(|(path, _)| path.child(&self.helper).ok())
            .collect();
        self.writer.begin(&helpers).await?;
        let (permit, mut stop) = (&self.options.permit, None);
        let (mut refused, mut stuck_helpers) = (Vec::new(), Vec::new());
        for (path, counter) in counters {
            if let Err(why) = self.writer.check_permit() {
                stop = Some(why);
                break;
            }
            if self.writer.places.at(&path).is_failed() {
                continue; // it is not there, and named
            }
            if for_the_last_time
                && let Ok(child) = path.child(&self.helper)
                && let Err(stuck) = removed(self.live, &child, &**permit).await?
            {
                self.leave(&path, Low::Stuck(stuck));
                stuck_helpers.push(child);
                continue;
            }
            let steps = if self.options.dry_run {
                Ok(counter.lacks())
            } else {
                lacking(self.live, &path, counter.wanted).await?
            };
            let steps = match steps {
                Ok(steps) => steps.unsigned_abs(),
                Err(low) => {
                    self.leave(&path, low);
                    continue;
                }
            };
            self.counters_left.remove(&path); // of an earlier round
            if steps == 0 {
                continue;
            }
            if steps > *left {
                let why = format!("{steps} steps are lacking, and {left} of the limit are left");
                self.counters_left.insert(path, why);
                continue;
            }
            let outcome = if self.options.dry_run {
                Ok(())
            } else {
                raise_one(self.live, (&path, &self.helper), counter.wanted, &**permit).await?
            };
            let may_admit = !for_the_last_time
                && self.writer.places.at(&path).is_wanted()
                && !self.writer.is_tried(&path);
            match outcome {
                Ok(()) => {
                    *left -= steps;
                    self.writer.report.counters_raised += 1;
                    self.writer.report.counter_steps += steps;
                }
                Err(Low::NoAuth) if may_admit => refused.push((path, counter)),
                Err(low) => {
                    if matches!(low, Low::Stuck(_)) {
                        stuck_helpers.extend(path.child(&self.helper));
                    }
                    match low {
                        Low::Stuck(WriteError::NoAuth) if may_admit => refused.push((path, counter)),
                        low => self.leave(&path, low),
                    }
                }
            }
        }
        // Where it is stopped in the last round, some may stand that this one did not come to.
        let is_known = stop.is_none() || !for_the_last_time;
        for helper in helpers
            .iter()
            .filter(|helper| is_known && !stuck_helpers.contains(helper))
        {
            self.writer.end(helper, false);
        }
        stop.map_or(Ok(refused), Err)
    }

    fn leave(&mut self, path: &ZnodePath, low: Low) {
        let why = match low {
            Low::NoAuth => WriteError::NoAuth.to_string(),
            Low::Because(why) => why,
            // It is planned again, and its counter with it.
            Low::Another if self.writer.places.at(path).is_wanted() => {
                return self.writer.places.pend(path, false);
            }
            Low::Another => "it is not there any more".to_owned(),
            Low::Stuck(error) => {
                let why = error.to_string();
                if let Ok(child) = path.child(&self.helper) {
                    self.writer.report.fail(&child, format!("{STUCK}: {why}"));
                }
                why
            }
        };
        self.counters_left.insert(path.clone(), why);
    }

    /// Tells of counters that stay low: those of znodes that are not ours to change, and those that the last round has brought.
    pub(super) async fn tell_low_counters(&mut self) -> Result<(), Stop> {
        for (counters, why) in [
            (self.counters.take_left(), LEFT_ALONE),
            (self.counters.take(), CHANGING),
        ] {
            for some in counters.chunks(AT_ONCE) {
                let paths: Vec<_> = some.iter().map(|(path, _)| path.clone()).collect();
                let mut stats = Vec::new();
                if !self.options.dry_run {
                    self.writer.check_permit()?;
                    stats = self.live.read_many(&paths, History::Any).await?;
                }
                for (index, (path, counter)) in some.iter().enumerate() {
                    let (is_low, why) = match stats.get(index) {
                        Some(Reading::Found(found)) => (found.stat.next_sequence() < counter.wanted, why),
                        // A server may be behind.
                        Some(Reading::Missing | Reading::Denied | Reading::Undecodable(_)) => (true, UNSEEN),
                        None => (counter.lacks() > 0, why),
                    };
                    if is_low {
                        self.counters_left.insert(path.clone(), why.to_owned());
                    }
                }
            }
        }
        Ok(())
    }
}

/// How many creations the znode at `path` lacks, or why that cannot be known.
async fn lacking<T: ZnodeReader + ?Sized>(
    live: &T,
    path: &ZnodePath,
    wanted: i64,
) -> Result<Result<i64, Low>, ClientError> {
    let paths = std::slice::from_ref(path);
    let reading = match live.read_many(paths, History::Any).await?.pop() {
        Some(Reading::Found(found)) => Reading::Found(found.stat),
        // Who may set its ACL may know its `Stat`: it is hidden by an ACL of ours until its own can be set.
        Some(Reading::Denied) => match live.read_acls(paths).await?.pop() {
            Some(Reading::Found(guard)) => Reading::Found(guard.stat),
            Some(Reading::Missing) | None => Reading::Missing,
            Some(Reading::Denied | Reading::Undecodable(_)) => Reading::Denied,
        },
        Some(Reading::Undecodable(why)) => Reading::Undecodable(why),
        Some(Reading::Missing) | None => Reading::Missing,
    };
    Ok(match reading {
        Reading::Found(stat) if stat.is_ephemeral() => Err(Low::Another),
        Reading::Found(stat) => Ok((wanted - stat.next_sequence()).max(0)),
        Reading::Undecodable(why) => Err(Low::Because(why)),
        Reading::Denied => Err(Low::Because("it may not be read".to_owned())),
        Reading::Missing => Err(Low::Another),
    })
}

async fn raise_one<T: ZnodeReader + ZnodeWriter + ?Sized>(
    live: &T,
    (path, helper): (&ZnodePath, &str),
    wanted: i64,
    permit: &dyn Permit,
) -> Result<Result<(), Low>, ClientError> {
    let Ok(child) = path.child(helper) else {
        return Ok(Err(Low::Because("its child has no name there".to_owned())));
    };
    let create = WriteOp::Create {
        path: child.clone(),
        data: Vec::new(),
        acl: live.working_acl(),
        kind: Kind::Persistent,
    };
    let delete = delete(&child);
    let mut last = "it did not rise".to_owned();
    for _ in 0..ATTEMPTS {
        let steps = match lacking(live, path, wanted).await? {
            Ok(0) => return Ok(Ok(())),
            Ok(steps) => usize::try_from(steps).unwrap_or(usize::MAX),
            Err(low) => return Ok(Err(low)),
        };
        if let Err(error) = step(live, &create, &delete, steps, permit).await {
            // It is in the way where this restore could create it and not delete it.
            if let Err(stuck) = removed(live, &child, permit).await? {
                return Ok(Err(Low::Stuck(stuck)));
            }
            if error == WriteError::NoAuth {
                return Ok(Err(Low::NoAuth));
            }
            last = error.to_string();
        }
    }
    match lacking(live, path, wanted).await? {
        Ok(0) => Ok(Ok(())),
        _ => Ok(Err(Low::Because(last))),
    }
}

/// Whether it may be there.
async fn is_there<T: ZnodeReader + ?Sized>(live: &T, path: &ZnodePath) -> Result<bool, ClientError> {
    let readings = live.read_many(std::slice::from_ref(path), History::Any).await?;
    Ok(!matches!(readings.first(), Some(Reading::Missing)))
}

/// Deletes a child that was created to raise a counter, as long as nobody has changed it.
fn delete(path: &ZnodePath) -> WriteOp {
    WriteOp::Delete {
        path: path.clone(),
        version: Some(0),
    }
}

/// Deletes a child that was created to raise a counter, if it is there.
async fn removed<T: ZnodeReader + ZnodeWriter + ?Sized>(
    live: &T,
    child: &ZnodePath,
    permit: &dyn Permit,
) -> Result<Result<(), WriteError>, ClientError> {
    Ok(match deleted(live, &delete(child), permit).await {
        Err(WriteError::NoNode) => Ok(()),
        // Servers look at the parent's list first.
        Err(WriteError::NoAuth) if !is_there(live, child).await? => Ok(()),
        outcome => outcome,
    })
}

/// Deletes, until the outcome is known or that was tried often enough.
async fn deleted<T: ZnodeWriter + ?Sized>(
    live: &T,
    delete: &WriteOp,
    permit: &dyn Permit,
) -> Result<(), WriteError> {
    let mut outcome = Ok(());
    for _ in 0..ATTEMPTS {
        permit.may_write()?;
        outcome = live
            .write_many(std::slice::from_ref(delete))
            .await
            .pop()
            .unwrap_or(Ok(()));
        if !matches!(outcome, Err(WriteError::Unknown(_))) {
            break;
        }
    }
    outcome
}

/// Creates and deletes the child `steps` times.
async fn step<T: ZnodeWriter + ?Sized>(
    live: &T,
    create: &WriteOp,
    delete: &WriteOp,
    steps: usize,
    permit: &dyn Permit,
) -> Result<(), WriteError> {
    let per_call = if live.keeps_order() {
        // One `multi` takes them all, so that nobody sees the child.
        let bytes = 2 * create.path().as_str().len() + 200;
        (live.write_batch() / 2).min((64 << 10) / bytes).max(1)
    } else {
        1
    };
    let mut left = steps;
    while left > 0 {
        permit.may_go_on()?;
        let pairs = left.min(per_call);
        let ops: Vec<_> = (0..pairs)
            .flat_map(|_| [create.clone(), delete.clone()])
            .collect();
        if live.keeps_order() {
            permit.may_write()?;
            for outcome in live.write_many(&ops).await {
                outcome?;
            }
        } else {
            for op in &ops {
                permit.may_write()?;
                for outcome in live.write_many(std::slice::from_ref(op)).await {
                    outcome?;
                }
            }
        }
        left -= pairs;
    }
    Ok(())
}
