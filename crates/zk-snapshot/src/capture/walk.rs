//! One walk over the tree.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;

use super::frontier::Frontier;
use super::settle::Later;
use super::verify::Print;
use super::visit::{EPHEMERAL, UNREADABLE, Visit, length, pair, record, unreadable, visit};
use super::{CaptureError, CaptureOptions, CaptureSummary, NAMED, Portion};
use crate::tree::keys::{KeyMap, Keys};
use crate::tree::table::KeyTable;
use crate::{
    AclIndex, Changes, ClientError, History, Reading, Record, Role, Stat, TreeWatch, ZnodePath, ZnodeReader,
};

/// Whether a walk saw all that changed meanwhile.
pub(super) enum Walked {
    Through,
    ConnectionLost,
}

/// Changed znodes that are remembered together; a server that tells of more is not believed.
pub(super) const MOST_TOLD: usize = 1 << 20;
/// The deepest znode that is looked at, and the longest path: a server could go on for ever.
const DEEPEST: usize = 1 << 12;
const LONGEST: usize = 1 << 18;
/// How much of a name that is none is shown.
const SHOWN: usize = 200;

pub(super) struct Run<'a> {
    pub(super) reader: &'a dyn ZnodeReader,
    pub(super) known: Option<&'a AclIndex>,
    pub(super) roots: &'a [ZnodePath],
    sink: mpsc::Sender<Portion>,
    pub(super) keys: Keys,
    pub(super) seen: KeyTable,
    /// Those of them whose ACL came without its digests.
    pub(super) masked: KeyMap<3, ()>,
    /// Znodes that changed since they were read, or whose data and ACL do not belong together.
    pub(super) dirty: BTreeSet<ZnodePath>,
    /// What became of znodes that were dirty; `None`: gone.
    pub(super) later: BTreeMap<ZnodePath, Option<Later>>,
    /// Bytes of data among them.
    pub(super) kept: usize,
    pub(super) summary: CaptureSummary,
    /// Children that were listed, and how many may be.
    listed: usize,
    most_znodes: usize,
    walks: Option<Walks>,
    /// Whether something may be hidden from us.
    pub(super) verifies: bool,
    /// What is to be verified.
    pub(super) prints: KeyMap<3, Print>,
    /// A znode for whose sake nothing could be claimed.
    pub(super) unverified: Option<ZnodePath>,
    /// What the ancestors of the roots were; `None` where data and ACL do not belong together.
    ancestors: Vec<(ZnodePath, Option<Stat>)>,
    /// Children of each that have no name to ask for, and some of them.
    refused: BTreeMap<ZnodePath, (u64, Vec<String>)>,
    /// Whether this is ClickHouse Keeper.
    pub(super) keeper: bool,
}

/// What two walks compare.
#[derive(Default)]
struct Walks {
    last: Option<KeyMap<3, [u32; 2]>>,
    this: KeyMap<3, [u32; 2]>,
    differ: u64,
    named: Vec<ZnodePath>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        reader: &'a dyn ZnodeReader,
        roots: &'a [ZnodePath],
        options: &'a CaptureOptions,
        sink: mpsc::Sender<Portion>,
    ) -> Self {
        Self {
            reader,
            known: options.known_acls.as_deref(),
            roots,
            sink,
            keys: Keys::random(),
            seen: KeyTable::default(),
            masked: KeyMap::default(),
            dirty: BTreeSet::new(),
            later: BTreeMap::new(),
            kept: 0,
            summary: CaptureSummary::default(),
            listed: 0,
            most_znodes: options.most_znodes,
            walks: None,
            verifies: false,
            prints: KeyMap::default(),
            unverified: None,
            ancestors: Vec::new(),
            refused: BTreeMap::new(),
            keeper: false,
        }
    }

    /// Forgets what was walked, and says so.
    pub(super) async fn restart(&mut self) -> Result<(), CaptureError> {
        self.seen = KeyTable::default();
        self.masked.clear();
        self.dirty.clear();
        self.later.clear();
        (self.kept, self.listed) = (0, 0);
        self.prints.clear();
        self.refused.clear();
        self.summary = CaptureSummary {
            rounds: self.summary.rounds + 1,
            ..CaptureSummary::default()
        };
        self.send(Portion::Restart).await
    }

    pub(super) fn compare_with_last_walk(&mut self) {
        let last = self.walks.take().map(|walks| walks.this);
        self.walks = Some(Walks {
            last,
            ..Walks::default()
        });
    }

    /// Whether this walk and the one before met the same znodes, each of them the same.
    pub(super) fn agrees_with_last_walk(&mut self) -> bool {
        let Some(walks) = &mut self.walks else {
            return false;
        };
        self.summary.moving = walks.differ;
        self.summary.moving_paths = std::mem::take(&mut walks.named);
        let same_number = walks
            .last
            .as_ref()
            .is_some_and(|last| last.len() == walks.this.len());
        same_number && walks.differ == 0
    }

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
                let (families, paths): (Vec<_>, Vec<_>) = frontier.take().into_iter().unzip();
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
                self.meet(visit, &mut records, &mut frontier)?;
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
                    let belong = pair(&mut found.stat, &guard);
                    self.ancestors
                        .push((visit.path.clone(), belong.then_some(found.stat)));
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

    fn meet(
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
        self.print(&path, &reading);
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
        let acl = match acl {
            Some(Reading::Found(guard)) => {
                if !pair(&mut found.stat, &guard) {
                    self.dirty.insert(path.clone());
                }
                guard.acl
            }
            Some(Reading::Denied | Reading::Undecodable(_)) => {
                self.see(&path, UNREADABLE);
                self.unreadable(&path);
                records.push(unreadable(path));
                return Ok(());
            }
            // Gone by now; whether for good, with all below it, is for the second look to say.
            Some(Reading::Missing) | None => {
                self.dirty.insert(path);
                return Ok(());
            }
        };
        let children = found.children.iter().filter_map(|name| self.child(&path, name));
        let children: Vec<_> = children.collect();
        if children.len() < found.children.len() {
            self.note_names(&path, &found.children);
        }
        self.listed += children.len();
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
        Ok(())
    }

    /// The child called `name`, where it can be asked for and belongs in a capture.
    pub(super) fn child(&self, path: &ZnodePath, name: &str) -> Option<ZnodePath> {
        if self.keeper && path.is_root() && name == "keeper" {
            return None;
        }
        let child = path.child(name).ok()?;
        (child.as_str().len() <= LONGEST && child.depth() <= DEEPEST).then_some(child)
    }

    /// Notes children that cannot be asked for. No server has any; if one does, the backup must not hide it.
    pub(super) fn note_names(&mut self, path: &ZnodePath, names: &[String]) {
        self.refused.remove(path);
        let is_keepers = |name: &str| self.keeper && path.is_root() && name == "keeper";
        let (mut count, mut some) = (0, Vec::new());
        for name in names {
            if self.child(path, name).is_none() && !is_keepers(name) {
                count += 1;
                if some.len() < NAMED && self.refused.len() < NAMED {
                    let start: String = name.chars().take(SHOWN).collect();
                    some.push(format!("{path}: {start:?}"));
                }
            }
        }
        if count > 0 {
            self.refused.insert(path.clone(), (count, some));
        }
    }

    /// Adds them to what could not be read.
    pub(super) fn tell_of_names(&mut self) {
        for (count, some) in std::mem::take(&mut self.refused).into_values() {
            self.summary.unreadable += count;
            let room = NAMED.saturating_sub(self.summary.refused_names.len());
            self.summary.refused_names.extend(some.into_iter().take(room));
        }
    }

    pub(super) fn see(&mut self, path: &ZnodePath, what: u32) {
        self.seen.set(self.keys.path(path), what);
    }

    pub(super) fn unreadable(&mut self, path: &ZnodePath) {
        self.summary.unreadable += 1;
        if self.summary.unreadable_paths.len() < NAMED {
            self.summary.unreadable_paths.push(path.clone());
        }
    }

    /// Notes what would change if the znode did.
    fn print(&mut self, path: &ZnodePath, reading: &Reading) {
        let Some(walks) = &mut self.walks else { return };
        let stat = match reading {
            Reading::Found(found) => found.stat,
            Reading::Denied | Reading::Undecodable(_) => Stat::default(),
            Reading::Missing => return,
        };
        let numbers = [
            stat.czxid,
            stat.mzxid,
            stat.pzxid,
            i64::from(stat.cversion),
            i64::from(stat.aversion),
        ];
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let print = self.keys.key::<2>(&[&bytes]).0;
        let key = self.keys.path(path);
        let before = walks.last.as_ref().and_then(|last| last.get(&key));
        let twice = walks.this.insert(key, print).is_some();
        if walks.last.is_some() && (before != Some(&print) || twice) {
            walks.differ += 1;
            if walks.named.len() < NAMED {
                walks.named.push(path.clone());
            }
        }
    }

    pub(super) async fn send(&self, portion: Portion) -> Result<(), CaptureError> {
        self.sink
            .send(portion)
            .await
            .map_err(|_| CaptureError::SinkClosed)
    }
}
