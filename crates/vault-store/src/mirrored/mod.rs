//! A store around two: vaults are written to the first, copied to the second, and read from whichever is whole.

mod committed;
mod copying;
mod evicted;
mod notes;
mod own;
mod place;
mod read;
mod replacing;
mod shared;
mod verifying;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

pub use self::copying::CopyError;
use self::read::CheckedRead;
pub use self::replacing::Replacing;
pub use self::shared::CopiedNote;
use self::shared::Shared;
use crate::{Damage, FileName, Manifest, Stage, StoreError, VaultId, VaultRead, VaultStore, Verification};

/// The copy of a vault that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum StoredCopy {
    /// That in the first store, where vaults are written.
    #[serde(rename = "primary")]
    First,
    /// That in the second store.
    #[serde(rename = "secondary")]
    Second,
}

/// Vaults in a first store, with copies in a second one.
///
/// Writing is the first store's affair alone: no call of a [`VaultStore`] waits for the second one to be written. Whoever owns this calls
/// [`refresh`](Self::refresh) to learn what the second store has, and [`copy`](Self::copy) for each vault that it [lacks](Self::lacking), one at
/// a time; [`mark`](Self::mark) and [`copy_notes`](Self::copy_notes) come before. A vault is copied as it lies in the first store; a store that seals vaults goes around this one.
///
/// Where a vault has a copy, each frame that is read from the first store is compared with its checksum, and read from the copy if it is not what
/// was committed, or cannot be read. The same holds for the manifest. A vault that only the second store has is listed and read like any other.
/// What was read there is told: [`reads_of_second`](Self::reads_of_second), [`damage`](Self::damage).
///
/// [`VaultStore::remove`] notes the id in the first store before anything else, and [`remove_evicted`](Self::remove_evicted) removes the copies of
/// those that are noted, and of no others: what the first store has lost stays in the second. Notes are the first store's; those that are given
/// to [`new`](Self::new) are copied, read from the copy where the first store has none, and merged where an earlier process has left two.
///
/// Clones share everything.
#[derive(Clone)]
pub struct MirroredStore(Arc<Shared>);

impl MirroredStore {
    /// Vaults in `first`, with copies in `second`, which is not asked for anything yet: until [`refresh`](Self::refresh) it counts as empty.
    /// `notes` are those that are copied.
    #[must_use]
    pub fn new(
        first: Arc<dyn VaultStore>,
        second: Arc<dyn VaultStore>,
        notes: impl IntoIterator<Item = CopiedNote>,
    ) -> Self {
        Self::under(first, second, notes, |store| store)
    }

    /// The same, where `around` is what vaults are read through: it puts the store that opens seals around one of the two. So it is known whether a sealed
    /// vault is the one that its id names. One that is not is read from the copy, and takes the place of none.
    #[must_use]
    pub fn under(
        first: Arc<dyn VaultStore>,
        second: Arc<dyn VaultStore>,
        notes: impl IntoIterator<Item = CopiedNote>,
        around: impl Fn(Arc<dyn VaultStore>) -> Arc<dyn VaultStore>,
    ) -> Self {
        Self(Arc::new(Shared {
            opened: [&first, &second].map(|store| around(Arc::clone(store))),
            first,
            second,
            notes: notes.into_iter().collect(),
            state: Mutex::default(),
            evicting: Mutex::default(),
            noting: Mutex::default(),
        }))
    }

    /// The copy from which a vault is read, as far as that is known.
    #[must_use]
    pub fn copy_read(&self, id: &VaultId) -> StoredCopy {
        let state = self.0.lock();
        match state.missing.contains(id) || state.damage.contains_key(id) {
            true => StoredCopy::Second,
            false => StoredCopy::First,
        }
    }

    /// How often something of a vault was read from the second store, since the first could not give it. It only grows: compare two answers.
    #[must_use]
    pub fn reads_of_second(&self, id: &VaultId) -> u64 {
        self.0.lock().reads.get(id).copied().unwrap_or_default()
    }

    /// What reading has found damaged in the first store and whole in the second, since this was made or [`forget_damage`](Self::forget_damage) was
    /// called. Damage that both have is not in it: whoever reads is told of that.
    #[must_use]
    pub fn damage(&self) -> BTreeMap<VaultId, Vec<Damage>> {
        self.0.lock().damage.clone()
    }

    /// Forgets what was found damaged in a vault, before it is looked at anew.
    pub fn forget_damage(&self, id: &VaultId) {
        self.0.lock().damage.remove(id);
    }

    /// Whether the second store lacks a vault, or has another one with its id, as far as that is known.
    #[must_use]
    pub fn lacks(&self, id: &VaultId) -> bool {
        let state = self.0.lock();
        state.lacks(id) || state.different.contains(id)
    }

    /// How many vaults only the second store has, as far as the first could be listed.
    #[must_use]
    pub fn only_copies(&self) -> usize {
        let state = self.0.lock();
        match state.trouble {
            None => state.missing.iter().filter(|id| state.has_copy(id)).count(),
            Some(_) => 0,
        }
    }

    /// Whether both stores were listed the last time, so that [`ids`](VaultStore::ids) has all that there are.
    #[must_use]
    pub fn lists_all(&self) -> bool {
        let state = self.0.lock();
        state.answers && state.trouble.is_none()
    }

    /// Why the first store could not be listed the last time: what is listed then is what the second one has.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.0.lock().trouble.clone()
    }
}

impl VaultStore for MirroredStore {
    /// Those of the first store, and those that only the second had when it was last [listed](Self::refresh). Where the first cannot be
    /// listed, those of the second alone, and [`trouble`](Self::trouble) tells.
    fn ids(&self) -> Result<Vec<VaultId>, StoreError> {
        let mut before = self.0.commits();
        let mut first = self.0.first.ids();
        if self.0.commits() != before {
            // What was committed meanwhile may not be in it, and would be called missing.
            before = self.0.commits();
            first = self.0.first.ids();
        }
        let mut state = self.0.lock();
        let copies = if state.answers {
            state.listed.clone()
        } else {
            BTreeSet::new()
        };
        let copies: BTreeSet<_> = copies.difference(&state.evicted).cloned().collect();
        match first {
            Ok(first) => {
                let mut all: BTreeSet<_> = first.into_iter().collect();
                if state.commits == before {
                    state.missing = copies.difference(&all).cloned().collect();
                }
                state.trouble = None;
                all.extend(copies);
                Ok(all.into_iter().collect())
            }
            Err(error) if copies.is_empty() => Err(error),
            Err(error) => {
                state.trouble = Some(error.to_string());
                state.missing.clone_from(&copies);
                Ok(copies.into_iter().collect())
            }
        }
    }

    fn manifest(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        Ok(self.0.chosen(id, |store| store.manifest(id))?.0)
    }

    fn manifest_as_is(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        Ok(self.0.chosen(id, |store| store.manifest_as_is(id))?.0)
    }

    fn stage(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        match self.0.is_taken(id) {
            true => Err(StoreError::AlreadyExists(id.clone())),
            false => committed::stage(&self.0, id, self.0.first.stage(id)),
        }
    }

    fn stage_as_is(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        match self.0.is_taken(id) {
            true => Err(StoreError::AlreadyExists(id.clone())),
            false => committed::stage(&self.0, id, self.0.first.stage_as_is(id)),
        }
    }

    fn stage_in(&self, storage: Option<&str>, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        match self.0.is_taken(id) {
            true => Err(StoreError::AlreadyExists(id.clone())),
            false => committed::stage(&self.0, id, self.0.first.stage_in(storage, id)),
        }
    }

    fn open(&self, id: &VaultId, file: &FileName) -> Result<Arc<dyn VaultRead>, StoreError> {
        if !self.0.has_copy(id) {
            return self.0.first.open(id, file);
        }
        let entry = match self.0.chosen(id, |store| store.manifest(id)) {
            Ok((_, StoredCopy::Second)) => return self.0.second.open(id, file),
            Ok((manifest, StoredCopy::First)) => manifest.files.into_iter().find(|entry| entry.name == *file),
            Err(_) => None,
        };
        match entry {
            Some(entry) => CheckedRead::open(&self.0, id, entry),
            // It is none of the vault's files, or nobody knows: then nothing can be compared.
            None => self.0.either(id, |store| store.open(id, file)),
        }
    }

    fn remove(&self, id: &VaultId) -> Result<(), StoreError> {
        self.0.evict(id)
    }

    fn size(&self, id: &VaultId) -> Result<u64, StoreError> {
        self.0.either(id, |store| store.size(id))
    }

    fn record_verification(&self, id: &VaultId, result: &Verification) -> Result<(), StoreError> {
        match self.0.first.record_verification(id, result) {
            Err(StoreError::NotFound(_)) if self.0.has_copy(id) => {
                self.0.second.record_verification(id, result)
            }
            recorded => recorded,
        }
    }

    fn verification(&self, id: &VaultId) -> Result<Option<Verification>, StoreError> {
        self.0.either(id, |store| store.verification(id))
    }

    fn note(&self, name: &FileName) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.note(name)
    }

    fn keep_note(&self, name: &FileName, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.keep_note(name, bytes)
    }
}

impl std::fmt::Debug for MirroredStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.0.lock();
        f.debug_struct("MirroredStore")
            .field("copies", &state.listed.len())
            .field("answers", &state.answers)
            .finish_non_exhaustive()
    }
}
