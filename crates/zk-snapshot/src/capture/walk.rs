//! One walk over the tree.

use futures::stream::{FuturesUnordered, StreamExt};

use super::frontier::Frontier;
use super::state::{CaptureState, MOST_TOLD};
use super::visit::{EPHEMERAL, UNREADABLE, Visit, length, pair, record, unreadable, visit};
use super::{CaptureError, Portion};
use crate::archive::{Record, Role};
use crate::tree::{Acl, AclFound, Changes, ClientError, Found, History, Reading, Stat, TreeWatch, ZnodePath};

/// Whether a walk saw all that changed meanwhile.
pub(super) enum Walked {
    Through,
    ConnectionLost,
}

impl CaptureState<'_> {
    /// Walks all of the roots. A `watch` must have been set before.
    pub(super) async fn walk(
        &mut self,
        history: History,
        mut watch: Option<&mut dyn TreeWatch>,
    ) -> Result<Walked, CaptureError> {
        self.ancestors(history).await?;
        let (reader, known) = (self.reader, self.known);
        let batches = reader.batches_in_flight().max(1);
        let mut frontier = Frontier::new(self.roots, batches, reader.batch_size());
        let mut in_flight = FuturesUnordered::new();
        loop {
            while in_flight.len() < batches {
                let (families, paths): (Vec<_>, Vec<_>) = frontier.take(in_flight.len()).into_iter().unzip();
                if paths.is_empty() {
                    break;
                }
                in_flight.push(async move { Ok((families, visit(reader, known, paths, history).await?)) });
            }
            let Some(answer) = in_flight.next().await else {
                return Ok(Walked::Through);
            };
            let (families, visits): (Vec<_>, Vec<_>) = answer.map_err(|error: ClientError| error)?;
            let sizes = families.into_iter().zip(visits.iter().map(Visit::bytes));
            frontier.learn(&sizes.collect::<Vec<_>>());
            let mut records = Vec::with_capacity(visits.len());
            for visit in visits {
                self.keep(visit, &mut records, &mut frontier)?;
            }
            self.send(Portion::Records(records)).await?;
            if let Some(watch) = watch.as_deref_mut() {
                match watch.take() {
                    Changes::Lost => return Ok(Walked::ConnectionLost),
                    Changes::Of(paths) => self.dirty.extend(paths),
                }
                if self.dirty.len() > MOST_TOLD {
                    return Ok(Walked::ConnectionLost);
                }
            }
        }
    }

    async fn ancestors(&mut self, history: History) -> Result<(), CaptureError> {
        let mut paths: Vec<_> = self.roots.iter().flat_map(ZnodePath::ancestors).collect();
        paths.sort();
        paths.dedup();
        let mut records = Vec::new();
        self.ancestors.clear();
        for visit in visit(self.reader, self.known, paths, history).await? {
            match (visit.reading, visit.acl) {
                (Reading::Found(mut found), Some(Reading::Found(guard))) => {
                    if !pair(&mut found.stat, &guard) {
                        self.unreadable(&visit.path);
                        self.ancestors.push((visit.path, None));
                        continue;
                    }
                    self.ancestors.push((visit.path.clone(), Some(found.stat)));
                    if guard.acl.is_masked() {
                        self.unreadable(&visit.path);
                    }
                    records.push(record(visit.path, Role::Ancestor, found, guard.acl));
                }
                (Reading::Denied | Reading::Undecodable(_), _)
                | (_, Some(Reading::Denied | Reading::Undecodable(_))) => self.unreadable(&visit.path),
                _ => return Err(CaptureError::NoSuchRoot(visit.path)),
            }
        }
        self.send(Portion::Records(records)).await
    }

    /// How many ancestors of the roots have not been the same ever since they were read.
    pub(super) async fn ancestors_apart(&self) -> Result<u64, ClientError> {
        let paths: Vec<_> = self.ancestors.iter().map(|(path, _)| path.clone()).collect();
        let readings = self.reader.read_many(&paths, History::One).await?;
        let same = |then: &Option<Stat>, now: &Reading| match (then, now) {
            (Some(then), Reading::Found(now)) => then.same_acl(&now.stat) && then.mzxid == now.stat.mzxid,
            _ => false,
        };
        let pairs = self.ancestors.iter().zip(&readings);
        Ok(pairs.filter(|((_, then), now)| !same(then, now)).count() as u64)
    }

    fn keep(
        &mut self,
        visit: Visit,
        records: &mut Vec<Record>,
        frontier: &mut Frontier,
    ) -> Result<(), CaptureError> {
        let Visit {
            path,
            reading,
            acl,
            reused,
        } = visit;
        let is_root = self.roots.contains(&path);
        if let Some(walks) = &mut self.walks {
            walks.note(self.keys, &path, &reading);
        }
        let mut found = match reading {
            Reading::Found(found) => found,
            Reading::Missing if is_root => return Err(CaptureError::NoSuchRoot(path)),
            Reading::Missing => {
                self.summary.vanished += 1;
                return Ok(());
            }
            Reading::Denied | Reading::Undecodable(_) => {
                self.see(&path, UNREADABLE);
                self.unreadable(&path);
                records.push(unreadable(path));
                return Ok(());
            }
        };
        if found.stat.is_ephemeral() {
            if is_root {
                return Err(CaptureError::NoSuchRoot(path));
            }
            self.see(&path, EPHEMERAL);
            return Ok(());
        }
        if reused {
            self.summary.acls_reused += 1;
        } else {
            self.summary.acls_read += 1;
        }
        let read = found.stat;
        let Some(acl) = self.own_acl(&path, &mut found, acl, records) else {
            return Ok(());
        };
        let children = found.children.iter().filter_map(|name| self.child(&path, name));
        let (children, far): (Vec<_>, Vec<_>) = children.partition(ZnodePath::is_in_reach);
        if children.len() + far.len() < found.children.len() {
            self.note_refused_names(&path, &found.children);
        }
        self.listed += children.len() + far.len();
        if self.listed > self.most_znodes {
            return Err(CaptureError::TooMany(self.most_znodes));
        }
        frontier.push(children);
        self.note(&path, Some(&read));
        if acl.is_masked() {
            self.masked.insert(self.keys.path(&path), ());
            self.unreadable(&path);
        }
        self.summary.newest_zxid = self.summary.newest_zxid.max(found.stat.newest_zxid());
        self.see(&path, length(&found));
        records.push(record(path, Role::Captured, found, acl));
        for path in far {
            self.see(&path, UNREADABLE);
            self.unreadable(&path);
            records.push(unreadable(path));
        }
        Ok(())
    }

    /// The access control list of a znode that was found, if it is known by now. `found` takes over what belongs to it.
    fn own_acl(
        &mut self,
        path: &ZnodePath,
        found: &mut Found,
        acl: Option<Reading<AclFound>>,
        records: &mut Vec<Record>,
    ) -> Option<Acl> {
        match acl {
            Some(Reading::Found(guard)) => {
                if !pair(&mut found.stat, &guard) {
                    // What is there now has this list; its data are read in the second look.
                    found.stat = guard.stat;
                    self.dirty.insert(path.clone());
                }
                Some(guard.acl)
            }
            Some(Reading::Denied | Reading::Undecodable(_)) => {
                self.see(path, UNREADABLE);
                self.unreadable(path);
                records.push(unreadable(path.clone()));
                None
            }
            // Gone by now; whether for good, with all below it, is for the second look to say.
            Some(Reading::Missing) | None => {
                self.dirty.insert(path.clone());
                None
            }
        }
    }
}
