//! The end of a capture: what became of the znodes that were looked at again, and what it all adds up to.

use super::second_look::{AT_ONCE, BYTES_AT_ONCE};
use super::state::{CaptureState, Revisit};
use super::visit::{EPHEMERAL, GONE, UNREADABLE, length, record, unreadable};
use super::{CaptureError, CaptureSummary, Consistency, Portion};
use crate::archive::{Amendment, Record, Role};
use crate::tree::{ClientError, Found, History, Reading, ZnodePath};

impl CaptureState<'_> {
    /// Sends the amendments and adds everything up.
    pub(super) async fn finish(
        mut self,
        mut consistency: Consistency,
    ) -> Result<CaptureSummary, CaptureError> {
        if consistency == Consistency::Consistent {
            self.summary.ancestors_apart = self.ancestors_apart().await?;
        }
        let mut waiting = std::mem::take(&mut self.revisited).into_iter().peekable();
        while waiting.peek().is_some() {
            let (mut some, mut bytes) = (Vec::new(), 0);
            while some.len() < AT_ONCE
                && bytes < BYTES_AT_ONCE
                && let Some((path, later)) = waiting.next()
            {
                if let Some(Revisit::Dropped(_, _, length)) = &later {
                    bytes += *length as usize;
                }
                some.push((path, later));
            }
            if !self.fetch(&mut some).await? {
                consistency = Consistency::Fuzzy;
            }
            let mut amendments = Vec::with_capacity(some.len());
            for (path, mut later) in some {
                // Its parent went, and both came again, between two reads of the last look.
                if later.is_some() && self.is_orphan(&path) {
                    later = None;
                    consistency = Consistency::Fuzzy;
                }
                amendments.extend(self.amendment(path, later)?);
            }
            if !amendments.is_empty() {
                self.send(Portion::Amendments(amendments)).await?;
            }
        }
        self.check_asked()?;
        self.count_refused_names();
        let mut summary = CaptureSummary {
            consistency,
            counters_known: !self.is_keeper(),
            ..self.summary
        };
        if consistency == Consistency::Consistent {
            (summary.moving, summary.moving_paths) = (0, Vec::new());
        } else if summary.moving == 0
            && let Some(path) = self.unverified
        {
            (summary.moving, summary.moving_paths) = (1, vec![path]);
        }
        for seen in self.seen.numbers() {
            match seen {
                EPHEMERAL => summary.ephemerals_skipped += 1,
                UNREADABLE | GONE => {}
                length => {
                    summary.znodes += 1;
                    summary.bytes += u64::from(length - 1);
                }
            }
        }
        Ok(summary)
    }

    /// Whether each znode that was asked for by name is there, also within another one: each was met, or nobody can say.
    fn check_asked(&mut self) -> Result<(), CaptureError> {
        for path in self.asked {
            let mut above = std::iter::successors(path.parent(), ZnodePath::parent);
            match self.seen.get(&self.keys.path(path)) {
                0 if above.any(|path| self.seen.get(&self.keys.path(&path)) == UNREADABLE) => {
                    self.unreadable(path);
                }
                0 | EPHEMERAL | GONE => return Err(CaptureError::NoSuchRoot(path.clone())),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether its parent, which has been judged by now, is not kept.
    fn is_orphan(&self, path: &ZnodePath) -> bool {
        let parent = path.parent().filter(|_| !self.roots.contains(path));
        parent.is_some_and(|parent| matches!(self.seen.get(&self.keys.path(&parent)), 0 | EPHEMERAL | GONE))
    }

    /// Reads the data that were dropped. What has the data that it had is kept as it was with them, its list included.
    /// `false` if one is not what it was: then what is there now is taken.
    async fn fetch(&mut self, some: &mut [(ZnodePath, Option<Revisit>)]) -> Result<bool, ClientError> {
        let dropped = |later: &Option<Revisit>| matches!(later, Some(Revisit::Dropped(..)));
        let paths = some.iter().filter(|(_, later)| dropped(later));
        let paths: Vec<_> = paths.map(|(path, _)| path.clone()).collect();
        if paths.is_empty() {
            return Ok(true);
        }
        let mut readings = self.reader.read_many(&paths, History::One).await?.into_iter();
        let mut all_same = true;
        for (path, later) in some {
            let Some(Revisit::Dropped(then, acl, _)) = later else {
                continue;
            };
            let reading = readings.next().unwrap_or(Reading::Missing);
            let is_same = matches!(&reading, Reading::Found(now)
                if (now.stat.czxid, now.stat.mzxid) == (then.stat.czxid, then.stat.mzxid));
            if !is_same {
                all_same = false;
                self.unverified = Some(path.clone());
            }
            *later = match reading {
                Reading::Found(now) => {
                    if !is_same && !then.stat.same_acl(&now.stat) {
                        *acl = match self.reader.read_acls(std::slice::from_ref(path)).await?.pop() {
                            Some(Reading::Found(guard)) if guard.stat.same_acl(&now.stat) => Some(guard.acl),
                            _ => None,
                        };
                    }
                    let found = Found {
                        data: now.data,
                        stat: if is_same { then.stat } else { now.stat },
                        children: Vec::new(),
                    };
                    // Data are never kept under another list than their own.
                    match acl.take() {
                        None if !found.stat.is_ephemeral() => Some(Revisit::Unreadable),
                        acl => Some(Revisit::Readable(found, acl)),
                    }
                }
                Reading::Denied | Reading::Undecodable(_) => Some(Revisit::Unreadable),
                // What the walk has kept below it needs its place.
                Reading::Missing if then.stat.num_children > 0 => Some(Revisit::Unreadable),
                Reading::Missing => None,
            };
        }
        Ok(all_same)
    }

    /// What became of `path`, if it is to be told.
    fn amendment(
        &mut self,
        path: ZnodePath,
        later: Option<Revisit>,
    ) -> Result<Option<Amendment>, CaptureError> {
        let key = self.keys.path(&path);
        let seen = self.seen.get(&key);
        let supersedes = !matches!(seen, 0 | EPHEMERAL);
        if self.masked.remove(&key).is_some() || seen == UNREADABLE {
            self.readable(&path);
        }
        let record = self.judge(&path, later);
        if self.roots.contains(&path) && record.is_none() {
            return Err(CaptureError::NoSuchRoot(path));
        }
        Ok((supersedes || record.is_some()).then_some(Amendment {
            path,
            supersedes,
            record,
        }))
    }

    /// What is to be kept of a znode that was looked at again; `seen` is brought up to date.
    fn judge(&mut self, path: &ZnodePath, later: Option<Revisit>) -> Option<Record> {
        match later {
            Some(Revisit::Readable(found, _)) if found.stat.is_ephemeral() => {
                self.see(path, EPHEMERAL);
                None
            }
            Some(Revisit::Readable(found, Some(acl))) => {
                self.see(path, length(&found));
                if acl.is_masked() {
                    self.unreadable(path);
                }
                self.summary.newest_zxid = self.summary.newest_zxid.max(found.stat.newest_zxid());
                Some(record(path.clone(), Role::Captured, found, acl))
            }
            Some(Revisit::Unreadable) => {
                self.see(path, UNREADABLE);
                self.unreadable(path);
                Some(unreadable(path.clone()))
            }
            Some(Revisit::Readable(_, None) | Revisit::Dropped(..)) | None => {
                self.see(path, GONE);
                None
            }
        }
    }
}
