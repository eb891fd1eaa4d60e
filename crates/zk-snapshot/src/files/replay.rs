//! Replay by ZooKeeper's own rules (`DataTree.processTxn`).

use super::Fault;
use super::jute::Persisted;
use super::paths::{name_of, parent};
use super::tree::FileTree;
use super::txn::{Create, Created, Header, Op, Txn};
use crate::tree::kind::{CONTAINER, TTL};

impl FileTree {
    /// Applies a transaction by the rules of replay: what the tree shows already is no error.
    pub(super) fn apply(&mut self, txn: &Txn<'_>) -> Result<(), Fault> {
        match &txn.op {
            Op::Multi(ops) if ops.contains(&Op::Error) => {}
            Op::Multi(ops) => ops.iter().try_for_each(|op| self.apply_op(&txn.header, op))?,
            op => self.apply_op(&txn.header, op)?,
        }
        self.zxid = self.zxid.max(txn.header.zxid);
        self.tidy();
        Ok(())
    }

    fn apply_op(&mut self, header: &Header, op: &Op<'_>) -> Result<(), Fault> {
        match op {
            Op::CreateSession(timeout) => {
                self.sessions.insert(header.session, *timeout);
            }
            Op::CloseSession(paths) => {
                paths.iter().try_for_each(|path| self.delete(header, path))?;
                for at in self.owned.remove(&header.session).unwrap_or_default() {
                    let path = self.path(self.node(at)).to_vec();
                    self.delete(header, &path)?;
                }
                self.sessions.remove(&header.session);
            }
            Op::Create(create) => self.create(header, create)?,
            Op::Delete(path) => self.delete(header, path)?,
            Op::SetData { path, data, version } => {
                if let Some(at) = self.find(path) {
                    self.change(at, |node, arena| {
                        arena.replace(&mut node.data, *data);
                        let stat = &mut node.stat;
                        (stat.version, stat.mzxid, stat.mtime) = (*version, header.zxid, header.time);
                    });
                }
            }
            Op::SetAcl { path, acl, version } => {
                if let Some(at) = self.find(path) {
                    let acl = self.acls.number(acl);
                    self.change(at, |node, _| (node.acl, node.stat.aversion) = (acl, *version));
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
            if creations > tree.node(above).stat.cversion {
                tree.change(above, |node, _| {
                    (node.stat.cversion, node.stat.pzxid) = (creations, header.zxid);
                });
            }
        };
        if let Some(at) = self.find(create.path) {
            self.change(at, |node, _| node.acl = acl);
            // A server does so for the oldest type, `create`, alone, and has counted one too few after a restart.
            count(self, create.parent_cversion);
            return Ok(());
        }
        let creations = match create.parent_cversion {
            -1 => self.node(above).stat.cversion.wrapping_add(1),
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
        self.put((create.path, create.data), acl, stat, Some(above))
            .map(drop)
    }

    fn delete(&mut self, header: &Header, path: &[u8]) -> Result<(), Fault> {
        let Some(above) = parent(path).and_then(|path| self.find(path)) else {
            return Ok(());
        };
        self.change(above, |node, _| {
            node.stat.pzxid = node.stat.pzxid.max(header.zxid);
        });
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
        if self.node(top).children() == 0 {
            return Ok(());
        }
        let mut below = self.path(self.node(top)).to_vec();
        let top_name = name_of(&below);
        below.push(b'/');
        let inside: Vec<u32> = self
            .places()
            .filter(|at| {
                let node = self.node(*at);
                !node.is_gone() && self.path(node).starts_with(&below)
            })
            .collect();
        for at in inside.into_iter().rev() {
            let path = self.path(self.node(at));
            let above = parent(path).and_then(|path| self.find(path));
            if self.node(at).has_children() {
                return Err(Fault::Children(name_of(path)));
            }
            self.remove(at, above);
        }
        match self.node(top).children() {
            0 => Ok(()),
            _ => Err(Fault::Children(top_name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use simd_adler32::adler32;

    use super::super::jute::put_buffer;
    use super::super::snapshot::{self, END};
    use super::super::source::Source;
    use super::super::touched::Touched;
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
        if matches!(kind, 1 | 15) {
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
        tree.drop_sessions()?;
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
        let second = snapshot::load("second", tree.zxid(), &Source::Bytes(bytes.into()), &all).unwrap();
        let tree = second.tree;
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
        assert_eq!((tree.dead(), tree.len()), ((1, 0), 3));
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
        assert_eq!(tree.node(above).stat.pzxid, 2);
    }

    #[test]
    fn what_the_snapshot_shows_already_is_counted_whatever_created_it() {
        for kind in [1, 15] {
            let tree = replayed(&[("", 0), ("/z", 0), ("/z/e", 3)], &[record(3, kind, "/z/e")]).unwrap();
            let stat = tree.node(tree.find(b"/z").unwrap()).stat;
            assert_eq!((stat.cversion, stat.pzxid), (1, 3), "{kind}");
            // It tells the count as it was then, which may have been passed.
            let again = [record(3, kind, "/z/f"), record(4, kind, "/z/e")];
            let tree = replayed(&[("", 0), ("/z", 0), ("/z/e", 4)], &again).unwrap();
            let stat = tree.node(tree.find(b"/z").unwrap()).stat;
            assert_eq!((stat.cversion, stat.pzxid), (1, 3), "{kind}");
        }
    }

    #[test]
    fn a_snapshot_that_is_not_depth_first_is_read() {
        let znodes = [("", 0), ("/x", 0), ("/z", 0), ("/x/c", 0)];
        let tree = replayed(&znodes, &[record(2, 1, "/z/e")]).unwrap();
        assert_eq!(tree.len(), 5);
        let orphan = replayed(&[("", 0), ("/x/c", 0), ("/x", 0)], &[]).err();
        assert_eq!(orphan, Some(Fault::NoParent("/x/c".to_owned())));
    }

    #[test]
    fn what_no_session_owns_is_told_and_what_3_5_3_would_keep_is_counted() {
        let dropped = |znodes: &[(&str, i64, i64)]| {
            let loaded = snapshot::load("snapshot.1", 1, &owned(znodes), &Touched::default());
            loaded.unwrap().tree.drop_sessions()
        };
        let (old_ttl, session) = (i64::MIN | 60_000, 0x0100_0a5b_0000_0001);
        let found = dropped(&[("", 0, 0), ("/t", 0, old_ttl), ("/x", 0, session), ("/y", 0, -2)]).unwrap();
        assert_eq!((found.orphans, found.like_ttl_353), (3, 1), "{found:?}");
        let fault = dropped(&[("", 0, 0), ("/t", 0, old_ttl), ("/t/c", 0, 0)]).err();
        assert_eq!(fault, Some(Fault::Orphan("/t".to_owned())));
    }
}
