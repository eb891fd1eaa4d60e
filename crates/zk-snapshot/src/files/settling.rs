//! Making exact what a server hands out while clients write: `docs/decisions/0008` has the proof.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt};

use super::handout::{Handout, Later};
use super::{FileError, Gathered};
use crate::{Changes, ClientError, Found, History, Reading, TreeWatch, ZnodePath, ZnodeReader};

/// How often what changed is read again before that is given up.
const ROUNDS: usize = 200;
/// Znodes, and bytes of their data, that are read again at once, and so are all of one moment.
const AT_ONCE: usize = 4_096;
const AT_ONCE_BYTES: usize = 8 << 20;
/// Znodes that are read in one go where they are more.
const BATCH: usize = 16;
/// Access control lists of which a few znodes each are read in one go.
const LISTS: usize = 5;
/// Data of changed znodes that are held, in bytes.
const HELD: usize = 128 << 20;
/// How many znodes are named in a message.
const NAMED: usize = 20;

/// Turns snapshots that a server hands out into the state at one moment: what changed meanwhile is read through the
/// client API until nothing does, while a watch tells what that is.
///
/// In turns: [`begin`](Self::begin), then a session of any client is begun, then a snapshot is asked for, and both
/// are given to [`round`](Self::round).
pub struct Settling<'a> {
    reader: &'a dyn ZnodeReader,
    watch: Option<Box<dyn TreeWatch>>,
    best: Option<Settled>,
}

/// A snapshot, and what some znodes were at one later moment.
pub struct Settled {
    handout: Handout,
    reread: Option<Reread>,
    /// Whether every access control list is known to be that of the moment.
    acls_exact: bool,
    /// Why nothing was read again.
    why: Vec<String>,
}

struct Reread {
    later: BTreeMap<ZnodePath, Option<Later>>,
    /// Whether it was read at that moment; else data and `Stat` were the same, and the lists may not have been.
    at_once: bool,
    /// Znodes whose access control lists came without their digests.
    masked: BTreeSet<ZnodePath>,
}

impl<'a> Settling<'a> {
    /// Reads what changed through `reader`, which must be allowed to read everything.
    #[must_use]
    pub fn new(reader: &'a dyn ZnodeReader) -> Self {
        Self {
            reader,
            watch: None,
            best: None,
        }
    }

    /// Watches the tree, and forgets what changed before now.
    ///
    /// # Errors
    /// [`ClientError`] when the ensemble cannot be reached in time.
    pub async fn begin(&mut self) -> Result<(), ClientError> {
        let lost = match &mut self.watch {
            Some(watch) => watch.take() == Changes::Lost,
            None => true,
        };
        if lost {
            self.watch = self.reader.watch(&[ZnodePath::root()]).await?;
        }
        Ok(())
    }

    /// Settles `handout`, which must have been asked for after the session `marker` had begun, and that after
    /// [`begin`](Self::begin). Returns what nothing better can be made of. Where there is none yet, the next
    /// snapshot may help.
    pub async fn round(&mut self, handout: Handout, marker: Option<i64>) -> Option<Settled> {
        if handout.is_exact() {
            return Some(Settled::bare(handout, Vec::new()));
        }
        if !marker.is_some_and(|marker| handout.knows(marker)) {
            self.failed(handout, "its server was behind, or shows no sessions");
            return None;
        }
        if let Some(mut settled) = self.best.take_if(|best| best.reread.is_some()) {
            settled.learn(&handout);
            if settled.unsettled().is_empty() {
                return Some(settled);
            }
            self.best = Some(settled);
        }
        match self.settle(&handout).await {
            Ok(reread) => {
                self.best = Some(Settled {
                    reread: Some(reread),
                    ..Settled::bare(handout, Vec::new())
                });
            }
            Err(why) => self.failed(handout, &why),
        }
        None
    }

    /// The best that came of it: at one moment, or as one of the snapshots was.
    #[must_use]
    pub fn end(self) -> Option<Settled> {
        self.best
    }

    fn failed(&mut self, handout: Handout, why: &str) {
        if self.best.as_ref().is_none_or(|best| best.reread.is_none()) {
            self.best = Some(Settled::bare(handout, vec![why.to_owned()]));
        }
    }

    /// What the znodes that changed since [`begin`](Self::begin) are at one moment after the end of `handout`.
    async fn settle(&mut self, handout: &Handout) -> Result<Reread, String> {
        let words = |error: ClientError| error.to_string();
        self.reader.sync().await.map_err(words)?;
        check_readable(self.reader, handout).await?;
        let watch = self.watch.as_deref_mut();
        let watch = watch.ok_or("its server cannot watch the whole tree")?;
        let mut reread = Rereading {
            reader: self.reader,
            handout,
            held: BTreeMap::new(),
            unpaired: BTreeSet::new(),
        };
        let mut dirty = BTreeSet::from([ZnodePath::root()]);
        dirty.extend(handout.without_acl());
        dirty.extend(changes(watch)?);
        for _ in 0..ROUNDS {
            let at_once = reread.read(&dirty).await?;
            let changed: BTreeSet<_> = changes(watch)?.collect();
            dirty = std::mem::take(&mut reread.unpaired);
            // What was read at once is of one moment, whatever became of it afterwards.
            let outside = |path| !(at_once && reread.held.contains_key(path));
            if dirty.is_empty() && !changed.iter().any(outside) {
                return Ok(reread.end(at_once));
            }
            dirty.extend(changed);
            if reread.bytes() > HELD {
                return Err(format!("more than {HELD} bytes of data changed meanwhile"));
            }
        }
        Err(format!("this kept changing: {}", names(dirty.iter())))
    }
}

/// A server need not tell of what it does not let us read.
async fn check_readable(reader: &dyn ZnodeReader, handout: &Handout) -> Result<(), String> {
    for lists in handout.samples().chunks(LISTS) {
        let readings = reader.read_at_once(&lists.concat()).await;
        let readings = readings.map_err(|error| error.to_string())?;
        let mut readings = readings.ok_or("its server cannot read at once")?.into_iter();
        for paths in lists {
            let mut answers = readings.by_ref().take(paths.len());
            let answer = answers.find(|reading| !matches!(reading, Reading::Missing));
            answers.for_each(drop);
            if !matches!(answer, Some(Reading::Found(_))) {
                return Err(format!(
                    "we may not read {}, or it is gone: changes may not have been seen",
                    paths[0]
                ));
            }
        }
    }
    Ok(())
}

fn changes(watch: &mut dyn TreeWatch) -> Result<impl Iterator<Item = ZnodePath> + use<>, String> {
    match watch.take() {
        Changes::Of(paths) => Ok(paths.into_iter()),
        Changes::Lost => Err("the connection was lost meanwhile".to_owned()),
    }
}

fn names<'a>(paths: impl ExactSizeIterator<Item = &'a ZnodePath>) -> String {
    let more = paths.len().saturating_sub(NAMED);
    let mut names: Vec<_> = paths.take(NAMED).map(ZnodePath::to_string).collect();
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

/// What changed, read until it is of one moment.
struct Rereading<'a> {
    reader: &'a dyn ZnodeReader,
    handout: &'a Handout,
    held: BTreeMap<ZnodePath, Option<Later>>,
    /// Those whose access control list was read apart from them, and may be of another moment.
    unpaired: BTreeSet<ZnodePath>,
}

impl Rereading<'_> {
    /// Reads `dirty`, and with it all that is held if that can be done at once.
    async fn read(&mut self, dirty: &BTreeSet<ZnodePath>) -> Result<bool, String> {
        let words = |error: ClientError| error.to_string();
        let few = self.held.len() + dirty.len() <= AT_ONCE && self.bytes() <= AT_ONCE_BYTES;
        let all: Vec<_> = self.held.keys().chain(dirty).cloned().collect();
        let all = BTreeSet::from_iter(all).into_iter().collect::<Vec<_>>();
        if few && let Some(readings) = self.reader.read_at_once(&all).await.map_err(words)? {
            self.take(all.into_iter().zip(readings).collect()).await?;
            return Ok(true);
        }
        let paths: Vec<_> = dirty.iter().cloned().collect();
        let (reader, mut readings) = (self.reader, Vec::with_capacity(paths.len()));
        let batches: Vec<_> = paths
            .chunks(BATCH)
            .map(|batch| reader.read_at_once(batch))
            .collect();
        let mut answers = stream::iter(batches).buffered(reader.batches_in_flight().max(1));
        while let Some(answer) = answers.next().await {
            readings.extend(answer.map_err(words)?.ok_or("its server cannot read at once")?);
        }
        drop(answers);
        self.take(paths.into_iter().zip(readings).collect()).await?;
        // What changed before this is answered has been told by then.
        reader
            .read_many(&[ZnodePath::root()], History::One)
            .await
            .map_err(words)?;
        Ok(false)
    }

    /// Takes readings over, with access control lists that are known to belong to them; others are asked for.
    async fn take(&mut self, readings: Vec<(ZnodePath, Reading)>) -> Result<(), String> {
        let mut unknown = Vec::new();
        for (path, reading) in readings {
            let found = match reading {
                Reading::Found(found) => found,
                Reading::Missing => {
                    self.held.insert(path, None);
                    continue;
                }
                Reading::Denied => return Err(format!("we may not read {path}")),
            };
            let held = self.held.get_mut(&path).and_then(Option::take);
            let same = |held: &Later| {
                held.stat.czxid == found.stat.czxid && held.stat.aversion == found.stat.aversion
            };
            let acl = match held.filter(same) {
                Some(held) => Some(held.acl),
                None if found.stat.is_ephemeral() => Some(crate::Acl::default()),
                None => self.handout.acl(&path, &found.stat),
            };
            match acl {
                Some(acl) => self.hold(path, found, acl),
                None => unknown.push((path, found)),
            }
        }
        let paths: Vec<_> = unknown.iter().map(|(path, _)| path.clone()).collect();
        let guards = self
            .reader
            .read_acls(&paths)
            .await
            .map_err(|error| error.to_string())?;
        for ((path, mut found), guard) in unknown.into_iter().zip(guards) {
            self.unpaired.insert(path.clone());
            match guard {
                Reading::Found(guard) => {
                    // With the list's own marks, so that it is seen whether they still belong together.
                    (found.stat.czxid, found.stat.aversion) = (guard.stat.czxid, guard.stat.aversion);
                    self.hold(path, found, guard.acl);
                }
                Reading::Missing => drop(self.held.insert(path, None)),
                Reading::Denied => return Err(format!("we may not read the list of {path}")),
            }
        }
        Ok(())
    }

    fn hold(&mut self, path: ZnodePath, found: Found, acl: crate::Acl) {
        let owner = self.handout.owner(&path, found.stat.czxid);
        let later = Later {
            data: found.data,
            stat: found.stat,
            acl,
            owner,
        };
        self.held.insert(path, Some(later));
    }

    fn bytes(&self) -> usize {
        let held = self.held.values().flatten();
        held.map(|later| later.data.len() + 200).sum()
    }

    fn end(self, at_once: bool) -> Reread {
        let hidden = |(path, later): (&ZnodePath, &Option<Later>)| {
            let masked = later.as_ref().is_some_and(|later| later.acl.is_masked());
            masked.then(|| path.clone())
        };
        Reread {
            masked: self.held.iter().filter_map(hidden).collect(),
            later: self.held,
            at_once,
        }
    }
}

impl Settled {
    fn bare(handout: Handout, why: Vec<String>) -> Self {
        Self {
            handout,
            reread: None,
            acls_exact: false,
            why,
        }
    }

    /// Takes from a later snapshot what clients are not shown.
    fn learn(&mut self, next: &Handout) {
        let Some(reread) = &mut self.reread else { return };
        self.acls_exact = self.handout.same_acls(next, &reread.later);
        for (path, later) in &mut reread.later {
            let Some(later) = later.as_mut().filter(|later| !later.stat.is_ephemeral()) else {
                continue;
            };
            let acl = next.acl(path, &later.stat);
            self.acls_exact &= reread.at_once || acl.is_some();
            if let Some(acl) = acl
                && reread.masked.remove(path)
            {
                later.acl = acl;
            }
            later.owner = later.owner.or_else(|| next.owner(path, later.stat.czxid));
        }
    }

    /// Why it is not the state of the moment.
    fn unsettled(&self) -> Vec<String> {
        let Some(reread) = &self.reread else {
            return self.why.clone();
        };
        let of_no_kind = |later: &Later| later.owner.is_none() && !later.stat.is_ephemeral();
        let there = reread
            .later
            .iter()
            .filter_map(|(path, later)| Some((path, later.as_ref()?)));
        let unknown: Vec<_> = there
            .filter(|(_, later)| of_no_kind(later))
            .map(|(path, _)| path)
            .collect();
        let mut why = Vec::new();
        if !unknown.is_empty() {
            why.push(format!(
                "created meanwhile, and kept as persistent since their kind is not known: {}",
                names(unknown.into_iter())
            ));
        }
        if !reread.masked.is_empty() {
            why.push(format!(
                "the digests in their access control lists were not shown to us: {}",
                names(reread.masked.iter())
            ));
        }
        why
    }

    /// The state. Blocks while it reads the snapshot.
    ///
    /// # Errors
    /// [`FileError`] if it lacks something, or what was read later does not fit to it.
    pub fn gathered(self) -> Result<Gathered, FileError> {
        let unsettled = self.unsettled();
        let Some(reread) = &self.reread else {
            let mut gathered = self.handout.into_gathered()?;
            gathered.report.unsettled = unsettled;
            return Ok(gathered);
        };
        let mut gathered = self.handout.at(&reread.later)?;
        gathered.exact = unsettled.is_empty();
        gathered.report.unsettled = unsettled;
        gathered.report.acls_exact = self.acls_exact;
        Ok(gathered)
    }
}
