//! The first contact with a directory of second copies.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use vault_store::LateStore;

use crate::SettingsError;
use crate::contact::{PATIENCE, in_time};

/// The setting that names it.
const SETTING: &str = "SECONDARY_DIRECTORY";

/// What is kept there, or will be once it can be used: that it cannot be used just now is logged. `storage` is held by this process.
///
/// # Errors
/// Where it is `storage` by another name.
pub(crate) fn open(path: &Path, storage: &Path) -> Result<Arc<LateStore>, SettingsError> {
    let at = path.display().to_string();
    let copies = Arc::new(LateStore::new(path, SETTING));
    let (asked, places) = (Arc::clone(&copies), [path.to_owned(), storage.to_owned()]);
    let trouble = match in_time(move || (asked.open_now(), is_one(&places))) {
        Some((_, true)) => {
            let why = format!("{SETTING}={at}: it is STORAGE by another name: it must be on another disk");
            return Err(SettingsError::new(why));
        }
        Some((Ok(()), false)) => None,
        Some((Err(error), false)) => Some(error.to_string()),
        None => Some(format!("{SETTING}: {at} has not answered for {PATIENCE:?}")),
    };
    if let Some(trouble) = trouble {
        log::warn!("{trouble}: second copies are made once it can be used");
    }
    Ok(copies)
}

/// Whether both have the same lock file, as a directory has that is mounted twice.
fn is_one(places: &[std::path::PathBuf; 2]) -> bool {
    let locks = places.each_ref().map(|place| fs::metadata(place.join(".lock")));
    matches!(locks, [Ok(a), Ok(b)] if (a.dev(), a.ino()) == (b.dev(), b.ino()))
}
