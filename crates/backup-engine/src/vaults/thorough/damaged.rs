//! What errors say of the files of a vault.

use vault_store::{Damage, Manifest, StoreError};
use zk_snapshot::archive::ArchiveError;

use super::predecessors;
use crate::EngineError;
use crate::vaults::records::{AMENDMENTS, ARCHIVE, snapshot_of};

/// What an error of opening a vault says of its files.
///
/// # Errors
/// That error, if it says that they cannot be read just now.
pub(crate) fn damage_of(manifest: &Manifest, error: EngineError) -> Result<Damage, EngineError> {
    match error {
        EngineError::Storage(cause) => match cause.downcast::<StoreError>().map(|error| *error) {
            Ok(StoreError::Damaged { file, what, .. }) => Ok(Damage {
                file,
                frame: None,
                what,
            }),
            Ok(error) => Err(error.into()),
            Err(cause) => Err(EngineError::Storage(cause)),
        },
        EngineError::Damaged { cause, .. } => match cause.downcast::<ArchiveError>() {
            Ok(error) => damage_of_archive(manifest, last_file(manifest), *error),
            Err(cause) => Ok(Damage {
                file: last_file(manifest),
                frame: None,
                what: cause.to_string(),
            }),
        },
        error => Err(error),
    }
}

/// That there are not as many znodes as the manifest says.
pub(crate) fn miscounted(manifest: &Manifest, there: u64, said: u64) -> Damage {
    Damage {
        file: last_file(manifest),
        frame: None,
        what: format!("{there} znodes of {said} are there"),
    }
}

pub(super) fn damage_of_archive(
    manifest: &Manifest,
    file: String,
    error: ArchiveError,
) -> Result<Damage, EngineError> {
    match error {
        ArchiveError::Io(error) => Err(EngineError::Storage(error.into())),
        ArchiveError::Damaged { frame, why } => Ok(Damage {
            file,
            frame: manifest.predecessor.is_none().then_some(frame),
            what: why,
        }),
        ArchiveError::Unframed(what) => Ok(Damage {
            file,
            frame: None,
            what,
        }),
        error => Ok(Damage {
            file,
            frame: None,
            what: error.to_string(),
        }),
    }
}

/// The file whose items are all read when a vault is opened.
pub(super) fn last_file(manifest: &Manifest) -> String {
    if let Some(file) = predecessors::file(manifest) {
        return file;
    }
    let amended = manifest.files.iter().any(|file| file.name == AMENDMENTS);
    match snapshot_of(manifest) {
        Some(snapshot) => snapshot.name.to_string(),
        None if amended => AMENDMENTS.to_string(),
        None => ARCHIVE.to_string(),
    }
}
