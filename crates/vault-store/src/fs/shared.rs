//! Where vaults are below a root, which a store and its stages share.

use std::path::PathBuf;
use std::sync::Mutex;

use super::files::is_directory;
use crate::VaultId;

pub(super) const GRANULAR: &str = "granular";

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) root: PathBuf,
    /// Between looking whether an id is free and taking it.
    pub(super) taking: Mutex<()>,
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
}
