//! What a capture knows while it goes on, shared by its walks, its second look and its verification.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::mpsc;

use super::summary::NAMED;
use super::two_walks::TwoWalks;
use super::{AclIndex, CaptureError, CaptureOptions, CaptureSummary, Portion};
use crate::tree::keys::{KeyMap, Keys};
use crate::tree::reserved::{is_keepers, is_reserved};
use crate::tree::table::KeyTable;
use crate::tree::{Acl, Found, Served, Stat, ZnodePath, ZnodeReader};

/// Changed znodes that are remembered together; a server that tells of more is not believed.
pub(super) const MOST_TOLD: usize = 1 << 20;
/// How much is shown of a name that is none, or of a path that is out of reach.
const SHOWN: usize = 200;

/// What a znode was when it was read last: which one with which list of ACLs, and how often its data and children
/// have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    pub(super) which: (i64, i32),
    pub(super) changes: u32,
}

impl Fingerprint {
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            which: (stat.czxid, stat.aversion),
            changes: stat.version.wrapping_add(stat.cversion).cast_unsigned(),
        }
    }
}

/// A znode as it was when it was looked at again.
pub(super) enum Revisit {
    Readable(Found, Option<Acl>),
    /// As long as this, and its data are to be read again.
    Dropped(Found, Option<Acl>, u32),
    Unreadable,
}

impl Revisit {
    pub(super) fn found(&mut self) -> Option<(&mut Found, &mut Option<Acl>)> {
        match self {
            Self::Readable(found, acl) | Self::Dropped(found, acl, _) => Some((found, acl)),
            Self::Unreadable => None,
        }
    }
}

/// A capture under way.
pub(super) struct CaptureState<'a> {
    pub(super) reader: &'a dyn ZnodeReader,
    pub(super) known: Option<&'a AclIndex>,
    pub(super) roots: &'a [ZnodePath],
    /// What was asked for, also within other roots; none means the whole tree.
    pub(super) asked: &'a [ZnodePath],
    sink: mpsc::Sender<Portion>,
    pub(super) keys: Keys,
    pub(super) seen: KeyTable,
    /// Those of them whose ACL came without its digests.
    pub(super) masked: KeyMap<3, ()>,
    /// Znodes that changed since they were read, or whose data and ACL do not belong together.
    pub(super) dirty: BTreeSet<ZnodePath>,
    /// What became of znodes that were dirty; `None`: gone.
    pub(super) revisited: BTreeMap<ZnodePath, Option<Revisit>>,
    /// Bytes of data among them.
    pub(super) kept: usize,
    pub(super) summary: CaptureSummary,
    /// Children that were listed, and how many may be.
    pub(super) listed: usize,
    pub(super) most_znodes: usize,
    /// Where the tree cannot be watched.
    pub(super) walks: Option<TwoWalks>,
    /// Whether something may be hidden from us.
    pub(super) verifies: bool,
    /// What is to be verified.
    pub(super) fingerprints: KeyMap<3, Fingerprint>,
    /// A znode for whose sake nothing could be claimed.
    pub(super) unverified: Option<ZnodePath>,
    /// What the ancestors of the roots were; `None` where data and ACL do not belong together.
    pub(super) ancestors: Vec<(ZnodePath, Option<Stat>)>,
    /// The first znodes that are out of reach.
    out_of_reach: Vec<ZnodePath>,
    /// Children of each that have no name to ask for, and some of them.
    refused: BTreeMap<ZnodePath, (u64, Vec<String>)>,
    pub(super) served: Served,
}

impl<'a> CaptureState<'a> {
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
            asked: &options.roots,
            sink,
            keys: Keys::random(),
            seen: KeyTable::default(),
            masked: KeyMap::default(),
            dirty: BTreeSet::new(),
            revisited: BTreeMap::new(),
            kept: 0,
            summary: CaptureSummary::default(),
            listed: 0,
            most_znodes: options.most_znodes,
            walks: None,
            verifies: false,
            fingerprints: KeyMap::default(),
            unverified: None,
            ancestors: Vec::new(),
            out_of_reach: Vec::new(),
            refused: BTreeMap::new(),
            served: Served::ByZooKeeper,
        }
    }

    /// Forgets what was walked, and says so.
    pub(super) async fn restart(&mut self) -> Result<(), CaptureError> {
        self.seen = KeyTable::default();
        self.masked.clear();
        self.dirty.clear();
        self.revisited.clear();
        (self.kept, self.listed) = (0, 0);
        self.fingerprints.clear();
        self.out_of_reach.clear();
        self.refused.clear();
        self.summary = CaptureSummary {
            rounds: self.summary.rounds + 1,
            ..CaptureSummary::default()
        };
        self.send(Portion::Restart).await
    }

    pub(super) fn is_keeper(&self) -> bool {
        matches!(self.served, Served::ByKeeper { .. })
    }

    /// Whether the child `name` of `path` is what ClickHouse Keeper keeps for itself.
    fn is_own(&self, path: &ZnodePath, name: &str) -> bool {
        self.served == (Served::ByKeeper { shows_own: true }) && is_keepers(path, name)
    }

    /// The child called `name`, where it has a name to ask for and belongs in a capture. It may be out of reach.
    pub(super) fn child(&self, path: &ZnodePath, name: &str) -> Option<ZnodePath> {
        if self.is_own(path, name) {
            return None;
        }
        path.child(name).ok()
    }

    /// Notes children that have no name to ask for. No server has any; if one does, the backup must not hide it.
    pub(super) fn note_refused_names(&mut self, path: &ZnodePath, names: &[String]) {
        self.refused.remove(path);
        let (mut count, mut some) = (0, Vec::new());
        for name in names {
            if self.child(path, name).is_none() && !self.is_own(path, name) {
                count += 1;
                if some.len() < NAMED && self.refused.len() < NAMED {
                    some.push(shown(path, name));
                }
            }
        }
        if count > 0 {
            self.refused.insert(path.clone(), (count, some));
        }
    }

    /// Adds them to what could not be read, and names what is out of reach with them.
    pub(super) fn count_refused_names(&mut self) {
        let far = std::mem::take(&mut self.out_of_reach).into_iter();
        let far = far.filter_map(|path| Some(shown(&path.parent()?, path.name())));
        self.summary.refused_names.extend(far);
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
        let named = match path.is_in_reach() {
            true => &mut self.summary.unreadable_paths,
            false => &mut self.out_of_reach,
        };
        if named.len() < NAMED {
            named.push(path.clone());
        }
    }

    /// Takes back that it is unreadable.
    pub(super) fn readable(&mut self, path: &ZnodePath) {
        self.summary.unreadable -= 1;
        self.summary.unreadable_paths.retain(|known| known != path);
        self.out_of_reach.retain(|known| known != path);
    }

    /// Notes `stat` for [`verify`](Self::verify), or that there is nothing to verify any more.
    pub(super) fn note(&mut self, path: &ZnodePath, stat: Option<&Stat>) {
        if !self.verifies || is_reserved(path) {
            return;
        }
        let key = self.keys.path(path);
        match stat {
            Some(stat) if !stat.is_ephemeral() => self.fingerprints.insert(key, Fingerprint::of(stat)),
            _ => self.fingerprints.remove(&key),
        };
    }

    /// Whether this walk and the one before agree; what does not is what still moved.
    pub(super) fn agrees_with_last_walk(&mut self) -> bool {
        let Some(walks) = &mut self.walks else {
            return false;
        };
        self.summary.moving = walks.differing;
        self.summary.moving_paths = std::mem::take(&mut walks.differing_paths);
        walks.agree()
    }

    pub(super) async fn send(&self, portion: Portion) -> Result<(), CaptureError> {
        self.sink
            .send(portion)
            .await
            .map_err(|_| CaptureError::SinkClosed)
    }
}

/// A child as a summary names it whose name, or path, is not to be shown whole.
fn shown(parent: &ZnodePath, name: &str) -> String {
    let start = |text: &str| text.chars().take(SHOWN).collect::<String>();
    let more = if parent.as_str().len() > SHOWN { "…" } else { "" };
    format!("{}{more}: {:?}", start(parent.as_str()), start(name))
}
