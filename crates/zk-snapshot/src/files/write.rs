//! Writing clean snapshots.

use std::collections::HashMap;
use std::io;
use std::ops::Range;

use simd_adler32::Adler32;

use super::Fault;
use super::acls::Acls;
use super::jute::put_buffer;
use super::snapshot::{END, MAGIC, PART};
use super::tree::{FileTree, GONE, Piece, parent};

const DIGEST_VERSION: i32 = 2;

/// Hands on parts, and seals what went through it.
struct Out<S> {
    part: Vec<u8>,
    znodes: u64,
    adler: Adler32,
    sink: S,
}

impl<S: FnMut(&[u8], u64) -> io::Result<()>> Out<S> {
    fn flush(&mut self) -> io::Result<()> {
        self.adler.write(&self.part);
        (self.sink)(&self.part, self.znodes)?;
        self.part.clear();
        self.znodes = 0;
        Ok(())
    }

    fn node(&mut self, tree: &FileTree, at: u32) -> io::Result<()> {
        let seen = tree.show(&tree.nodes[at as usize]);
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
    pub fn write(&self, sink: impl FnMut(&[u8], u64) -> io::Result<()>) -> io::Result<()> {
        let mut out = Out {
            part: Vec::with_capacity(2 * PART as usize),
            znodes: 0,
            adler: Adler32::new(),
            sink,
        };
        self.head(&mut out.part);
        out.flush()?;
        self.znodes(&mut out)?;
        if out.znodes > 0 {
            out.flush()?;
        }
        out.part.extend_from_slice(END);
        let (adler, last) = (&mut out.adler, &mut out.part);
        let mut sealed = 0;
        let mut seal = |last: &mut Vec<u8>| {
            adler.write(&last[sealed..]);
            sealed = last.len();
            last.extend_from_slice(&u64::from(adler.finish()).to_be_bytes());
            last.extend_from_slice(END);
        };
        seal(last);
        last.extend_from_slice(&self.zxid().to_be_bytes());
        last.extend_from_slice(&DIGEST_VERSION.to_be_bytes());
        last.extend_from_slice(&self.digest().to_be_bytes());
        seal(last);
        last.extend_from_slice(&self.zxid().to_be_bytes());
        seal(last);
        (out.sink)(last, 0)
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
    fn znodes(&self, out: &mut Out<impl FnMut(&[u8], u64) -> io::Result<()>>) -> io::Result<()> {
        let created = self.created();
        let mut below: HashMap<u32, Vec<Range<usize>>> = HashMap::new();
        for (place, at) in created.iter().enumerate() {
            let above = parent(self.path(&self.nodes[*at as usize])).and_then(|path| self.find(path));
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
        std::thread::scope(|scope| {
            let damaged = |fault: Fault| io::Error::other(fault.to_string());
            let mut feed = self.base.source.feed(scope);
            for piece in &self.base.pieces {
                match piece {
                    Piece::Quiet { at, length, znodes } => {
                        feed.copy(*at, *length as usize, &mut out.part).map_err(damaged)?;
                        out.counted(u64::from(*znodes))?;
                    }
                    Piece::Node(at) if self.nodes[*at as usize].children != GONE => {
                        out.node(self, *at)?;
                        let runs = below.get(at).into_iter().flatten();
                        for at in runs.flat_map(|run| &created[run.clone()]) {
                            out.node(self, *at)?;
                        }
                    }
                    Piece::Node(_) => {}
                }
            }
            match feed.seals().map_err(damaged)?.whole() == self.base.seal {
                true => Ok(()),
                false => Err(damaged(Fault::Changed)),
            }
        })
    }

    /// What the snapshot did not have, depth first.
    fn created(&self) -> Vec<u32> {
        let all = self.base.nodes..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let mut created: Vec<u32> = all
            .filter(|at| self.nodes[*at as usize].children != GONE)
            .collect();
        created.sort_unstable_by(|a, b| {
            let parts = |at: &u32| self.path(&self.nodes[*at as usize]).split(|byte| *byte == b'/');
            parts(a).cmp(parts(b))
        });
        created
    }

    /// The nearest node above that is from the snapshot.
    fn top(&self, mut at: u32) -> u32 {
        while at >= self.base.nodes {
            match parent(self.path(&self.nodes[at as usize])).and_then(|path| self.find(path)) {
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
