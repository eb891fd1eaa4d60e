//! After the walk: reading again what changed meanwhile, until nothing does.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};

use super::walk::{EPHEMERAL, GONE, Run, UNREADABLE, length, pair, record, unreadable};
use super::{CaptureError, CaptureSummary, Consistency, NAMED, Portion};
use crate::{
    Acl, Amendment, Changes, ClientError, Found, History, Reading, Record, Role, TreeWatch, ZnodePath,
};

/// Data of changed znodes that are held until the end, in bytes. Past it the capture is fuzzy, and what is not held is
/// read again when it is written.
const HELD: usize = 96 << 20;
/// What a znode costs besides its data.
const OVERHEAD: usize = 200;
/// Znodes in one read of a second look; any of them may be large.
const AT_ONCE: usize = 8;

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
    /// It is not held any more.
    NotHeld,
}

fn cost(later: &Option<Later>) -> usize {
    match later {
        Some(Later::Readable(found, _)) => found.data.len() + OVERHEAD,
        _ => OVERHEAD,
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
                self.read_again(dirty).await?;
            }
            if let Some(watch) = watch.as_deref_mut() {
                match watch.take() {
                    Changes::Lost => return Ok(Settled::ConnectionLost),
                    Changes::Of(paths) => {
                        let inside = paths.into_iter().filter(|path| within(roots, path));
                        self.dirty.extend(inside);
                    }
                }
            }
            if self.dirty.is_empty() && self.not_held.is_empty() {
                // What changes from here on is after the moment that the run shows.
                self.guard(false).await?;
                if self.dirty.is_empty() {
                    return Ok(Settled::Quiet);
                }
            }
            if *rounds == 0 || self.held > HELD {
                let moving: BTreeSet<_> = self.dirty.union(&self.not_held).collect();
                self.summary.moving = moving.len() as u64;
                self.summary.moving_paths = moving.into_iter().take(NAMED).cloned().collect();
                self.guard(true).await?;
                return Ok(Settled::Moving);
            }
            *rounds -= 1;
            self.summary.rounds += 1;
        }
    }

    async fn read_again(&mut self, dirty: BTreeSet<ZnodePath>) -> Result<(), ClientError> {
        let paths: Vec<_> = dirty.into_iter().collect();
        let (reader, at_once) = (self.reader, AT_ONCE);
        let calls = paths.chunks(at_once).map(|batch| async move {
            let readings = reader.read_many(batch, History::One).await?;
            Ok::<_, ClientError>((batch, readings))
        });
        let calls: Vec<_> = calls.collect();
        let mut reads = stream::iter(calls).buffered(reader.batches_in_flight().max(1));
        while let Some(answer) = reads.next().await {
            let (batch, readings) = answer?;
            for (path, reading) in batch.iter().zip(readings) {
                self.look(path, reading);
            }
        }
        Ok(())
    }

    fn look(&mut self, path: &ZnodePath, reading: Reading) {
        self.print_again(path, &reading);
        if let Reading::Found(found) = &reading
            && !self.is_known(path)
        {
            // The walk did not go below it.
            for name in &found.children {
                match path.child(name) {
                    Ok(child) if !self.is_known(&child) => {
                        self.dirty.insert(child);
                    }
                    Ok(_) => {}
                    // As in the walk: no server allows such a name.
                    Err(_) => self.unreadable(path),
                }
            }
        }
        let later = match reading {
            Reading::Found(found) if self.held + found.data.len() > HELD + (8 << 20) => {
                self.not_held.insert(path.clone());
                Some(Later::NotHeld)
            }
            Reading::Found(found) => Some(Later::Readable(found, None)),
            Reading::Denied | Reading::Undecodable(_) => Some(Later::Unreadable),
            Reading::Missing => None,
        };
        self.held += cost(&later);
        if let Some(before) = self.later.insert(path.clone(), later) {
            self.held = self.held.saturating_sub(cost(&before));
        }
    }

    /// Whether what is below it has been looked at; below what may not be read nothing has.
    fn is_known(&self, path: &ZnodePath) -> bool {
        match self.later.get(path) {
            Some(later) => !matches!(later, Some(Later::Unreadable)),
            None => !matches!(self.seen.get(&self.keys.path(path)), 0 | UNREADABLE),
        }
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
        let mut later = std::mem::take(&mut self.later).into_iter().peekable();
        while later.peek().is_some() {
            let mut some: Vec<_> = later.by_ref().take(AT_ONCE).collect();
            self.hold_again(&mut some).await?;
            let mut amendments = Vec::with_capacity(some.len());
            for (path, later) in some {
                amendments.extend(self.amend(path, later)?);
            }
            self.send(Portion::Amendments(amendments)).await?;
        }
        let mut summary = CaptureSummary {
            consistency,
            ..self.summary
        };
        if consistency == Consistency::Consistent {
            (summary.moving, summary.moving_paths) = (0, Vec::new());
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

    /// Reads what is not held any more.
    async fn hold_again(&self, some: &mut [(ZnodePath, Option<Later>)]) -> Result<(), ClientError> {
        for (path, later) in some {
            if !matches!(later, Some(Later::NotHeld)) {
                continue;
            }
            let one = std::slice::from_ref(path);
            let reading = self.reader.read_many(one, History::One).await?.pop();
            let guard = self.reader.read_acls(one).await?.pop();
            *later = match (reading, guard) {
                (Some(Reading::Found(mut found)), Some(Reading::Found(guard))) => {
                    pair(&mut found.stat, &guard);
                    Some(Later::Readable(found, Some(guard.acl)))
                }
                (Some(Reading::Missing) | None, _) | (_, Some(Reading::Missing) | None) => None,
                _ => Some(Later::Unreadable),
            };
        }
        Ok(())
    }

    fn amend(&mut self, path: ZnodePath, later: Option<Later>) -> Result<Option<Amendment>, CaptureError> {
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
            Some(Later::Readable(_, None) | Later::NotHeld) | None => {
                self.see(path, GONE);
                None
            }
        }
    }
}
