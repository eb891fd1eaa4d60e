//! Making an index: entries are taken in the order of the archive, and sorted.

use std::collections::HashMap;
use std::io::{Read, Seek, Write};

use super::entry::{Known, Node, Place, What, parents, split};
use super::file::IndexFile;
use super::merge::{Run, RunWriter, Summed, merge};
use super::pack::Packer;
use crate::archive::{Amendment, ArchiveError, Frame, Record, Role};
use crate::tree::{Stat, ZnodePath};

/// So many bytes of entries are held; more wait in a file.
const ROOM: usize = 16 << 20;
/// So many of these files are open.
const RUNS: usize = 64;
/// Whether to go on is asked after so many entries.
const ASKED: usize = 10_000;

/// Gathers where the records of an archive are, and writes an index of them.
///
/// Holds 16 MiB. What is more waits in files without a name in the directory for temporary files: paths and `Stat`s, no data.
pub struct IndexWriter {
    families: Vec<Family>,
    known: HashMap<Vec<u8>, u32>,
    /// The family of the last entry.
    family: u32,
    names: Vec<u8>,
    entries: Vec<Gathered>,
    held: usize,
    room: usize,
    runs: Vec<Run>,
}

/// Entries with one parent.
struct Family {
    parent: Vec<u8>,
    /// How many children there are more; of fewer the two's complement.
    more: u32,
}

struct Gathered {
    family: u32,
    /// Where its name begins, and ends.
    name: (u32, u32),
    known: Known,
}

impl std::fmt::Debug for IndexWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexWriter")
            .field("entries", &self.entries.len())
            .field("runs", &self.runs.len())
            .finish_non_exhaustive()
    }
}

impl Default for IndexWriter {
    fn default() -> Self {
        Self::with_room(ROOM)
    }
}

impl IndexWriter {
    pub(super) fn with_room(room: usize) -> Self {
        Self {
            families: Vec::new(),
            known: HashMap::new(),
            family: 0,
            names: Vec::new(),
            entries: Vec::new(),
            held: 0,
            room,
            runs: Vec::new(),
        }
    }

    /// Takes the next record, which is in `frame` of the archive.
    ///
    /// # Errors
    /// [`ArchiveError::NoIndex`] where a temporary file fails. No index comes of it then.
    pub fn add(&mut self, record: &Record, frame: usize) -> Result<(), ArchiveError> {
        let place = Place::Archive(number(frame)?);
        self.push(&record.path, of_record(record, place), 1)
    }

    /// Takes the next znode of a snapshot, which is in part `frame` of it, and has so many bytes of data.
    pub(crate) fn add_znode(
        &mut self,
        path: &ZnodePath,
        (stat, size): (Stat, u64),
        frame: usize,
    ) -> Result<(), ArchiveError> {
        let known = Known {
            place: Place::Archive(number(frame)?),
            what: What::Znode(Role::Captured),
            size,
            children: 0,
            stat,
        };
        self.push(path, known, 1)
    }

    /// Takes the next amendment, which is in `frame` of the amendments. They come after all records.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn amend(&mut self, amendment: &Amendment, frame: usize) -> Result<(), ArchiveError> {
        let place = Place::Amendments(number(frame)?);
        let gone = Known {
            place,
            what: What::Gone,
            ..Known::default()
        };
        let known = amendment
            .record
            .as_ref()
            .map_or(gone, |record| of_record(record, place));
        let more = u32::from(known.what != What::Gone).wrapping_sub(u32::from(amendment.supersedes));
        self.push(&amendment.path, known, more)
    }

    /// Writes the index, and gives `out` back with where its frames are. Flushes `out`; syncing it is the owner's part.
    ///
    /// # Errors
    /// Where `out` fails; [`ArchiveError::NoIndex`] where a temporary file does, or paths are too long.
    pub fn finish<W: Write>(self, out: W) -> Result<(W, Vec<Frame>), ArchiveError> {
        let mut packer = Packer::new(out);
        self.show(|node| packer.put(node))?;
        packer.finish()
    }

    /// The first entry in which `index` is not the one that would be written, in plain words. `go_on` says now and then whether to go on; what is
    /// behind is not compared then.
    ///
    /// # Errors
    /// [`ArchiveError::NoIndex`] where a temporary file fails, and those of the index.
    pub fn compare<R: Read + Seek + Send>(
        self,
        index: &IndexFile<R>,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<Option<String>, ArchiveError> {
        let (mut entries, mut compared) = (index.walk(), 0_usize);
        let shown = self.show(|node| {
            compared += 1;
            if compared.is_multiple_of(ASKED) && !go_on() {
                return Err(Ended::Stopped);
            }
            let path = || String::from_utf8_lossy(&node.path().concat()).into_owned();
            match entries.next()? {
                Some(there) if there == *node => Ok(()),
                Some(there) if there.order(node).is_eq() => {
                    Err(Ended::Apart(format!("it tells something else of {}", path())))
                }
                _ => Err(Ended::Apart(format!(
                    "{} is not where it should be in it",
                    path()
                ))),
            }
        });
        match shown {
            Ok(()) => {
                let more = || "it has znodes that the backup has not".to_owned();
                Ok(entries.next()?.map(|_| more()))
            }
            Err(Ended::Stopped) => Ok(None),
            Err(Ended::Apart(what)) => Ok(Some(what)),
            Err(Ended::Failed(error)) => Err(error),
        }
    }

    fn push(&mut self, path: &ZnodePath, known: Known, more: u32) -> Result<(), ArchiveError> {
        let (parent, name) = split(path.as_str().as_bytes());
        if self.held + parent.len() + name.len() > self.room {
            self.put_away()?;
        }
        let is_last = |family: &Family| family.parent == parent;
        if !self.families.get(self.family as usize).is_some_and(is_last) {
            self.family = self.family_of(parent)?;
        }
        let family = &mut self.families[self.family as usize];
        family.more = family.more.wrapping_add(more);
        let begin = number(self.names.len())?;
        self.names.extend_from_slice(name);
        self.entries.push(Gathered {
            family: self.family,
            name: (begin, number(self.names.len())?),
            known,
        });
        // With what sorting them takes.
        self.held += size_of::<Gathered>() + size_of::<u128>() + name.len();
        Ok(())
    }

    fn family_of(&mut self, parent: &[u8]) -> Result<u32, ArchiveError> {
        if let Some(family) = self.known.get(parent) {
            return Ok(*family);
        }
        let family = number(self.families.len())?;
        self.known.insert(parent.to_vec(), family);
        self.families.push(Family {
            parent: parent.to_vec(),
            more: 0,
        });
        self.held += 2 * parent.len() + size_of::<Family>() + 64;
        Ok(family)
    }

    fn put_away(&mut self) -> Result<(), ArchiveError> {
        if self.runs.len() == RUNS {
            let mut run = RunWriter::new().map_err(ArchiveError::NoIndex)?;
            merge(std::mem::take(&mut self.runs), |node| put(&mut run, node))?;
            self.runs.push(run.finish().map_err(ArchiveError::NoIndex)?);
        }
        let mut run = RunWriter::new().map_err(ArchiveError::NoIndex)?;
        self.sorted(|node| put(&mut run, node))?;
        self.runs.push(run.finish().map_err(ArchiveError::NoIndex)?);
        self.families.clear();
        self.known.clear();
        self.names.clear();
        self.entries.clear();
        self.held = 0;
        Ok(())
    }

    /// Shows what is held in its order, and with each how many children it has more.
    fn sorted<E>(&self, mut each: impl FnMut(&Node<'_>) -> Result<(), E>) -> Result<(), E> {
        let (families, entries) = sort(&self.families, &self.names, &self.entries);
        // Where a znode comes among the others, there its family comes among the families.
        let mut counts = families
            .iter()
            .filter_map(|family| self.count(*family))
            .peekable();
        let mut summed = Summed::default();
        for place in entries {
            let Gathered { family, name, known } = &self.entries[entry(place)];
            let node = Node {
                parent: &self.families[*family as usize].parent,
                name: text(&self.names, *name),
                known: *known,
            };
            while let Some(count) = counts.next_if(|count| count.order(&node).is_lt()) {
                summed.next(&count, &mut each)?;
            }
            summed.next(&node, &mut each)?;
        }
        counts.try_for_each(|count| summed.next(&count, &mut each))?;
        summed.end(&mut each)
    }

    /// What a family tells of its parent.
    fn count(&self, family: u32) -> Option<Node<'_>> {
        let Family { parent, more } = &self.families[family as usize];
        let known = Known {
            what: What::Children,
            children: *more,
            ..Known::default()
        };
        // Above the root is nothing.
        let (parent, name) = (!parent.is_empty()).then(|| split(parent))?;
        Some(Node { parent, name, known })
    }

    /// Shows all that is there in its order, with how many children it has.
    fn show<E: From<ArchiveError>>(
        mut self,
        mut each: impl FnMut(&Node<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.runs.is_empty() && !self.entries.is_empty() {
            self.put_away()?;
        }
        let runs = std::mem::take(&mut self.runs);
        let there = |node: &Node<'_>| match node.known.what {
            What::Znode(_) => each(&Node {
                known: Known {
                    // Fewer than none has none, whatever amendments say.
                    children: node.known.children.cast_signed().max(0).cast_unsigned(),
                    ..node.known
                },
                ..*node
            }),
            What::Gone | What::Children => Ok(()),
        };
        match runs.is_empty() {
            true => self.sorted(there),
            false => merge(runs, there),
        }
    }
}

/// Why entries are compared no further.
enum Ended {
    /// They differ, in plain words.
    Apart(String),
    Stopped,
    Failed(ArchiveError),
}

impl From<ArchiveError> for Ended {
    fn from(error: ArchiveError) -> Self {
        Self::Failed(error)
    }
}

fn put(run: &mut RunWriter, node: &Node<'_>) -> Result<(), ArchiveError> {
    run.put(node).map_err(ArchiveError::NoIndex)
}

fn of_record(record: &Record, place: Place) -> Known {
    Known {
        place,
        what: What::Znode(record.role),
        size: record.data.len() as u64,
        children: 0,
        stat: record.stat,
    }
}

fn number(number: usize) -> Result<u32, ArchiveError> {
    u32::try_from(number).map_err(|_| ArchiveError::NoSuchFrame(number))
}

fn text(names: &[u8], (begin, end): (u32, u32)) -> &[u8] {
    &names[begin as usize..end as usize]
}

/// Families in the order of their parents, and entries in theirs: by family and name, and of one znode as they were taken.
fn sort(families: &[Family], names: &[u8], entries: &[Gathered]) -> (Vec<u32>, Vec<u128>) {
    let mut order: Vec<_> = (0_u32..).take(families.len()).collect();
    let parent = |family: u32| &families[family as usize].parent;
    order.sort_unstable_by(|a, b| parents(parent(*a), parent(*b)));
    let mut ranks = vec![0_u32; families.len()];
    for (rank, family) in (0..).zip(&order) {
        ranks[*family as usize] = rank;
    }
    // The family, with how its name begins, and which entry it is: nearly always that tells all.
    let places = (0_u32..).zip(entries).map(|(entry, gathered)| {
        let name = text(names, gathered.name);
        let mut begins = [0; 8];
        let length = name.len().min(8);
        begins[..length].copy_from_slice(&name[..length]);
        let family = u128::from(ranks[gathered.family as usize]);
        family << 96 | u128::from(u64::from_be_bytes(begins)) << 32 | u128::from(entry)
    });
    let mut places: Vec<_> = places.collect();
    places.sort_unstable();
    let alike = |a: &u128, b: &u128| a >> 32 == b >> 32;
    for places in places.chunk_by_mut(alike).filter(|alike| alike.len() > 1) {
        let name = |place: &u128| text(names, entries[entry(*place)].name);
        places.sort_by(|a, b| name(a).cmp(name(b)));
    }
    (order, places)
}

/// Which entry is at a place.
fn entry(place: u128) -> usize {
    place as u32 as usize
}
