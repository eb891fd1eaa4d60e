//! A snapshot that a server hands out, and its state at a later moment.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock, Mutex};

use hashbrown::{DefaultHashBuilder, HashMap};

use super::acls::{self, Acls};
use super::feed::Source;
use super::jute::Persisted;
use super::records::path_of;
use super::replay::Touched;
use super::snapshot::{self, Loaded};
use super::tree::{FileTree, name_of, parent};
use super::{Fault, FileError, FilesReport, Gathered};
use crate::tree::{Acl, Kind, Stat, ZnodePath};

/// Znodes that are named for each access control list.
const SAMPLES: usize = 3;
/// What the server keeps there changes without events.
const OWN: &[u8] = b"/zookeeper/";

/// The same for all handouts, so that they can be compared.
static HASHER: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);

/// What one snapshot shows by itself, such as a server hands it out, while it goes on.
///
/// In memory are 70 bytes for each znode, and what belongs to sessions.
pub struct Handout {
    name: String,
    zxid: i64,
    source: Source,
    loaded: Loaded,
    sessions: HashSet<i64>,
    /// By the hashes of their paths; one in 2^64 may be taken for another.
    marks: HashMap<u64, Mark>,
    samples: BTreeMap<u32, Vec<ZnodePath>>,
}

/// What changes with a znode's access control list, and what no client is shown.
#[derive(Clone, Copy)]
struct Mark {
    czxid: i64,
    owner: i64,
    aversion: i32,
    acl: u32,
}

/// What a client was shown of a znode.
pub(crate) struct Later {
    pub(crate) data: Vec<u8>,
    pub(crate) stat: Stat,
    /// The access control list, where it is known; nobody asks for that of an ephemeral znode.
    pub(crate) acl: Option<Acl>,
    /// What the server keeps as its owner, where it is known.
    pub(crate) owner: Option<i64>,
}

impl Later {
    /// Whether its access control list came without its digests.
    pub(crate) fn is_masked(&self) -> bool {
        self.acl.as_ref().is_some_and(Acl::is_masked)
    }
}

impl Handout {
    /// Reads the snapshot `name`, begun at `zxid`, from `file`, which is read again later. Every byte is checked.
    ///
    /// # Errors
    /// [`FileError`] if anything about it is damaged.
    pub fn read(name: &str, zxid: i64, file: File) -> Result<Self, FileError> {
        Self::over(name, zxid, Source::File(Arc::new(Mutex::new(file))))
    }

    pub(super) fn over(name: &str, zxid: i64, source: Source) -> Result<Self, FileError> {
        let mut marks = HashMap::new();
        let mut samples = BTreeMap::<u32, Vec<ZnodePath>>::new();
        let mut each = |path: &[u8], acl: u32, stat: &Persisted| {
            let mark = Mark {
                czxid: stat.czxid,
                owner: stat.owner,
                aversion: stat.aversion,
                acl,
            };
            if !path.starts_with(OWN) {
                marks.insert(HASHER.hash_one(path), mark);
            }
            if !matches!(acl, Acls::OPEN | Acls::UNKNOWN) {
                let known = samples.entry(acl).or_default();
                if known.len() < SAMPLES {
                    known.extend(path_of(path));
                }
            }
        };
        let loaded = snapshot::survey(name, zxid, &source, &Touched::default(), &mut each)?;
        Ok(Self {
            name: name.to_owned(),
            zxid,
            sessions: loaded.tree.sessions.keys().copied().collect(),
            source,
            loaded,
            marks,
            samples,
        })
    }

    /// Whether `session` was known when the snapshot was begun. Then every transaction before that session's own
    /// is in it.
    #[must_use]
    pub fn knows(&self, session: i64) -> bool {
        self.sessions.contains(&session)
    }

    /// Whether it shows the state at its zxid: the server had processed nothing more when it had written the last
    /// znode, and its digest is that of the znodes.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        let loaded = &self.loaded;
        let digest_agrees = match loaded.digest {
            // Nothing was processed since the server had started.
            Some((0, 0)) => true,
            Some((at, digest)) => at == self.zxid && digest == loaded.tree.digest(),
            None => false,
        };
        loaded.end == self.zxid && digest_agrees
    }

    /// It as it is, exact or not.
    ///
    /// # Errors
    /// [`FileError`] if it lacks something, such as access control lists that only the logs know.
    pub fn into_gathered(self) -> Result<Gathered, FileError> {
        let (exact, trailer) = (self.is_exact(), self.loaded.digest);
        let mut tree = self.loaded.tree;
        // Where it is not exact, the znodes may speak of all of it.
        tree.zxid = self.loaded.end;
        let compared = trailer.filter(|(at, _)| *at == self.zxid && *at > 0);
        let agrees = compared.map(|(_, digest)| digest == tree.digest());
        let dropped = tree.settle();
        let dropped = dropped.map_err(|fault| FileError::new(&self.name, 0, fault))?;
        Ok(Gathered {
            exact,
            report: FilesReport {
                snapshot: self.name,
                dropped,
                digests_compared: u64::from(agrees.is_some()),
                digests_differing: u64::from(agrees == Some(false)),
                digest_agrees: agrees,
                acls_exact: exact,
                ..FilesReport::default()
            },
            tree,
        })
    }

    /// Some znodes for each access control list that does not let everybody read.
    pub(crate) fn samples(&self) -> Vec<&[ZnodePath]> {
        let guarded = self.samples.iter().filter(|(acl, paths)| {
            let list = acls::decode(self.loaded.tree.acls.list(**acl)).unwrap_or_default();
            !list.lets_anyone_read() && !paths.is_empty()
        });
        guarded.map(|(_, paths)| &paths[..]).collect()
    }

    /// The znodes whose access control list it does not have.
    pub(crate) fn without_acl(&self) -> impl Iterator<Item = ZnodePath> {
        let nodes = self.loaded.tree.seen();
        let without = nodes.filter(|seen| seen.node.acl == Acls::UNKNOWN);
        without.filter_map(|seen| path_of(seen.path))
    }

    fn mark(&self, path: &ZnodePath, czxid: i64) -> Option<&Mark> {
        let mark = self.marks.get(&hash(path));
        mark.filter(|mark| mark.czxid == czxid)
    }

    /// The owner of the znode that was created at `czxid`.
    pub(crate) fn owner(&self, path: &ZnodePath, czxid: i64) -> Option<i64> {
        if path.as_str().as_bytes().starts_with(OWN) {
            return Some(0);
        }
        self.mark(path, czxid).map(|mark| mark.owner)
    }

    /// The access control list of the znode with this `Stat`.
    pub(crate) fn acl(&self, path: &ZnodePath, stat: &Stat) -> Option<Acl> {
        let mark = self.mark(path, stat.czxid)?;
        let same = mark.aversion == stat.aversion && mark.acl != Acls::UNKNOWN;
        same.then(|| acls::decode(self.loaded.tree.acls.list(mark.acl)))?
    }

    /// Whether every znode but those of `later`, and those that go with sessions, has the same access control list in
    /// `next`.
    pub(crate) fn same_acls(&self, next: &Self, later: &BTreeMap<ZnodePath, Option<Later>>) -> bool {
        let named: HashSet<u64> = later.keys().map(hash).collect();
        self.marks.iter().all(|(at, mark)| {
            let then = next.marks.get(at);
            let same = then.is_some_and(|then| then.czxid == mark.czxid && then.aversion == mark.aversion);
            same || named.contains(at) || self.loaded.tree.kind(mark.owner) == Kind::Ephemeral
        })
    }

    /// Its state at a later moment, when the znodes of `later` were as it says and the rest as it was.
    pub(crate) fn at(&self, later: &BTreeMap<ZnodePath, Option<Later>>) -> Result<Gathered, FileError> {
        let mut touched = Touched::default();
        for path in later.keys() {
            touched.with_parent(known(path));
        }
        let Loaded { mut tree, end, .. } = snapshot::load(&self.name, self.zxid, &self.source, &touched)?;
        tree.zxid = end;
        let settled = tree.amend(later).and_then(|ephemerals| {
            let mut dropped = tree.settle()?;
            dropped.ephemerals += ephemerals;
            Ok(dropped)
        });
        let dropped = settled.map_err(|fault| FileError::new(&self.name, 0, fault))?;
        Ok(Gathered {
            exact: true,
            report: FilesReport {
                snapshot: self.name.clone(),
                dropped,
                read_later: later.len() as u64,
                ..FilesReport::default()
            },
            tree,
        })
    }
}

fn hash(path: &ZnodePath) -> u64 {
    HASHER.hash_one(known(path))
}

/// The path as a tree knows it.
fn known(path: &ZnodePath) -> &[u8] {
    match path.as_str().as_bytes() {
        b"/" => b"",
        path => path,
    }
}

impl FileTree {
    /// Makes the znodes of `later` what it says. Returns how many of them are ephemeral, and so left out.
    fn amend(&mut self, later: &BTreeMap<ZnodePath, Option<Later>>) -> Result<u64, Fault> {
        let mut ephemerals = 0;
        // Children come after their parents.
        for (path, znode) in later.iter().rev() {
            let ephemeral = znode.as_ref().is_some_and(|znode| znode.stat.is_ephemeral());
            ephemerals += u64::from(ephemeral);
            if znode.is_some() && !ephemeral {
                continue;
            }
            let path = known(path);
            if let Some(at) = self.find(path) {
                if self.nodes[at as usize].children > 0 {
                    return Err(Fault::Children(name_of(path)));
                }
                let above = parent(path).and_then(|path| self.find(path));
                self.remove(at, above);
            }
        }
        let mut left_out: HashMap<&[u8], i64> = HashMap::new();
        for (path, znode) in later {
            if let Some(znode) = znode {
                self.zxid = self.zxid.max(znode.stat.newest_zxid());
                if znode.stat.is_ephemeral() {
                    *left_out
                        .entry(parent(known(path)).unwrap_or_default())
                        .or_default() += 1;
                } else {
                    self.turn(known(path), znode)?;
                }
            }
        }
        // What was not told of shows here.
        for (path, znode) in later {
            let Some(znode) = znode.as_ref().filter(|znode| !znode.stat.is_ephemeral()) else {
                continue;
            };
            let path = known(path);
            let children = self.find(path).map_or(0, |at| self.nodes[at as usize].children);
            let all = i64::from(children) + left_out.get(path).copied().unwrap_or_default();
            if all != i64::from(znode.stat.num_children) {
                return Err(Fault::Family(name_of(path)));
            }
        }
        Ok(ephemerals)
    }

    fn turn(&mut self, path: &[u8], znode: &Later) -> Result<(), Fault> {
        let acl = znode.acl.as_ref().ok_or_else(|| Fault::NoAcl(name_of(path)))?;
        let acl = self.acls.number(&acls::encode(acl));
        let stat = Persisted::of(&znode.stat, znode.owner.unwrap_or_default());
        let Some(at) = self.find(path) else {
            let above = parent(path).and_then(|path| self.find(path));
            let above = above.ok_or_else(|| Fault::NoParent(name_of(path)))?;
            let spans = (self.keep(Some(path)), self.keep(Some(&znode.data)));
            return self.put(spans, acl, stat, Some(above)).map(drop);
        };
        let before = self.digest_of(at);
        self.release(at);
        // A client cannot tell no data from none at all.
        if self.bytes(self.nodes[at as usize].data).unwrap_or_default() != znode.data {
            self.replace(at, Some(&znode.data));
        }
        let node = &mut self.nodes[at as usize];
        (node.acl, node.stat) = (acl, stat);
        self.digest = self.digest.wrapping_sub(before).wrapping_add(self.digest_of(at));
        Ok(())
    }
}
