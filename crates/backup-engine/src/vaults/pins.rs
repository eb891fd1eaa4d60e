//! What was pinned or unpinned after it was backed up: a manifest never changes, so that is kept beside them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vault_store::{FileName, Manifest, StoreError, VaultId, VaultStore};

use super::Vaults;
use crate::EngineError;
use crate::lock::lock;

/// One note for all, so that every process that uses the store knows.
pub(crate) const PINS: FileName = FileName::from_static("pins");
/// So often a change is made again that another process has overwritten.
const TRIES: usize = 5;

/// The pins that differ from what a manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Pins(BTreeMap<VaultId, bool>);

impl Pins {
    /// What was said of the pin of a vault after it was backed up.
    pub(super) fn said(&self, id: &VaultId) -> Option<bool> {
        self.0.get(id).copied()
    }

    /// Whether a vault is pinned.
    pub(crate) fn pinned(&self, manifest: &Manifest) -> bool {
        self.said(&manifest.id).unwrap_or(manifest.pinned)
    }
}

/// Of two notes of which nobody knows which is newer, all that is said in either. What one pins is pinned: no policy is to evict it.
pub(crate) fn merged(first: &[u8], second: &[u8]) -> Option<Vec<u8>> {
    let second: Pins = serde_json::from_slice(second).ok()?;
    let mut pins: Pins = serde_json::from_slice(first).unwrap_or_default();
    for (id, pinned) in second.0 {
        *pins.0.entry(id).or_default() |= pinned;
    }
    serde_json::to_vec_pretty(&pins).ok()
}

/// Whether a note says what is pinned.
pub(crate) fn are_sound(note: &[u8]) -> bool {
    serde_json::from_slice::<Pins>(note).is_ok()
}

fn read(store: &dyn VaultStore) -> Result<Pins, StoreError> {
    match store.note(&PINS)? {
        None => Ok(Pins::default()),
        Some(bytes) => {
            serde_json::from_slice(&bytes).map_err(|error| StoreError::unreadable_note(&PINS, error))
        }
    }
}

impl Vaults {
    /// What is pinned otherwise than the manifests say. Where that cannot be read nothing may be evicted. Blocks.
    pub(crate) fn pins(&self) -> Result<Pins, StoreError> {
        read(&*self.store)
    }

    /// Pins a vault that is there, or takes its pin away. No policy evicts a pinned one once this has returned. Blocks.
    pub(crate) fn pin(&self, id: &VaultId, pinned: bool) -> Result<(), EngineError> {
        let _one_at_a_time = lock(&self.pinning);
        self.change_pins(id, Some(pinned))?;
        self.wake_second();
        Ok(())
    }

    /// Forgets what was said of the pin of a vault, before another one has its id. Blocks.
    pub(super) fn forget_pin(&self, id: &VaultId) -> Result<(), EngineError> {
        let _one_at_a_time = lock(&self.pinning);
        match read(&*self.store)?.0.contains_key(id) {
            true => self.change_pins(id, None),
            false => Ok(()),
        }
    }

    fn change_pins(&self, id: &VaultId, pinned: Option<bool>) -> Result<(), EngineError> {
        let there = match self.store.ids() {
            // It is one of several storages that is away.
            Err(_) if !self.storages().is_empty() => None,
            there => Some(there?),
        };
        let is_there = there
            .as_ref()
            .map_or_else(|| self.contains(id), |there| Ok(there.contains(id)))?;
        if pinned.is_some() && !is_there {
            return Err(EngineError::BackupNotFound(id.to_string()));
        }
        for _ in 0..TRIES {
            let mut pins = read(&*self.store)?;
            // What is gone needs no pin, and its id may come again; what is away may come back.
            if let Some(there) = &there
                && self.second.as_ref().is_none_or(|second| second.store.lists_all())
            {
                pins.0.retain(|known, _| there.contains(known));
            }
            match pinned {
                Some(pinned) => pins.0.insert(id.clone(), pinned),
                None => pins.0.remove(id),
            };
            let bytes =
                serde_json::to_vec_pretty(&pins).map_err(|error| StoreError::io(PINS, error.into()))?;
            self.store.keep_note(&PINS, &bytes)?;
            if read(&*self.store)?.0.get(id).copied() == pinned {
                return Ok(());
            }
        }
        Err(EngineError::Storage(
            "others change the pins all the time: try again".into(),
        ))
    }

    /// Removes a vault as [`remove`](Self::remove) does, unless somebody has pinned it since it was planned. Says whether it did. Blocks.
    pub(crate) fn remove_unpinned(
        &self,
        manifest: Option<&Manifest>,
        id: &VaultId,
    ) -> Result<bool, EngineError> {
        // Held while removing, so that nobody is told meanwhile that it is pinned.
        let _no_change = lock(&self.pinning);
        let pins = self.pins()?;
        if manifest.is_some_and(|manifest| pins.pinned(manifest)) {
            return Ok(false);
        }
        self.remove(id)?;
        Ok(true)
    }
}
