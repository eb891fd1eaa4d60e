//! The znodes of what the Qubership backup daemon wrote.

mod code_page;
mod states;
mod znodes;

use std::sync::Arc;

use vault_store::{Manifest, Mode, Predecessor, Reader, StoreError, VaultStore, ZNODES};
use zk_snapshot::archive::{ArchiveError, RecordSource};

use self::znodes::Znodes;
use crate::EngineError;

/// Opens a vault of the predecessor, and tells what was found to be wrong with it. Blocks.
pub(super) fn open(
    store: &dyn VaultStore,
    manifest: &Manifest,
    left: &Predecessor,
) -> Result<(Arc<dyn RecordSource>, Vec<String>), EngineError> {
    let id = &manifest.id;
    let opened = match manifest.mode {
        Mode::Hierarchical => {
            let file = Reader::new(store.open(id, &ZNODES)?);
            Znodes::open(file, manifest.roots.as_deref())
                .map(|znodes| (Arc::new(znodes) as Arc<dyn RecordSource>, Vec::new()))
        }
        Mode::Transactional => states::open(store, id, left),
    };
    opened.map_err(|error| match error {
        ArchiveError::Io(error) => StoreError::io(format!("backup {id}"), error).into(),
        error => EngineError::Damaged {
            id: id.clone(),
            cause: error.into(),
        },
    })
}
