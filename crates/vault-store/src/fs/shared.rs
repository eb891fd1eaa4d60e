//! Where vaults are below a root, which a store and its stages share.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::files::{io_at, is_directory};
use super::leftovers::Leftovers;
use super::{marks, reserve};
use crate::{StoreError, VaultId};

pub(super) const GRANULAR: &str = "granular";
pub(super) const LOCK: &str = ".lock";

/// Tells a file from all others that are there at the same time: its device and inode.
pub(super) type Identity = (u64, u64);

pub(super) fn identity(found: &Metadata) -> Identity {
    (found.dev(), found.ino())
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) root: PathBuf,
    /// What the store was opened by, which may have been a link to it, and may be one to somewhere else by now.
    pub(super) given: PathBuf,
    /// Between looking whether an id is free and taking it, and while a file is replaced, whose new one has one name until then.
    pub(super) taking: Mutex<()>,
    /// Vaults that had a manifest when they were listed, so that thousands need not be asked each time.
    pub(super) ours: Mutex<HashSet<VaultId>>,
    pub(super) leftovers: Leftovers,
    /// Whether room is kept for notes on a full disk.
    pub(super) has_reserve: bool,
    /// Whether the root may become another directory.
    pub(super) is_replaceable: bool,
    /// The lock file that is held; `None` where a copy came without one.
    pub(super) held: Option<Identity>,
}

impl Shared {
    pub(super) fn home(&self, granular: bool) -> PathBuf {
        if granular {
            self.root.join(GRANULAR)
        } else {
            self.root.clone()
        }
    }

    pub(super) fn find(&self, id: &VaultId) -> Option<PathBuf> {
        [false, true]
            .into_iter()
            .map(|granular| self.home(granular))
            .filter(|home| is_directory(home))
            .find_map(|home| {
                let path = home.join(id.as_str());
                is_directory(&path).then_some(path)
            })
    }

    /// Whether the predecessor left the directory `path` of this id. One that has, or had, a manifest of ours is ours, whatever else lies in it.
    pub(super) fn is_theirs(&self, id: &VaultId, path: &Path) -> bool {
        if self.ours().contains(id) {
            return false;
        }
        let is_ours = marks::are_ours_in(path);
        if is_ours {
            self.ours().insert(id.clone());
        }
        !is_ours && marks::are_theirs_in(path)
    }

    /// An error where the root, or what it was opened by, is another directory than that which holds the lock, and may not be.
    pub(super) fn check_in_place(&self) -> Result<(), StoreError> {
        match self.is_replaceable {
            true => Ok(()),
            false => self.check_held(),
        }
    }

    /// An error where it is another one, whether it may be or not.
    pub(super) fn check_held(&self) -> Result<(), StoreError> {
        let Some(held) = self.held else {
            return Ok(());
        };
        for place in [&self.given, &self.root] {
            match fs::symlink_metadata(place.join(LOCK)) {
                Ok(there) if identity(&there) == held => {}
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_at(place)(error)),
                _ => return Err(StoreError::Moved(self.given.display().to_string())),
            }
            if self.given == self.root {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn one_at_a_time(&self) -> MutexGuard<'_, ()> {
        self.taking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps room for notes again, where something has become free.
    pub(super) fn refill(&self) {
        let _one_at_a_time = self.one_at_a_time();
        if self.has_reserve && self.check_in_place().is_ok() {
            reserve::refill(&self.root);
        }
    }

    /// The vault is gone.
    pub(super) fn forget(&self, id: &VaultId) {
        self.ours().remove(id);
    }

    fn ours(&self) -> MutexGuard<'_, HashSet<VaultId>> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ids of all directories that are named by one and are `wanted`, oldest first.
    pub(super) fn list(&self, wanted: impl Fn(&VaultId, &Path) -> bool) -> Result<Vec<VaultId>, StoreError> {
        self.check_in_place()?;
        let mut ids = Vec::new();
        for home in [self.home(false), self.home(true)] {
            if !is_directory(&home) {
                continue;
            }
            for entry in fs::read_dir(&home).map_err(io_at(&home))? {
                let entry = entry.map_err(io_at(&home))?;
                let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
                if let (Some(id), Ok(kind)) = (id, entry.file_type())
                    && kind.is_dir()
                    && wanted(&id, &entry.path())
                {
                    ids.push(id);
                }
            }
        }
        ids.sort();
        Ok(ids)
    }
}
