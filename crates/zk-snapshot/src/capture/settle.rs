//! After the walk: reading again what changed meanwhile, until nothing does.

use futures::stream::{self, StreamExt};

use super::walk::{EPHEMERAL, GONE, MOST_TOLD, Run, UNREADABLE, length, pair, record, unreadable};
use super::{CaptureError, CaptureSummary, Consistency, NAMED, Portion};
use crate::{
    Acl, Amendment, Changes, ClientError, Found, History, Reading, Record, Role, TreeWatch, ZnodePath,
};

/// Data of changed znodes that are held until the end, in bytes. Past it the capture is fuzzy.
const HELD: usize = 128 << 20;
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
    Unreadable,
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
                let mut listed = Vec::new();
                for (path, reading) in self.read_again(dirty).await? {
                    if self.verifies
                        && let Reading::Found(found) = &reading
                    {
                        listed.extend(found.children.iter().filter_map(|name| self.child(&path, name)));
                    }
                    self.look(path, reading);
                }
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
                self.guard(true).await?;
                return Ok(Settled::Moving);
            }
            *rounds -= 1;
            self.summary.rounds += 1;
        }
    }

    async fn read_again(
        &self,
        dirty: std::collections::BTreeSet<ZnodePath>,
    ) -> Result<Vec<(ZnodePath, Reading)>, ClientError> {
        let paths: Vec<_> = dirty.into_iter().collect();
        let calls: Vec<_> = paths
            .chunks(AT_ONCE)
            .map(|batch| self.reader.read_many(batch, History::One))
            .collect();
        let mut reads = stream::iter(calls).buffered(self.reader.batches_in_flight().max(1));
        let mut readings = Vec::with_capacity(paths.len());
        while let Some(batch) = reads.next().await {
            readings.extend(batch?);
        }
        drop(reads);
        Ok(paths.into_iter().zip(readings).collect())
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
        self.note_names(&path, &reading);
        match &reading {
            Reading::Found(found) => self.note(&path, Some(&found.stat)),
            _ => self.note(&path, None),
        }
        let later = match reading {
            Reading::Found(found) => Some(Later::Readable(found, None)),
            Reading::Denied | Reading::Undecodable(_) => Some(Later::Unreadable),
            Reading::Missing => None,
        };
        self.later.insert(path, later);
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
            if let Some(Later::Readable(found, acl @ None)) = later
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
                let Some(Some(Later::Readable(found, acl))) = self.later.get_mut(path) else {
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
    pub(super) async fn finish(mut self, consistency: Consistency) -> Result<CaptureSummary, CaptureError> {
        if consistency == Consistency::Consistent {
            self.summary.ancestors_apart = self.ancestors_apart().await?;
        }
        let mut amendments = Vec::new();
        for (path, later) in std::mem::take(&mut self.later) {
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
            if supersedes || record.is_some() {
                amendments.push(Amendment {
                    path,
                    supersedes,
                    record,
                });
            }
        }
        while !amendments.is_empty() {
            let rest = amendments.split_off(amendments.len().min(AT_ONCE));
            self.send(Portion::Amendments(amendments)).await?;
            amendments = rest;
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
            Some(Later::Readable(_, None)) | None => {
                self.see(path, GONE);
                None
            }
        }
    }
}
