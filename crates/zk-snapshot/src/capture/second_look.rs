//! After the walk: reading again what changed meanwhile, until nothing does.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};

use super::CaptureError;
use super::state::{CaptureState, MOST_TOLD, Revisit};
use super::summary::NAMED;
use super::visit::{EPHEMERAL, GONE, UNREADABLE, pair};
use crate::tree::access::calls_with_restraint;
use crate::tree::{AclFound, Changes, ClientError, History, Reading, TreeWatch, ZnodePath};

/// What is remembered of changed znodes until the end, in bytes. Past it the capture is fuzzy.
const HELD: usize = 128 << 20;
/// Data among it. Past it data are read again in the end, where they have not changed by then.
const KEPT: usize = 32 << 20;
/// Data in one read of a second look, as far as the walk can tell.
pub(super) const BYTES_AT_ONCE: usize = 2 << 20;
/// Znodes in one read of a second look; any of them may be large.
pub(super) const AT_ONCE: usize = 16;

/// How often a znode is read for the last time that is made again and again.
const TRIES: usize = 5;

/// How the second look ended.
pub(super) enum LookEnd {
    Quiet,
    Moving,
    ConnectionLost,
}

impl CaptureState<'_> {
    /// Reads what is dirty until nothing is, at most `rounds` times more.
    ///
    /// With a `watch` that was set before the walk, the run is then what the server held when it answered the
    /// last read.
    pub(super) async fn look_again(
        &mut self,
        mut watch: Option<&mut dyn TreeWatch>,
        rounds: &mut u32,
    ) -> Result<LookEnd, CaptureError> {
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
                    Changes::Lost => return Ok(LookEnd::ConnectionLost),
                    Changes::Of(paths) => {
                        let inside = paths.into_iter().filter(|path| within(roots, path));
                        self.dirty.extend(inside);
                        if self.dirty.len() > MOST_TOLD {
                            return Ok(LookEnd::ConnectionLost);
                        }
                    }
                }
            }
            if self.dirty.is_empty() {
                // What changes from here on is after the moment that the run shows.
                self.find_acls(false).await?;
                if self.dirty.is_empty() {
                    return Ok(LookEnd::Quiet);
                }
            }
            if *rounds == 0 || self.held() > HELD {
                self.summary.moving = self.dirty.len() as u64;
                self.summary.moving_paths = self.dirty.iter().take(NAMED).cloned().collect();
                let mut told = std::mem::take(&mut self.dirty);
                self.find_acls(true).await?;
                if let Some(Changes::Of(paths)) = watch.as_deref_mut().map(TreeWatch::take) {
                    told.extend(paths);
                }
                self.leave_out_below_what_is_gone(told);
                return Ok(LookEnd::Moving);
            }
            *rounds -= 1;
            self.summary.rounds += 1;
        }
    }

    /// Of what changes still, what lay below a znode that was found gone went before it did, and was told of; the walk
    /// may have kept it.
    fn leave_out_below_what_is_gone(&mut self, told: BTreeSet<ZnodePath>) {
        for path in told {
            let is_gone = |of: &ZnodePath| matches!(self.revisited.get(of), Some(None));
            if path.ancestors().iter().any(is_gone) {
                self.revisited.insert(path, None);
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
        let mut reads = stream::iter(calls).buffered(calls_with_restraint(reader));
        while let Some(answer) = reads.next().await {
            let (batch, readings) = answer?;
            for (path, reading) in batch.iter().zip(readings) {
                if self.verifies
                    && let Reading::Found(found) = &reading
                {
                    let children = found.children.iter().filter_map(|name| self.child(path, name));
                    listed.extend(children.filter(ZnodePath::is_in_reach));
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
        match self.revisited.get(path) {
            Some(Some(Revisit::Readable(found, _))) => found.data.len(),
            Some(Some(Revisit::Dropped(_, _, length))) => *length as usize,
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
            let unknown = children.filter(|child| !self.is_known(child));
            let (unknown, mut far): (Vec<_>, Vec<_>) = unknown.partition(ZnodePath::is_in_reach);
            far.retain(|child| !self.is_met(child));
            self.dirty.extend(unknown);
            let far = far.into_iter().map(|child| (child, Some(Revisit::Unreadable)));
            self.revisited.extend(far);
        }
        let (stat, names) = match &reading {
            Reading::Found(found) => (Some(&found.stat), &found.children[..]),
            _ => (None, &[][..]),
        };
        self.note(&path, stat);
        self.note_refused_names(&path, names);
        let later = match reading {
            Reading::Found(mut found) => {
                found.children = Vec::new();
                let length = found.data.len();
                if self.kept + length > KEPT && length > 0 {
                    found.data = Vec::new();
                    Some(Revisit::Dropped(
                        found,
                        None,
                        u32::try_from(length).unwrap_or(u32::MAX),
                    ))
                } else {
                    self.kept += length;
                    Some(Revisit::Readable(found, None))
                }
            }
            Reading::Denied | Reading::Undecodable(_) => Some(Revisit::Unreadable),
            Reading::Missing => None,
        };
        if let Some(Some(Revisit::Readable(before, _))) = self.revisited.insert(path, later) {
            self.kept -= before.data.len();
        }
    }

    /// Whether what is below it has been looked at; below what may not be read nothing has.
    fn is_known(&self, path: &ZnodePath) -> bool {
        match self.revisited.get(path) {
            Some(later) => !matches!(later, Some(Revisit::Unreadable)),
            None => !matches!(self.seen.get(&self.keys.path(path)), 0 | UNREADABLE),
        }
    }

    /// Whether it has been read, and was there.
    fn is_met(&self, path: &ZnodePath) -> bool {
        match self.revisited.get(path) {
            Some(later) => later.is_some(),
            None => !matches!(self.seen.get(&self.keys.path(path)), 0 | GONE),
        }
    }

    fn held(&self) -> usize {
        let bytes = |later: &Option<Revisit>| match later {
            Some(Revisit::Readable(found, _)) => found.data.len() + 200,
            _ => 100,
        };
        self.revisited.values().map(bytes).sum()
    }

    /// Finds the ACLs of what was looked at again. One that is of another znode by now is dirty once more; for
    /// the last time, what is there now is read instead.
    async fn find_acls(&mut self, for_the_last_time: bool) -> Result<(), CaptureError> {
        let mut unknown = Vec::new();
        for (path, later) in &mut self.revisited {
            if let Some((found, acl @ None)) = later.as_mut().and_then(Revisit::found)
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
                let later = self.revisited.get_mut(path).and_then(Option::as_mut);
                let Some((found, acl)) = later.and_then(Revisit::found) else {
                    continue;
                };
                match guard {
                    Reading::Found(guard) => {
                        if pair(&mut found.stat, &guard) {
                            *acl = Some(guard.acl);
                        } else if for_the_last_time {
                            self.read_under(path, guard).await?;
                        } else {
                            self.dirty.insert(path.clone());
                        }
                    }
                    Reading::Denied | Reading::Undecodable(_) => {
                        self.revisited.insert(path.clone(), Some(Revisit::Unreadable));
                    }
                    Reading::Missing if for_the_last_time => {
                        self.revisited.insert(path.clone(), None);
                    }
                    Reading::Missing => {
                        self.dirty.insert(path.clone());
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads what is at `path` now, after its list, `guard`, until the list is that of the data: then they were under it.
    async fn read_under(&mut self, path: &ZnodePath, mut guard: AclFound) -> Result<(), ClientError> {
        let paths = std::slice::from_ref(path);
        for _ in 0..TRIES {
            let reading = self.reader.read_many(paths, History::One).await?.pop();
            self.look(path.clone(), reading.unwrap_or(Reading::Missing));
            let later = self.revisited.get_mut(path).and_then(Option::as_mut);
            let Some((found, acl)) = later.and_then(Revisit::found) else {
                return Ok(());
            };
            if found.stat.is_ephemeral() {
                return Ok(());
            }
            if found.stat.same_acl(&guard.stat) {
                *acl = Some(guard.acl);
                return Ok(());
            }
            if let Some(Reading::Found(now)) = self.reader.read_acls(paths).await?.pop() {
                guard = now;
            }
        }
        self.revisited.insert(path.clone(), Some(Revisit::Unreadable));
        Ok(())
    }
}
