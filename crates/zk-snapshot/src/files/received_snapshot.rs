//! A snapshot that a server hands out, and its state at a later moment.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock, Mutex};

use hashbrown::{DefaultHashBuilder, HashMap};

use super::acls::{self, Acls};
use super::amend::RereadZnode;
use super::paths::{bytes_of, path_of};
use super::snapshot::{self, Loaded, Shown};
use super::source::Source;
use super::touched::Touched;
use super::{FileError, FilesReport, Gathered};
use crate::tree::reserved;
use crate::tree::{Acl, Kind, Stat, ZnodePath};

/// Znodes that are named for each access control list.
const SAMPLES: usize = 3;
/// The same for all received snapshots, so that they can be compared.
static HASHER: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);

/// What one snapshot shows by itself, such as a server hands it out, while it goes on.
///
/// In memory are 70 bytes for each znode, and what belongs to sessions.
pub struct ReceivedSnapshot {
    name: String,
    zxid: i64,
    source: Source,
    loaded: Loaded,
    sessions: HashSet<i64>,
    /// By the hashes of their paths; one in 2^64 may be taken for another.
    marks: HashMap<u64, Mark>,
    samples: BTreeMap<u32, Vec<ZnodePath>>,
}

impl std::fmt::Debug for ReceivedSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceivedSnapshot")
            .field("name", &self.name)
            .field("znodes", &self.loaded.tree)
            .finish_non_exhaustive()
    }
}

/// What changes with a znode's access control list, and what no client is shown.
#[derive(Clone, Copy)]
struct Mark {
    czxid: i64,
    owner: i64,
    aversion: i32,
    acl: u32,
}

impl ReceivedSnapshot {
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
        let mut each = |Shown { path, acl, stat, .. }: Shown<'_>| {
            let mark = Mark {
                czxid: stat.czxid,
                owner: stat.owner,
                aversion: stat.aversion,
                acl,
            };
            if !reserved::is_below(path) {
                marks.insert(HASHER.hash_one(path), mark);
            }
            if !matches!(acl, Acls::OPEN | Acls::UNKNOWN) {
                let known = samples.entry(acl).or_default();
                if known.len() < SAMPLES {
                    known.extend(path_of(path));
                }
            }
            Ok(())
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
        let dropped = tree.drop_sessions();
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
        if reserved::is_below(path.as_str().as_bytes()) {
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
    pub(crate) fn same_acls(&self, next: &Self, later: &BTreeMap<ZnodePath, Option<RereadZnode>>) -> bool {
        let named: HashSet<u64> = later.keys().map(hash).collect();
        self.marks.iter().all(|(at, mark)| {
            let then = next.marks.get(at);
            let same = then.is_some_and(|then| then.czxid == mark.czxid && then.aversion == mark.aversion);
            same || named.contains(at) || self.loaded.tree.kind(mark.owner) == Kind::Ephemeral
        })
    }

    /// Its state at a later moment, when the znodes of `later` were as it says and the rest as it was.
    pub(crate) fn at(&self, later: &BTreeMap<ZnodePath, Option<RereadZnode>>) -> Result<Gathered, FileError> {
        let mut touched = Touched::default();
        for path in later.keys() {
            touched.with_parent(bytes_of(path));
        }
        let Loaded { mut tree, end, .. } = snapshot::load(&self.name, self.zxid, &self.source, &touched)?;
        tree.zxid = end;
        let settled = tree.amend(later).and_then(|ephemerals| {
            let mut dropped = tree.drop_sessions()?;
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
    HASHER.hash_one(bytes_of(path))
}
