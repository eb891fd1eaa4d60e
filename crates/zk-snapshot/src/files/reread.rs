//! What changed while a snapshot was written, read until it is of one moment.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt};

use super::amend::RereadZnode;
use super::received_snapshot::ReceivedSnapshot;
use crate::tree::access::calls_with_restraint;
use crate::tree::{Changes, ClientError, Found, History, Reading, TreeWatch, ZnodePath, ZnodeReader};

/// How often what changed is read again before that is given up.
const ROUNDS: usize = 200;
/// How often it is read for the sake of the access control lists alone.
const LISTS: usize = 50;
/// Znodes, and bytes of their data, that are read in one request, and so are all of one moment.
const AT_ONCE: usize = 4_096;
const AT_ONCE_BYTES: usize = 8 << 20;
/// Znodes in one request where they are more, or where it is not known yet how large they are.
const BATCH: usize = 16;
/// Data of changed znodes that are held, in bytes.
const HELD: usize = 128 << 20;
/// Bytes that a znode takes beside its data, also one that is not there any more.
const ZNODE: usize = 200;

/// How many znodes are named in a message.
pub(super) const NAMED: usize = 20;

/// Znodes, each as it was at the same moment; `None` where there was none.
#[derive(Default)]
pub(super) struct Reread {
    pub(super) znodes: BTreeMap<ZnodePath, Option<RereadZnode>>,
    /// Whether they were read at that moment. Else their data and `Stat` were the same then, and their access control
    /// lists, whose changes nobody is told of, may not have been.
    pub(super) at_once: bool,
    /// Whether their lists are known to be those at the newest zxid that any of them speaks of. A change of a list has a
    /// zxid that no `Stat` shows.
    pub(super) lists_exact: bool,
    /// Whether a list may have changed since the last moment, when `newest` was that zxid.
    list_changed: bool,
    newest: i64,
    /// Whether others are held than at the last moment, whose changes may have been before it.
    joined: bool,
}

impl Reread {
    /// Reads `dirty`, and whatever `watch` says that it changes, until nothing else does. The moment is after this was
    /// called.
    pub(super) async fn until_quiet(
        &mut self,
        reader: &dyn ZnodeReader,
        watch: &mut dyn TreeWatch,
        mut dirty: BTreeSet<ZnodePath>,
    ) -> Result<(), String> {
        if !reader.sync().await.map_err(words)? {
            return Err("its server cannot be told to catch up".to_owned());
        }
        dirty.extend(changes(watch)?);
        for round in 0..ROUNDS {
            (self.list_changed, self.joined) = (false, false);
            self.at_once = self.read(reader, &dirty).await?;
            let newest = self.newest_zxid();
            // Something else happened since the last moment, and the lists were the same all the time.
            let since = newest > self.newest && !self.joined && !self.list_changed;
            self.lists_exact =
                self.at_once && (since || self.guarded().all(|(_, later)| later.stat.aversion == 0));
            self.newest = newest;
            let mut changed: BTreeSet<_> = changes(watch)?.collect();
            if self.at_once {
                // That moment has passed for these, whatever became of them afterwards.
                changed.retain(|path| !self.znodes.contains_key(path));
            }
            dirty = self.guards(reader).await?;
            dirty.append(&mut changed);
            if dirty.is_empty() && (self.lists_exact || !self.at_once || round >= LISTS) {
                return Ok(());
            }
            bearable(self.bytes())?;
        }
        Err(format!("this kept changing: {}", names(dirty.iter())))
    }

    /// Reads `dirty`, and with it all that is held if that can be done at once, which it says.
    async fn read(&mut self, reader: &dyn ZnodeReader, dirty: &BTreeSet<ZnodePath>) -> Result<bool, String> {
        let (mut known, new): (Vec<_>, Vec<_>) = dirty
            .iter()
            .cloned()
            .partition(|path| self.znodes.contains_key(path));
        if self.at_once {
            // What was told of these since the last moment has been passed over.
            known = self.znodes.keys().cloned().collect();
        }
        self.joined = !new.is_empty();
        self.batches(reader, &new).await?;
        if self.znodes.len() <= AT_ONCE && self.bytes() <= AT_ONCE_BYTES {
            let all: Vec<_> = self.znodes.keys().cloned().collect();
            let readings = reader.read_at_once(&all).await.map_err(words)?;
            if let Some(readings) = readings {
                self.take(&all, readings)?;
                return Ok(true);
            }
        }
        self.batches(reader, &known).await?;
        // What changed before this is answered has been told by then.
        let barrier = reader.read_many(&[ZnodePath::root()], History::One).await;
        barrier.map(|_| false).map_err(words)
    }

    async fn batches(&mut self, reader: &dyn ZnodeReader, paths: &[ZnodePath]) -> Result<(), String> {
        let batches: Vec<_> = paths
            .chunks(BATCH)
            .map(|batch| reader.read_at_once(batch))
            .collect();
        let answers = stream::iter(batches).buffered(calls_with_restraint(reader));
        let mut answers = answers.zip(stream::iter(paths.chunks(BATCH)));
        while let Some((answer, batch)) = answers.next().await {
            let readings = answer.map_err(words)?;
            self.take(batch, readings.ok_or("its server cannot read so much at once")?)?;
        }
        Ok(())
    }

    fn take(&mut self, paths: &[ZnodePath], readings: Vec<Reading>) -> Result<(), String> {
        for (path, reading) in paths.iter().zip(readings) {
            let Found { data, stat, .. } = match reading {
                Reading::Found(found) => found,
                Reading::Missing => {
                    self.znodes.insert(path.clone(), None);
                    continue;
                }
                Reading::Denied => return Err(format!("we may not read {path}")),
                Reading::Undecodable(why) => return Err(format!("{path} cannot be understood: {why}")),
            };
            let before = self.znodes.get_mut(path).and_then(Option::take);
            let acl = before.filter(|before| before.stat.same_acl(&stat));
            self.list_changed |= acl.is_none() && stat.aversion > 0;
            let later = RereadZnode {
                data,
                stat,
                acl: acl.and_then(|before| before.acl),
                owner: None,
            };
            self.znodes.insert(path.clone(), Some(later));
        }
        Ok(())
    }

    /// Asks for the access control lists that are not known. Returns the znodes that have got another meanwhile, or are
    /// gone.
    async fn guards(&mut self, reader: &dyn ZnodeReader) -> Result<BTreeSet<ZnodePath>, String> {
        let (mut paths, mut unknown) = (Vec::new(), Vec::new());
        for (path, later) in there_mut(&mut self.znodes) {
            if later.acl.is_none() && !later.stat.is_ephemeral() {
                paths.push(path.clone());
                unknown.push(later);
            }
        }
        let guards = reader.read_acls(&paths).await.map_err(words)?;
        let mut changed = BTreeSet::new();
        for ((path, later), guard) in paths.into_iter().zip(unknown).zip(guards) {
            match guard {
                Reading::Found(guard) if guard.stat.same_acl(&later.stat) => later.acl = Some(guard.acl),
                Reading::Found(_) | Reading::Missing => drop(changed.insert(path)),
                Reading::Denied => return Err(format!("we may not read the access control list of {path}")),
                Reading::Undecodable(why) => {
                    return Err(format!(
                        "the access control list of {path} cannot be understood: {why}"
                    ));
                }
            }
        }
        Ok(changed)
    }

    fn newest_zxid(&self) -> i64 {
        let zxids = self.there().map(|(_, later)| later.stat.newest_zxid());
        zxids.max().unwrap_or_default()
    }

    fn bytes(&self) -> usize {
        let data = self.there().map(|(_, later)| later.data.len());
        data.sum::<usize>() + self.znodes.len() * ZNODE
    }

    /// Whether no list was changed since `received` was begun, as far as these tell.
    pub(super) fn lists_kept(&self, received: &ReceivedSnapshot) -> bool {
        self.guarded()
            .all(|(path, later)| later.stat.aversion == 0 || received.acl(path, &later.stat).is_some())
    }

    /// Takes from a snapshot what clients are not shown.
    pub(super) fn learn(&mut self, received: &ReceivedSnapshot) {
        for (path, later) in there_mut(&mut self.znodes) {
            later.owner = later.owner.or_else(|| received.owner(path, later.stat.czxid));
            if later.is_masked()
                && let Some(acl) = received.acl(path, &later.stat)
            {
                later.acl = Some(acl);
            }
        }
    }

    /// Whether every znode has the access control list in `next` that it had.
    pub(super) fn same_acls(&self, next: &ReceivedSnapshot) -> bool {
        self.guarded()
            .all(|(path, later)| next.acl(path, &later.stat).is_some())
    }

    /// Those with an access control list that matters.
    fn guarded(&self) -> impl Iterator<Item = (&ZnodePath, &RereadZnode)> {
        self.there().filter(|(_, later)| !later.stat.is_ephemeral())
    }

    /// Whether the end of `path` was told, and not only that of a child of it.
    pub(super) fn has_ended(&self, path: &ZnodePath) -> bool {
        let of_child = |other: &ZnodePath| other.parent().as_ref() == Some(path);
        matches!(self.znodes.get(path), Some(None)) && !self.znodes.keys().any(of_child)
    }

    /// The znodes that were there.
    fn there(&self) -> impl Iterator<Item = (&ZnodePath, &RereadZnode)> {
        let all = self.znodes.iter();
        all.filter_map(|(path, later)| Some((path, later.as_ref()?)))
    }

    /// Those whose kind is not known.
    pub(super) fn of_no_kind(&self) -> impl Iterator<Item = &ZnodePath> {
        self.guarded()
            .filter_map(|(path, later)| later.owner.is_none().then_some(path))
    }

    /// Those whose access control lists came without their digests.
    pub(super) fn masked(&self) -> impl Iterator<Item = &ZnodePath> {
        self.there()
            .filter_map(|(path, later)| later.is_masked().then_some(path))
    }
}

fn there_mut(
    znodes: &mut BTreeMap<ZnodePath, Option<RereadZnode>>,
) -> impl Iterator<Item = (&ZnodePath, &mut RereadZnode)> {
    let all = znodes.iter_mut();
    all.filter_map(|(path, later)| Some((path, later.as_mut()?)))
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` has it
pub(super) fn words(error: ClientError) -> String {
    error.to_string()
}

/// Whether that much can be held.
fn bearable(bytes: usize) -> Result<(), String> {
    match bytes > HELD {
        true => Err(format!("more than {HELD} bytes of data changed meanwhile")),
        false => Ok(()),
    }
}

/// Adds to `told` what `watch` tells.
pub(super) fn listen(told: &mut BTreeSet<ZnodePath>, watch: &mut dyn TreeWatch) -> Result<(), String> {
    told.extend(changes(watch)?);
    bearable(told.len() * ZNODE)
}

fn changes(watch: &mut dyn TreeWatch) -> Result<impl Iterator<Item = ZnodePath> + use<>, String> {
    match watch.take() {
        Changes::Of(paths) => Ok(paths.into_iter()),
        Changes::Lost => Err("the connection was lost meanwhile".to_owned()),
    }
}

pub(super) fn names<'a>(paths: impl ExactSizeIterator<Item = &'a ZnodePath>) -> String {
    let more = paths.len().saturating_sub(NAMED);
    let mut names: Vec<_> = paths.take(NAMED).map(ZnodePath::to_string).collect();
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests;
