//! What was removed, or never finished, and still lies in the staging directory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::files::{io_at, is_directory};
use crate::StoreError;

/// What could not be removed, until it can be: it stands in nobody's way.
#[derive(Debug, Default)]
pub(super) struct Leftovers(Mutex<BTreeMap<PathBuf, String>>);

impl Leftovers {
    /// Removes what nobody needs any more. Where that fails it is told, and tried [again](Self::remove_again).
    pub(super) fn remove(&self, doomed: &Path) -> bool {
        let removed = removed(doomed);
        let mut known = self.lock();
        match removed {
            Ok(()) => {
                known.remove(doomed);
                true
            }
            Err(why) => {
                if known.get(doomed) != Some(&why) {
                    log::warn!("what was removed is still there, and is removed later: {why}");
                    known.insert(doomed.to_owned(), why);
                }
                false
            }
        }
    }

    /// Tries again what could not be removed before.
    pub(super) fn remove_again(&self) {
        let known: Vec<_> = self.lock().keys().cloned().collect();
        for doomed in known {
            self.remove(&doomed);
        }
    }

    /// The file that is in the way of each, and why.
    pub(super) fn files(&self) -> Vec<String> {
        let mut known = self.lock();
        known.retain(|doomed, _| fs::symlink_metadata(doomed).is_ok()); // somebody may have removed it
        known.values().cloned().collect()
    }

    /// Removes all that is in the staging directory, as far as that can be done, and says what that was.
    pub(super) fn sweep(&self, staging: &Path) -> Result<Vec<String>, StoreError> {
        let mut swept = Vec::new();
        for entry in fs::read_dir(staging).map_err(io_at(staging))? {
            let entry = entry.map_err(io_at(staging))?;
            if self.remove(&entry.path()) {
                swept.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        swept.sort();
        Ok(swept)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a vault goes that is removed: a name that nothing has which is left of an earlier one with its id.
pub(super) fn out_of_sight(staging: &Path, id: &str) -> PathBuf {
    let named = (1_u32..).map(|n| match n {
        1 => format!("removed-{id}"),
        n => format!("removed-{id}-{n}"),
    });
    let mut paths = named.map(|name| staging.join(name));
    let free = paths.find(|path| fs::symlink_metadata(path).is_err());
    free.unwrap_or_else(|| staging.join(format!("removed-{id}")))
}

/// Removes a file, or a directory with all that is in it, or says which file is in the way.
fn removed(doomed: &Path) -> Result<(), String> {
    let done = match is_directory(doomed) {
        true => fs::remove_dir_all(doomed),
        false => fs::remove_file(doomed),
    };
    match done {
        Ok(()) => Ok(()),
        Err(_) => one_by_one(doomed), // it does not say which
    }
}

/// The same, where one that cannot be removed keeps none of the others. The first that cannot is named.
fn one_by_one(path: &Path) -> Result<(), String> {
    let named = |error: io::Error| format!("{}: {error}", path.display());
    let done = match is_directory(path) {
        true => {
            let mut all = Ok(());
            for entry in fs::read_dir(path).map_err(named)? {
                let below = entry.map_err(named).and_then(|entry| one_by_one(&entry.path()));
                all = all.and(below);
            }
            all?;
            fs::remove_dir(path)
        }
        false => fs::remove_file(path),
    };
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named(error)),
        _ => Ok(()),
    }
}
