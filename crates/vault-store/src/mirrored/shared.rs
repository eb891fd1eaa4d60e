//! What the clones of a mirrored store share, and which of the two stores answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use crate::{Damage, FileName, MANIFEST, StoreError, VaultId, VaultRead, VaultStore};

/// What was found of the manifest with this SHA-256: why its vault is not the one that is meant, where the second store has that one.
pub(super) type Judged = ([u8; 32], Option<Damage>);

/// A note that is copied to the second store.
#[derive(Debug, Clone)]
pub struct CopiedNote {
    /// Its name.
    pub name: FileName,
    /// What counts of that in the first store and that in the second, where they differ and it is not known which is newer; `None`: the first.
    pub merge: fn(&[u8], &[u8]) -> Option<Vec<u8>>,
    /// Whether it can be understood: one that cannot be is not copied, and its copy counts where that can.
    pub is_sound: fn(&[u8]) -> bool,
}

pub(super) struct Shared {
    pub(super) first: Arc<dyn VaultStore>,
    pub(super) second: Arc<dyn VaultStore>,
    /// Both as they are for whoever reads, with seals opened.
    pub(super) opened: [Arc<dyn VaultStore>; 2],
    /// The notes that are copied.
    pub(super) notes: Vec<CopiedNote>,
    pub(super) state: Mutex<State>,
    /// Held while the note of what was evicted is changed.
    pub(super) evicting: Mutex<()>,
    /// Held while another note of the first store is changed.
    pub(super) noting: Mutex<()>,
}

#[derive(Default)]
pub(super) struct State {
    /// What the second store had when it was last listed, and was given since.
    pub(super) listed: BTreeSet<VaultId>,
    /// Whether it has answered the last time.
    pub(super) answers: bool,
    /// Those of which the copies are to be removed: they are not there any more for anybody.
    pub(super) evicted: BTreeSet<VaultId>,
    /// Those of which both stores have the same manifest.
    pub(super) alike: BTreeSet<VaultId>,
    /// Those of which they do not.
    pub(super) different: BTreeSet<VaultId>,
    /// Those that are replaced in the first store just now, while their copies stay.
    pub(super) replaced: BTreeMap<VaultId, usize>,
    /// Those that were replaced by this process, whose copies are not made anew yet.
    pub(super) meant: BTreeSet<VaultId>,
    /// Whether sealed vaults of the first store are those that are meant.
    pub(super) judged: BTreeMap<VaultId, Judged>,
    /// What the first store says of the place of the second.
    pub(super) place: Option<Vec<u8>>,
    /// Whether the first store was empty when that was looked at first.
    pub(super) was_empty: Option<bool>,
    /// Whether the second store is to be marked as that of the first.
    pub(super) is_to_be_marked: bool,
    /// Those that are being evicted just now.
    pub(super) leaving: BTreeSet<VaultId>,
    /// Those whose eviction began, or had not ended, since copies were last removed.
    pub(super) left: BTreeSet<VaultId>,
    /// Those that the first store did not list the last time, or has been found to lack since.
    pub(super) missing: BTreeSet<VaultId>,
    /// How many vaults were committed.
    pub(super) commits: u64,
    /// Why the first store could not be listed the last time.
    pub(super) trouble: Option<String>,
    /// How often something of a vault was read from the second store.
    pub(super) reads: BTreeMap<VaultId, u64>,
    /// What was found damaged in the first store, and is whole in the second.
    pub(super) damage: BTreeMap<VaultId, Vec<Damage>>,
    /// What was found damaged in the second store, and is not made anew yet.
    pub(super) rotten: BTreeMap<VaultId, Vec<Damage>>,
    /// Those copies that the second store refuses to remove, and when to try again.
    pub(super) kept: BTreeMap<VaultId, OffsetDateTime>,
    /// The notes of the second store, as they were last read or copied.
    pub(super) notes: BTreeMap<FileName, Vec<u8>>,
    /// Those of which the first store has what counts.
    pub(super) settled: BTreeSet<FileName>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a copy to be read.
    pub(super) fn has_copy(&self, id: &VaultId) -> bool {
        self.lock().has_copy(id)
    }

    /// How many vaults were committed.
    pub(super) fn commits(&self) -> u64 {
        self.lock().commits
    }

    /// Whether a copy keeps a vault with this id from being written.
    pub(super) fn is_taken(&self, id: &VaultId) -> bool {
        let state = self.lock();
        state.has_copy(id) && !state.replaced.contains_key(id)
    }

    /// What the first store answers, or, where it cannot, the second.
    pub(super) fn either<T>(
        &self,
        id: &VaultId,
        ask: impl Fn(&dyn VaultStore) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let before = self.commits();
        let error = match ask(&*self.first) {
            Err(error) if is_replaceable(&error) && self.has_copy(id) => error,
            answer => return answer,
        };
        match ask(&*self.second) {
            Ok(answer) => {
                self.replaced(id, &error, before);
                Ok(answer)
            }
            Err(other) if matches!(error, StoreError::NotFound(_)) => Err(other),
            Err(other) => {
                log::warn!("the second copy of backup {id} cannot take its place: {other}");
                Err(error)
            }
        }
    }

    /// Notes that the second store was read because the first has failed, when there had been so many `commits`.
    pub(super) fn replaced(&self, id: &VaultId, error: &StoreError, commits: u64) {
        let StoreError::Damaged { file, what, .. } = error else {
            let mut state = self.lock();
            *state.reads.entry(id.clone()).or_default() += 1;
            if matches!(error, StoreError::NotFound(_)) && state.commits == commits {
                state.missing.insert(id.clone());
            }
            return;
        };
        self.found(
            id,
            Damage {
                file: file.clone(),
                frame: None,
                what: what.clone(),
            },
        );
    }

    /// Notes damage in the first store, in whose place the second was read.
    pub(super) fn found(&self, id: &VaultId, damage: Damage) {
        let mut state = self.lock();
        *state.reads.entry(id.clone()).or_default() += 1;
        let known = state.damage.entry(id.clone()).or_default();
        if !known.contains(&damage) {
            log::warn!("backup {id}: the second copy is read in place of {damage}");
            known.push(damage);
        }
    }

    /// A file of the second copy, if that is one of the same vault.
    pub(super) fn open_second(
        &self,
        id: &VaultId,
        file: &FileName,
    ) -> Result<Arc<dyn VaultRead>, StoreError> {
        match self.first.manifest(id) {
            Ok(manifest) if self.second.manifest(id)? != manifest => {
                let what = "the second copy is of another backup with the same id";
                Err(StoreError::damaged(id, MANIFEST, what))
            }
            _ => self.second.open(id, file),
        }
    }
}

impl State {
    pub(super) fn lacks(&self, id: &VaultId) -> bool {
        !self.listed.contains(id) || self.evicted.contains(id)
    }

    pub(super) fn has_copy(&self, id: &VaultId) -> bool {
        self.answers && !self.lacks(id)
    }
}

/// Whether another copy can help.
pub(super) fn is_replaceable(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NotFound(_)
            | StoreError::Damaged { .. }
            | StoreError::Failed { .. }
            | StoreError::Moved(_)
    )
}
