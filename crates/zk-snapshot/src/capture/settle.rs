//! After the walk: reading again what changed meanwhile, until nothing does.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};

use super::visit::{EPHEMERAL, GONE, UNREADABLE, length, pair, record, unreadable};
use super::walk::{MOST_TOLD, Run};
use super::{CaptureError, CaptureSummary, Consistency, NAMED, Portion};
use crate::{
    Acl, Amendment, Changes, ClientError, Found, History, Reading, Record, Role, TreeWatch, ZnodePath,
};

/// What is remembered of changed znodes until the end, in bytes. Past it the capture is fuzzy.
const HELD: usize = 128 << 20;
/// Data among it. Past it data are read again in the end, where they have not changed by then.
const KEPT: usize = 32 << 20;
/// Data in one read of a second look, as far as the walk can tell.
const BYTES_AT_ONCE: usize = 2 << 20;
/// Znodes in one read of a second look; any of them may be large.
pub(super) const AT_ONCE: usize = 16;

/// How the second look ended.
pub(super) enum Settled {
    Quiet,
    Moving,
    ConnectionLost,
}

/// A znode as it was when it was looked at again.
pub(super) enum Later {
    Readable(Found, Option<Acl>),
    /// As long as this, and its data are to be read again.
    Dropped(Found, Option<Acl>, u32),
    Unreadable,
}

impl Later {
    fn found(&mut self) -> Option<(&mut Found, &mut Option<Acl>)> {
        match self {
            Self::Readable(found, acl) | Self::Dropped(found, acl, _) => Some((found, acl)),
            Self::Unreadable => None,
        }
    }
}

impl Run<'_> {
    /// Reads what is dirty until nothing is, at most `rounds` times more.
    ///
    /// With a `watch` that was set before the walk, the run is then what the server held when it answered the
    /// last read.
    pub(super) async fn settle(
        &mut self,
        mut watch: Option<&mut dyn TreeWatch>,
        rounds: &mut u32,
    ) -> Result<Settled, CaptureError> {
        let within = |roots: &[ZnodePath], path: &ZnodePath| roots.iter().any(|root| path.is_within(root));
        loop {
            let roots = self.roots;
            self.dirty.retain(|path| within(roots, path));
            let dirty = std::mem::take(&mut self.dirty);
            if dirty.is_empty() && watch.is_some() {
                // The barrier: what changed before this answer has been seen when it is here.
                self.reader.read_many(&roots[..1], History::One).await?;
            } else {
                let mut listed = self.read_again(dirty).await?;
                // One that came hidden was not told of.
                listed.retain(|child| !self.is_met(child));
                self.dirty.extend(listed);
            }
            if let Some(watch) = watch.as_deref_mut() {
                match watch.take() {
                    Changes::Lost => return Ok(Settled::ConnectionLost),
                    Changes::Of(paths) => {
                        let inside = paths.into_iter().filter(|path| within(roots, path));
                        self.dirty.extend(inside);
                        if self.dirty.len() > MOST_TOLD {
                            return Ok(Settled::ConnectionLost);
                        }
                    }
                }
            }
            if self.dirty.is_empty() {
                // What changes from here on is after the moment that the run shows.
                self.guard(false).await?;
                if self.dirty.is_empty() {
                    return Ok(Settled::Quiet);
                }
            }
            if *rounds == 0 || self.held() > HELD {
                self.summary.moving = self.dirty.len() as u64;
                self.summary.moving_paths = self.dirty.iter().take(NAMED).cloned().collect();
                let mut told = std::mem::take(&mut self.dirty);
                self.guard(true).await?;
                if let Some(Changes::Of(paths)) = watch.as_deref_mut().map(TreeWatch::take) {
                    told.extend(paths);
                }
                self.leave_out_below_what_is_gone(told);
                return Ok(Settled::Moving);
            }
            *rounds -= 1;
            self.summary.rounds += 1;
        }
    }

    /// Of what changes still, what lay below a znode that was found gone went before it did, and was told of; the walk
    /// may have kept it.
    fn leave_out_below_what_is_gone(&mut self, told: BTreeSet<ZnodePath>) {
        for path in told {
            let is_gone = |of: &ZnodePath| matches!(self.later.get(of), Some(None));
            if path.ancestors().iter().any(is_gone) {
                self.later.insert(path, None);
            }
        }
    }

    /// Looks at `dirty` again. Where something may be hidden from us, returns the children that were listed.
    async fn read_again(&mut self, dirty: BTreeSet<ZnodePath>) -> Result<Vec<ZnodePath>, ClientError> {
        let (reader, mut listed) = (self.reader, Vec::new());
        let paths: Vec<_> = dirty.into_iter().collect();
        let batches = self.batches(&paths);
        let calls = batches.into_iter().map(|batch| async move {
            let readings = reader.read_many(batch, History::One).await?;
            Ok::<_, ClientError>((batch, readings))
        });
        let calls: Vec<_> = calls.collect();
        let mut reads = stream::iter(calls).buffered(reader.batches_in_flight().max(1));
        while let Some(answer) = reads.next().await {
            let (batch, readings) = answer?;
            for (path, reading) in batch.iter().zip(readings) {
                if self.verifies
                    && let Reading::Found(found) = &reading
                {
                    listed.extend(found.children.iter().filter_map(|name| self.child(path, name)));
                }
                self.look(path.clone(), reading);
            }
        }
        Ok(listed)
    }

    /// `paths` in parts whose data are read at once.
    fn batches<'p>(&self, paths: &'p [ZnodePath]) -> Vec<&'p [ZnodePath]> {
        let (mut batches, mut begin, mut bytes) = (Vec::new(), 0, 0);
        for (index, path) in paths.iter().enumerate() {
            let size = self.size(path);
            if index > begin && (index - begin >= AT_ONCE || bytes + size > BYTES_AT_ONCE) {
                batches.push(&paths[begin..index]);
                (begin, bytes) = (index, 0);
            }
            bytes += size;
        }
        if begin < paths.len() {
            batches.push(&paths[begin..]);
        }
        batches
    }

    /// How long its data were when it was read last.
    fn size(&self, path: &ZnodePath) -> usize {
        match self.later.get(path) {
            Some(Some(Later::Readable(found, _))) => found.data.len(),
            Some(Some(Later::Dropped(_, _, length))) => *length as usize,
            _ => match self.seen.get(&self.keys.path(path)) {
                EPHEMERAL | UNREADABLE | GONE => 0,
                length => length as usize,
            },
        }
    }

    fn look(&mut self, path: ZnodePath, reading: Reading) {
        if let Reading::Found(found) = &reading
            && !self.is_known(&path)
        {
            // The walk did not go below it.
            let children = found.children.iter().filter_map(|name| self.child(&path, name));
            let unknown: Vec<_> = children.filter(|child| !self.is_known(child)).collect();
            self.dirty.extend(unknown);
        }
        let (stat, names) = match &reading {
            Reading::Found(found) => (Some(&found.stat), &found.children[..]),
            _ => (None, &[][..]),
        };
        self.note(&path, stat);
        self.note_names(&path, names);
        let later = match reading {
            Reading::Found(mut found) => {
                found.children = Vec::new();
                let length = found.data.len();
                if self.kept + length > KEPT && length > 0 {
                    found.data = Vec::new();
                    Some(Later::Dropped(
                        found,
                        None,
                        u32::try_from(length).unwrap_or(u32::MAX),
                    ))
                } else {
                    self.kept += length;
                    Some(Later::Readable(found, None))
                }
            }
            Reading::Denied | Reading::Undecodable(_) => Some(Later::Unreadable),
            Reading::Missing => None,
        };
        if let Some(Some(Later::Readable(before, _))) = self.later.insert(path, later) {
            self.kept -= before.data.len();
        }
    }

    /// Whether what is below it has been looked at; below what may not be read nothing has.
    fn is_known(&self, path: &ZnodePath) -> bool {
        match self.later.get(path) {
            Some(later) => !matches!(later, Some(Later::Unreadable)),
            None => !matches!(self.seen.get(&self.keys.path(path)), 0 | UNREADABLE),
        }
    }

    /// Whether it has been read, and was there.
    fn is_met(&self, path: &ZnodePath) -> bool {
        match self.later.get(path) {
            Some(later) => later.is_some(),
            None => !matches!(self.seen.get(&self.keys.path(path)), 0 | GONE),
        }
    }

    fn held(&self) -> usize {
        let bytes = |later: &Option<Later>| match later {
            Some(Later::Readable(found, _)) => found.data.len() + 200,
            _ => 100,
        };
        self.later.values().map(bytes).sum()
    }

    /// Finds the ACLs of what was looked at again. One that is of another znode by now is dirty once more; for
    /// the last time, what is there now is taken instead.
    async fn guard(&mut self, for_the_last_time: bool) -> Result<(), CaptureError> {
        let mut unknown = Vec::new();
        for (path, later) in &mut self.later {
            if let Some((found, acl @ None)) = later.as_mut().and_then(Later::found)
                && !found.stat.is_ephemeral()
            {
                match self.known.and_then(|index| index.get(path, &found.stat)) {
                    Some(known) => *acl = Some(known.clone()),
                    None => unknown.push(path.clone()),
                }
            }
        }
        for paths in unknown.chunks(AT_ONCE) {
            self.summary.acls_read += paths.len() as u64;
            for (path, guard) in paths.iter().zip(self.reader.read_acls(paths).await?) {
                let later = self.later.get_mut(path).and_then(Option::as_mut);
                let Some((found, acl)) = later.and_then(Later::found) else {
                    continue;
                };
                match guard {
                    Reading::Found(guard) => {
                        if pair(&mut found.stat, &guard) || for_the_last_time {
                            *acl = Some(guard.acl);
                        } else {
                            self.dirty.insert(path.clone());
                        }
                    }
                    Reading::Denied | Reading::Undecodable(_) => {
                        self.later.insert(path.clone(), Some(Later::Unreadable));
                    }
                    Reading::Missing if for_the_last_time => {
                        self.later.insert(path.clone(), None);
                    }
                    Reading::Missing => {
                        self.dirty.insert(path.clone());
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends the amendments and adds everything up.
    pub(super) async fn finish(
        mut self,
        mut consistency: Consistency,
    ) -> Result<CaptureSummary, CaptureError> {
        if consistency == Consistency::Consistent {
            self.summary.ancestors_apart = self.ancestors_apart().await?;
        }
        let mut waiting = std::mem::take(&mut self.later).into_iter().peekable();
        while waiting.peek().is_some() {
            let (mut some, mut bytes) = (Vec::new(), 0);
            while some.len() < AT_ONCE
                && bytes < BYTES_AT_ONCE
                && let Some((path, later)) = waiting.next()
            {
                if let Some(Later::Dropped(_, _, length)) = &later {
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
        self.tell_of_names();
        let mut summary = CaptureSummary {
            consistency,
            counters_known: !self.keeper,
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

    /// Whether its parent, which has been judged by now, is not kept.
    fn is_orphan(&self, path: &ZnodePath) -> bool {
        let parent = path.parent().filter(|_| !self.roots.contains(path));
        parent.is_some_and(|parent| matches!(self.seen.get(&self.keys.path(&parent)), 0 | EPHEMERAL | GONE))
    }

    /// Reads the data that were dropped. `false` if one is not what it was: then what is there now is taken.
    async fn fetch(&mut self, some: &mut [(ZnodePath, Option<Later>)]) -> Result<bool, ClientError> {
        let dropped = |later: &Option<Later>| matches!(later, Some(Later::Dropped(..)));
        let paths = some.iter().filter(|(_, later)| dropped(later));
        let paths: Vec<_> = paths.map(|(path, _)| path.clone()).collect();
        if paths.is_empty() {
            return Ok(true);
        }
        let mut readings = self.reader.read_many(&paths, History::One).await?.into_iter();
        let mut all_same = true;
        for (path, later) in some {
            let Some(Later::Dropped(found, acl, _)) = later else {
                continue;
            };
            let reading = readings.next().unwrap_or(Reading::Missing);
            if let Reading::Found(now) = &reading
                && !found.stat.same_acl(&now.stat)
            {
                *acl = match self.reader.read_acls(std::slice::from_ref(path)).await?.pop() {
                    Some(Reading::Found(guard)) => Some(guard.acl),
                    _ => None,
                };
            }
            let is_same = matches!(&reading, Reading::Found(now)
                if (now.stat.czxid, now.stat.mzxid) == (found.stat.czxid, found.stat.mzxid));
            if !is_same {
                all_same = false;
                self.unverified = Some(path.clone());
            }
            *later = match reading {
                Reading::Found(now) => {
                    let found = Found {
                        data: now.data,
                        stat: if is_same { found.stat } else { now.stat },
                        children: Vec::new(),
                    };
                    // Data are never kept under another list than their own.
                    match acl.take() {
                        None if !found.stat.is_ephemeral() => Some(Later::Unreadable),
                        acl => Some(Later::Readable(found, acl)),
                    }
                }
                Reading::Denied | Reading::Undecodable(_) => Some(Later::Unreadable),
                Reading::Missing => None,
            };
        }
        Ok(all_same)
    }

    /// What became of `path`, if it is to be told.
    fn amendment(
        &mut self,
        path: ZnodePath,
        later: Option<Later>,
    ) -> Result<Option<Amendment>, CaptureError> {
        let key = self.keys.path(&path);
        let seen = self.seen.get(&key);
        let supersedes = !matches!(seen, 0 | EPHEMERAL);
        self.summary.unreadable_paths.retain(|known| *known != path);
        if self.masked.remove(&key).is_some() || seen == UNREADABLE {
            self.summary.unreadable -= 1;
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
    fn judge(&mut self, path: &ZnodePath, later: Option<Later>) -> Option<Record> {
        match later {
            Some(Later::Readable(found, _)) if found.stat.is_ephemeral() => {
                self.see(path, EPHEMERAL);
                None
            }
            Some(Later::Readable(found, Some(acl))) => {
                self.see(path, length(&found));
                if acl.is_masked() {
                    self.unreadable(path);
                }
                self.summary.newest_zxid = self.summary.newest_zxid.max(found.stat.newest_zxid());
                Some(record(path.clone(), Role::Captured, found, acl))
            }
            Some(Later::Unreadable) => {
                self.see(path, UNREADABLE);
                self.unreadable(path);
                Some(unreadable(path.clone()))
            }
            Some(Later::Readable(_, None) | Later::Dropped(..)) | None => {
                self.see(path, GONE);
                None
            }
        }
    }
}
