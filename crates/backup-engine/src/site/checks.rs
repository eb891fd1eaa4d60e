//! When what is stored is checked, and where backups are restored for a test.

use std::sync::Arc;

use vault_store::{Contents, Manifest};

use super::schedule::Scheduled;
use crate::ensemble::Ensemble;
use crate::{InvalidRequest, Share};

/// What a tree in memory may take for a test, in bytes, if nothing else is said: 1 GiB.
const MEMORY: u64 = 1 << 30;
/// What a znode takes in memory beside its data, about.
const BESIDE: u64 = 400;

/// Where backups are restored for a test.
#[derive(Clone)]
pub struct RestoreTests {
    /// An ensemble; `None` leaves memory alone.
    pub ensemble: Option<TestEnsemble>,
    /// How many bytes a backup may take, about, that is restored to memory.
    pub memory: u64,
}

/// An ensemble to which backups are restored for a test, each below a znode that is made for it in the ensemble's `/` and removed afterwards.
#[derive(Clone)]
pub struct TestEnsemble {
    /// Which; below a chroot, where only that place is meant.
    pub ensemble: Arc<dyn Ensemble>,
    /// All of the ensemble that is backed up. Where what was made in `ensemble` is seen in it, or it cannot be asked, nothing is restored. `None` where
    /// it is meant.
    pub never: Option<Arc<dyn Ensemble>>,
    /// Whether it is the ensemble that is backed up: then no backup and no restore runs meanwhile.
    pub is_live: bool,
}

impl TestEnsemble {
    /// `ensemble`, which is not to be that of `live`, all of which is backed up.
    pub fn apart(ensemble: Arc<dyn Ensemble>, live: Arc<dyn Ensemble>) -> Self {
        Self {
            ensemble,
            never: Some(live),
            is_live: false,
        }
    }
}

impl Default for RestoreTests {
    fn default() -> Self {
        Self {
            ensemble: None,
            memory: MEMORY,
        }
    }
}

/// What so many znodes with so many bytes of data take in memory, about.
pub(crate) fn memory(znodes: u64, bytes: u64) -> u64 {
    bytes.saturating_add(znodes.saturating_mul(BESIDE))
}

impl RestoreTests {
    /// Refuses what would take more memory than it may.
    pub(crate) fn check_memory(&self, manifest: &Manifest) -> Result<(), InvalidRequest> {
        let captured = manifest.contents.as_ref().map(Contents::captured);
        let needs = captured.map_or(0, |captured| memory(captured.znodes, captured.bytes));
        if needs <= self.memory {
            return Ok(());
        }
        Err(InvalidRequest::TooLargeForMemory {
            id: manifest.id.clone(),
            needs,
            allowed: self.memory,
        })
    }
}

impl std::fmt::Debug for RestoreTests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ensemble = self.ensemble.as_ref().map(|to| to.ensemble.name());
        f.debug_struct("RestoreTests")
            .field("ensemble", &ensemble)
            .field("memory", &self.memory)
            .finish()
    }
}

impl std::fmt::Debug for TestEnsemble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestEnsemble")
            .field("ensemble", &self.ensemble.name())
            .field("is_live", &self.is_live)
            .finish_non_exhaustive()
    }
}

/// What is checked, and when.
pub(crate) struct Checks {
    pub(crate) verify: Option<Scheduled>,
    /// Whether each backup is verified once it is stored.
    pub(crate) verify_new: bool,
    /// How much a scheduled verification is of.
    pub(crate) share: Share,
    pub(crate) test: Option<Scheduled>,
    pub(crate) tests: RestoreTests,
}
