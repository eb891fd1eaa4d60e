//! Replay by ZooKeeper's own rules (`DataTree.processTxn`).

use hashbrown::{DefaultHashBuilder, HashSet};
use std::hash::BuildHasher;

use super::Fault;
use super::jute::Persisted;
use super::tree::{FileTree, GONE, name_of, parent};
use super::txn::{Create, Created, Header, Op, Txn};
use crate::tree::kind::{CONTAINER, TTL};

/// Dead znodes and dead bytes are cleared away where they are more than the live ones, and than these.
const DEAD_NODES: usize = 4_096;
const DEAD_BYTES: usize = 32 << 20;

/// The znodes that transactions are about, and the parents of these: eight bytes for each path.
#[derive(Default)]
pub(super) struct Touched {
    paths: HashSet<u64>,
    ends: Ends,
    /// Sessions that end. Not every release logs which ephemeral znodes went with them.
    closed: HashSet<i64>,
    hasher: DefaultHashBuilder,
}

/// How paths end. Most of a snapshot is told from what is touched by that, in much less time than a hash takes.
struct Ends(Box<[u64; 1 << 10]>);

impl Default for Ends {
    fn default() -> Self {
        Self(Box::new([0; 1 << 10]))
    }
}

impl Ends {
    /// A word, and a bit of it.
    fn place(path: &[u8]) -> (usize, u64) {
        let end = match path.last_chunk::<8>() {
            Some(end) => u64::from_le_bytes(*end),
            None => path.iter().fold(0, |end, byte| end << 8 | u64::from(*byte)),
        };
        let mixed = (end ^ path.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed >> 54) as usize, 1 << (mixed >> 48 & 63))
    }

    fn insert(&mut self, path: &[u8]) {
        let (word, bit) = Self::place(path);
        self.0[word] |= bit;
    }

    fn may_have(&self, path: &[u8]) -> bool {
        let (word, bit) = Self::place(path);
        self.0[word] & bit != 0
    }
}

impl Touched {
    /// Whether it has `path`; it may say so of one in 2^64 that it has not.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.ends.may_have(path) && self.paths.contains(&self.hasher.hash_one(path))
    }

    /// Whether an ephemeral znode of `owner` goes, and it is not known to touch its parent.
    pub(super) fn misses(&self, owner: i64, parent: &[u8]) -> bool {
        self.closed.contains(&owner) && !self.has(parent)
    }

    pub(super) fn insert(&mut self, path: &[u8]) {
        let path = if path == b"/" { b"" } else { path };
        self.ends.insert(path);
        self.paths.insert(self.hasher.hash_one(path));
    }

    pub(super) fn with_parent(&mut self, path: &[u8]) {
        self.insert(path);
        if let Some(parent) = parent(path) {
            self.insert(parent);
        }
    }

    pub(super) fn add(&mut self, session: i64, op: &Op<'_>) {
        match op {
            Op::Create(create) => self.with_parent(create.path),
            Op::Delete(path) => self.with_parent(path),
            Op::CloseSession(paths) => {
                self.closed.insert(session);
                paths.iter().for_each(|path| self.with_parent(path));
            }
            Op::SetData { path, .. } | Op::SetAcl { path, .. } => self.insert(path),
            Op::Multi(ops) => ops.iter().for_each(|op| self.add(session, op)),
            Op::CreateSession(_) | Op::Error | Op::Check => {}
        }
    }
}

impl FileTree {
    /// Applies a transaction by the rules of replay: what the tree shows already is no error.
    pub(super) fn apply(&mut self, txn: &Txn<'_>) -> Result<(), Fault> {
        match &txn.op {
            Op::Multi(ops) if ops.contains(&Op::Error) => {}
            Op::Multi(ops) => ops.iter().try_for_each(|op| self.one(&txn.header, op))?,
            op => self.one(&txn.header, op)?,
        }
        self.zxid = self.zxid.max(txn.header.zxid);
        if self.dead_created > DEAD_NODES.max(self.len())
            || self.dead_bytes > DEAD_BYTES.max(self.arena.len() / 2)
        {
            self.tidy();
        }
        Ok(())
    }

    fn one(&mut self, header: &Header, op: &Op<'_>) -> Result<(), Fault> {
        match op {
            Op::CreateSession(timeout) => {
                self.sessions.insert(header.session, *timeout);
            }
            Op::CloseSession(paths) => {
                paths.iter().try_for_each(|path| self.delete(header, path))?;
                for at in self.owned.remove(&header.session).unwrap_or_default() {
                    let path = self.path(&self.nodes[at as usize]).to_vec();
                    self.delete(header, &path)?;
                }
                self.sessions.remove(&header.session);
            }
            Op::Create(create) => self.create(header, create)?,
            Op::Delete(path) => self.delete(header, path)?,
            Op::SetData { path, data, version } => {
                if let Some(at) = self.find(path) {
                    let before = self.digest_of(at);
                    self.replace(at, *data);
                    let stat = &mut self.nodes[at as usize].stat;
                    (stat.version, stat.mzxid, stat.mtime) = (*version, header.zxid, header.time);
                    self.digest = self.digest.wrapping_sub(before).wrapping_add(self.digest_of(at));
                }
            }
            Op::SetAcl { path, acl, version } => {
                if let Some(at) = self.find(path) {
                    self.nodes[at as usize].acl = self.acls.number(acl);
                    self.alter(at, |stat| stat.aversion = *version);
                }
            }
            Op::Multi(_) | Op::Error | Op::Check => {}
        }
        Ok(())
    }

    fn create(&mut self, header: &Header, create: &Create<'_>) -> Result<(), Fault> {
        let Some(above) = parent(create.path).and_then(|path| self.find(path)) else {
            return Ok(());
        };
        let acl = self.acls.number(create.acl);
        let count = |tree: &mut Self, creations: i32| {
            if creations > tree.nodes[above as usize].stat.cversion {
                tree.alter(above, |stat| {
                    (stat.cversion, stat.pzxid) = (creations, header.zxid);
                });
            }
        };
        if let Some(at) = self.find(create.path) {
            self.nodes[at as usize].acl = acl;
            if create.plain {
                count(self, create.parent_cversion);
            }
            return Ok(());
        }
        let creations = match create.parent_cversion {
            -1 => self.nodes[above as usize].stat.cversion.wrapping_add(1),
            creations => creations,
        };
        count(self, creations);
        let stat = Persisted {
            czxid: header.zxid,
            mzxid: header.zxid,
            pzxid: header.zxid,
            ctime: header.time,
            mtime: header.time,
            owner: match create.kind {
                Created::Persistent => 0,
                Created::Ephemeral => header.session,
                Created::Container => CONTAINER,
                Created::Ttl(ms) => TTL | ms,
            },
            ..Persisted::default()
        };
        let spans = (self.keep(Some(create.path)), self.keep(create.data));
        self.put(spans, acl, stat, Some(above)).map(drop)
    }

    fn delete(&mut self, header: &Header, path: &[u8]) -> Result<(), Fault> {
        let Some(above) = parent(path).and_then(|path| self.find(path)) else {
            return Ok(());
        };
        self.alter(above, |stat| stat.pzxid = stat.pzxid.max(header.zxid));
        let Some(at) = self.find(path) else {
            return Ok(());
        };
        self.detach(at)?;
        self.remove(at, Some(above));
        Ok(())
    }

    /// Removes what a snapshot shows below a znode that is deleted after it was begun: the znode was created again
    /// meanwhile, and so were its children.
    fn detach(&mut self, top: u32) -> Result<(), Fault> {
        if self.nodes[top as usize].children == 0 {
            return Ok(());
        }
        let mut below = self.path(&self.nodes[top as usize]).to_vec();
        let top_name = name_of(&below);
        below.push(b'/');
        let inside: Vec<u32> = (0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX))
            .filter(|at| {
                let node = &self.nodes[*at as usize];
                node.children != GONE && self.path(node).starts_with(&below)
            })
            .collect();
        for at in inside.into_iter().rev() {
            let path = self.path(&self.nodes[at as usize]);
            let above = parent(path).and_then(|path| self.find(path));
            if self.nodes[at as usize].children > 0 {
                return Err(Fault::Children(name_of(path)));
            }
            self.remove(at, above);
        }
        match self.nodes[top as usize].children {
            0 => Ok(()),
            _ => Err(Fault::Children(top_name)),
        }
    }

    pub(super) fn replace(&mut self, at: u32, data: Option<&[u8]>) {
        let span = self.nodes[at as usize].data;
        match data {
            Some(data) if data.len() == span.length as usize => {
                self.arena[span.at..span.at + data.len()].copy_from_slice(data);
            }
            data => {
                self.dead_bytes += span.bytes();
                self.nodes[at as usize].data = self.keep(data);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use simd_adler32::adler32;

    use super::super::feed::Source;
    use super::super::jute::put_buffer;
    use super::super::snapshot::{self, END};
    use super::*;

    const OPEN: i64 = -1;

    /// A snapshot begun at zxid 1, of znodes with the zxid each was created by.
    fn snapshot(znodes: &[(&str, i64)]) -> Source {
        let znodes: Vec<_> = znodes.iter().map(|(path, zxid)| (*path, *zxid, 0)).collect();
        owned(&znodes)
    }

    /// The same, and the session that owns each.
    fn owned(znodes: &[(&str, i64, i64)]) -> Source {
        let mut bytes = b"ZKSN\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        for (path, zxid, owner) in znodes {
            put_buffer(&mut bytes, Some(path.as_bytes()));
            put_buffer(&mut bytes, Some(b"data"));
            bytes.extend_from_slice(&OPEN.to_be_bytes());
            let stat = Persisted {
                czxid: *zxid,
                mzxid: *zxid,
                pzxid: *zxid,
                owner: *owner,
                ..Persisted::default()
            };
            stat.write(&mut bytes);
        }
        bytes.extend_from_slice(END);
        let seal = u64::from(adler32(&&bytes[..]));
        bytes.extend_from_slice(&seal.to_be_bytes());
        bytes.extend_from_slice(END);
        Source::Bytes(bytes.into())
    }

    fn record(zxid: i64, kind: i32, path: &str) -> Vec<u8> {
        let mut bytes = [0; 12].to_vec();
        bytes.extend_from_slice(&zxid.to_be_bytes());
        bytes.extend_from_slice(&7_i64.to_be_bytes());
        bytes.extend_from_slice(&kind.to_be_bytes());
        put_buffer(&mut bytes, Some(path.as_bytes()));
        if kind == 1 {
            put_buffer(&mut bytes, Some(b"new"));
            bytes.extend_from_slice(&[0, 0, 0, 0, 0]); // no list, not ephemeral
            bytes.extend_from_slice(&1_i32.to_be_bytes());
        }
        bytes
    }

    fn replayed(znodes: &[(&str, i64)], records: &[Vec<u8>]) -> Result<FileTree, Fault> {
        let txns: Vec<_> = records.iter().map(|bytes| Txn::decode(bytes).unwrap()).collect();
        let mut touched = Touched::default();
        txns.iter()
            .for_each(|txn| touched.add(txn.header.session, &txn.op));
        let loaded = snapshot::load("snapshot.1", 1, &snapshot(znodes), &touched);
        let mut tree = loaded.map_err(|error| error.fault)?.tree;
        txns.iter().try_for_each(|txn| tree.apply(txn))?;
        tree.settle()?;
        Ok(tree)
    }

    /// The paths of what a tree writes, in their order, which must be depth first, and their digest.
    fn written(tree: &FileTree) -> (Vec<String>, u64) {
        let mut bytes = Vec::new();
        tree.write(|part, _| {
            bytes.extend_from_slice(part);
            Ok(())
        })
        .unwrap();
        let mut all = Touched::default();
        let paths = ["", "/x", "/x/c", "/x/c/d", "/x-y", "/z", "/z/e"];
        paths.iter().for_each(|path| all.insert(path.as_bytes()));
        let again = snapshot::load("again", tree.zxid(), &Source::Bytes(bytes.into()), &all).unwrap();
        let tree = again.tree;
        let paths = tree
            .seen()
            .map(|seen| String::from_utf8_lossy(seen.path).into_owned());
        (paths.collect(), tree.digest())
    }

    #[test]
    fn a_znode_made_again_while_the_snapshot_was_written_comes_before_its_children() {
        let znodes = [
            ("", 0),
            ("/x", 3),
            ("/x/c", 4),
            ("/x-y", 0),
            ("/z", 0),
            ("/z/e", 0),
        ];
        let records = [
            record(2, 2, "/x"),
            record(3, 1, "/x"),
            record(4, 1, "/x/c"),
            record(5, 1, "/x/c/d"),
        ];
        let tree = replayed(&znodes, &records).unwrap();
        let (paths, digest) = written(&tree);
        assert_eq!(paths, ["", "/x", "/x/c", "/x/c/d", "/x-y", "/z", "/z/e"]);
        assert_eq!((tree.len(), digest), (7, tree.digest()));
    }

    #[test]
    fn what_the_logs_leave_below_a_deleted_znode_is_an_error() {
        let znodes = [("", 0), ("/x", 0), ("/x/c", 0)];
        let fault = replayed(&znodes, &[record(2, 2, "/x")]).err();
        assert_eq!(fault, Some(Fault::Children("/x".to_owned())));
    }

    #[test]
    fn names_that_no_client_can_be_sent_are_counted() {
        let records = [record(2, 1, "/z/\u{1}new")];
        let tree = replayed(&[("", 0), ("/x\u{1}", 0), ("/z", 0)], &records).unwrap();
        let (count, mut paths) = tree.old_names();
        paths.sort();
        assert_eq!(
            (count, paths),
            (2, vec!["/x\u{1}".to_owned(), "/z/\u{1}new".to_owned()])
        );
    }

    #[test]
    fn what_is_gone_of_a_snapshot_is_not_cleared_away_again_and_again() {
        let tree = replayed(
            &[("", 0), ("/x", 0), ("/z", 0)],
            &[record(2, 2, "/x"), record(3, 1, "/x")],
        );
        let tree = tree.unwrap();
        assert_eq!((tree.dead_nodes, tree.dead_created, tree.len()), (1, 0, 3));
    }

    #[test]
    fn what_goes_with_a_session_need_not_be_logged() {
        const SESSION: i64 = 7;
        let mut closed = record(2, -11, "");
        closed.truncate(closed.len() - 4); // releases before 3.6 log nothing more
        closed[..8].copy_from_slice(&SESSION.to_be_bytes());
        let txn = Txn::decode(&closed).unwrap();
        let mut touched = Touched::default();
        touched.add(txn.header.session, &txn.op);
        let source = owned(&[("", 0, 0), ("/x", 0, 0), ("/x/e", 0, SESSION), ("/x/f", 0, 8)]);
        let missed = snapshot::load("snapshot.1", 1, &source, &touched).unwrap().missed;
        assert_eq!(missed, [b"/x"]);
        touched.insert(b"/x");
        let loaded = snapshot::load("snapshot.1", 1, &source, &touched).unwrap();
        assert!(loaded.missed.is_empty());
        let mut tree = loaded.tree;
        tree.apply(&txn).unwrap();
        assert!(tree.find(b"/x/e").is_none() && tree.find(b"/x/f").is_some());
        let above = tree.find(b"/x").unwrap();
        assert_eq!(tree.nodes[above as usize].stat.pzxid, 2);
    }

    #[test]
    fn a_snapshot_that_is_not_depth_first_is_read() {
        let znodes = [("", 0), ("/x", 0), ("/z", 0), ("/x/c", 0)];
        let tree = replayed(&znodes, &[record(2, 1, "/z/e")]).unwrap();
        assert_eq!(tree.len(), 5);
        let orphan = replayed(&[("", 0), ("/x/c", 0), ("/x", 0)], &[]).err();
        assert_eq!(orphan, Some(Fault::NoParent("/x/c".to_owned())));
    }
}
