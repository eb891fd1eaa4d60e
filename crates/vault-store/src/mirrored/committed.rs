//! What is committed is in the first store again, if it was missed there.

use std::sync::{Arc, Weak};

use super::shared::Shared;
use crate::{FileName, Manifest, Stage, StoreError, VaultFile, VaultId};

/// A stage of the first store.
struct Watched {
    stage: Box<dyn Stage>,
    /// It keeps no store open.
    shared: Weak<Shared>,
    id: VaultId,
}

/// The stage that the first store has given for `id`.
pub(super) fn stage(
    shared: &Arc<Shared>,
    id: &VaultId,
    stage: Result<Box<dyn Stage>, StoreError>,
) -> Result<Box<dyn Stage>, StoreError> {
    Ok(Box::new(Watched {
        stage: stage?,
        shared: Arc::downgrade(shared),
        id: id.clone(),
    }))
}

impl Stage for Watched {
    fn create(&mut self, name: &FileName) -> Result<Box<dyn VaultFile>, StoreError> {
        self.stage.create(name)
    }

    fn commit(self: Box<Self>, manifest: &Manifest) -> Result<(), StoreError> {
        let Self { stage, shared, id } = *self;
        stage.commit(manifest)?;
        if let Some(shared) = shared.upgrade() {
            let mut state = shared.lock();
            state.commits += 1;
            state.missing.remove(&id);
        }
        Ok(())
    }
}
