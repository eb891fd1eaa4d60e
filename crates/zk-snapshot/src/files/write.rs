//! Writing clean snapshots.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

use super::Fault;
use super::acls::Acls;
use super::adler::Sum;
use super::base::{PART, Piece};
use super::jute::put_buffer;
use super::paths::parent;
use super::records::LONGEST_PART;
use super::second_read::SecondRead;
use super::snapshot::{END, MAGIC};
use super::tree::FileTree;

const DIGEST_VERSION: i32 = 2;

/// Parts that are made before the one that is written.
const AHEAD: usize = 2;

/// So many znodes, in so many bytes.
type Part = (Vec<u8>, u64);

/// Hands on parts, and sums up what went through it.
struct Out {
    part: Vec<u8>,
    znodes: u64,
    /// Of what is before `summed` in the part.
    sum: Sum,
    summed: usize,
    parts: SyncSender<Part>,
    used: Receiver<Vec<u8>>,
}

impl Out {
    fn add_up(&mut self) {
        if self.summed < self.part.len() {
            self.sum = self.sum.and(Sum::of(&self.part[self.summed..]));
            self.summed = self.part.len();
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.add_up();
        let mut empty = self.used.try_recv().unwrap_or_default();
        empty.clear();
        let part = std::mem::replace(&mut self.part, empty);
        self.summed = 0;
        self.parts
            .send((part, std::mem::take(&mut self.znodes)))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn copy(&mut self, second: &mut SecondRead<'_>, at: u64, length: u32) -> io::Result<()> {
        self.add_up();
        let copied = second.copy(at, length, &mut self.part)?;
        self.sum = self.sum.and(copied);
        self.summed = self.part.len();
        Ok(())
    }

    fn node(&mut self, tree: &FileTree, at: u32) -> io::Result<()> {
        let seen = tree.show(tree.node(at));
        put_buffer(&mut self.part, Some(seen.path));
        put_buffer(&mut self.part, seen.data);
        self.part
            .extend_from_slice(&tree.acls.id(seen.node.acl).to_be_bytes());
        seen.node.stat.write(&mut self.part);
        self.counted(1)
    }

    fn counted(&mut self, znodes: u64) -> io::Result<()> {
        self.znodes += znodes;
        if self.part.len() as u64 >= PART {
            self.flush()?;
        }
        Ok(())
    }
}

impl FileTree {
    /// Writes the tree as a snapshot that every release since 3.4 can start from, with the checksums and the
    /// digest that newer ones look for; its name must be `snapshot.` and the zxid in lower-case hex. Hands on
    /// parts that begin and end between znodes, with the number of znodes in each.
    ///
    /// # Errors
    /// What `sink` gave, and whatever keeps the snapshot that the tree began with from being read once more.
    pub fn write(&self, mut sink: impl FnMut(&[u8], u64) -> io::Result<()>) -> io::Result<()> {
        std::thread::scope(|scope| {
            let ((parts, made), (empty, used)) = (sync_channel(AHEAD), channel());
            let maker = scope.spawn(move || {
                self.make(Out {
                    part: Vec::new(),
                    znodes: 0,
                    sum: Sum::of(&[]),
                    summed: 0,
                    parts,
                    used,
                })
            });
            let mut written = Ok(());
            for (part, znodes) in made {
                written = match part.len() as u64 {
                    ..=LONGEST_PART => sink(&part, znodes),
                    bytes => Err(io::Error::other(format!(
                        "{bytes} bytes belong together (a znode, or all access control lists), and at most {LONGEST_PART} may"
                    ))),
                };
                if written.is_err() {
                    break;
                }
                // It is no matter if nobody fills it again.
                let _ = empty.send(part);
            }
            let made = maker.join().unwrap_or_else(|panic| resume_unwind(panic));
            written.and(made)
        })
    }

    fn make(&self, mut out: Out) -> io::Result<()> {
        self.head(&mut out.part);
        out.flush()?;
        self.znodes(&mut out)?;
        if out.znodes > 0 {
            out.flush()?;
        }
        out.part.extend_from_slice(END);
        let seal = |out: &mut Out| {
            out.add_up();
            out.part.extend_from_slice(&out.sum.adler().to_be_bytes());
            out.part.extend_from_slice(END);
        };
        seal(&mut out);
        out.part.extend_from_slice(&self.zxid().to_be_bytes());
        out.part.extend_from_slice(&DIGEST_VERSION.to_be_bytes());
        out.part.extend_from_slice(&self.digest().to_be_bytes());
        seal(&mut out);
        out.part.extend_from_slice(&self.zxid().to_be_bytes());
        seal(&mut out);
        out.flush()
    }

    fn head(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&2_i32.to_be_bytes());
        out.extend_from_slice(&(-1_i64).to_be_bytes());
        out.extend_from_slice(&0_i32.to_be_bytes()); // sessions
        let mut used = self.base.acls.clone();
        used.extend(self.seen().map(|seen| seen.node.acl));
        let used: Vec<_> = used.into_iter().filter(|number| *number != Acls::OPEN).collect();
        self.acls.write(&used, out);
    }

    /// Depth first, as servers do it, if the snapshot was.
    fn znodes(&self, out: &mut Out) -> io::Result<()> {
        let created = self.created();
        let mut below: HashMap<u32, Vec<Range<usize>>> = HashMap::new();
        for (place, at) in created.iter().enumerate() {
            let above = parent(self.path(self.node(*at))).and_then(|path| self.find(path));
            let above = above.ok_or_else(|| io::Error::other("a znode without a parent"))?;
            if above < self.base.nodes {
                let runs = below.entry(above).or_default();
                match runs.last_mut() {
                    Some(run) if run.end == place => run.end += 1,
                    _ => runs.push(place..place + 1),
                }
            } else {
                // It follows its parent, which is of this run.
                let top = self.top(above);
                if let Some(run) = below.get_mut(&top).and_then(|runs| runs.last_mut()) {
                    run.end = place + 1;
                }
            }
        }
        self.base.source.open(|input| {
            let mut second = SecondRead::over(input);
            for piece in &self.base.pieces {
                match piece {
                    Piece::Quiet { at, length, znodes } => {
                        out.copy(&mut second, *at, *length)?;
                        out.counted(u64::from(*znodes))?;
                    }
                    Piece::Node(at) if !self.node(*at).is_gone() => {
                        out.node(self, *at)?;
                        let runs = below.get(at).into_iter().flatten();
                        for at in runs.flat_map(|run| &created[run.clone()]) {
                            out.node(self, *at)?;
                        }
                    }
                    Piece::Node(_) => {}
                }
            }
            match second.whole()? == self.base.seal {
                true => Ok(()),
                false => Err(io::Error::other(Fault::Changed)),
            }
        })
    }

    /// What the snapshot did not have, depth first.
    fn created(&self) -> Vec<u32> {
        let all = self.base.nodes..self.places().end;
        let mut created: Vec<u32> = all.filter(|at| !self.node(*at).is_gone()).collect();
        created.sort_unstable_by(|a, b| {
            let parts = |at: &u32| self.path(self.node(*at)).split(|byte| *byte == b'/');
            parts(a).cmp(parts(b))
        });
        created
    }

    /// The nearest node above that is from the snapshot.
    fn top(&self, mut at: u32) -> u32 {
        while at >= self.base.nodes {
            match parent(self.path(self.node(at))).and_then(|path| self.find(path)) {
                Some(above) => at = above,
                None => break,
            }
        }
        at
    }

    /// The name of the snapshot that [`write`](Self::write) writes.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("snapshot.{:x}", self.zxid())
    }
}
