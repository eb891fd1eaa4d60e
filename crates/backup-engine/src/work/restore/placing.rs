//! Files that servers begin anew with, placed where they are found.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use vault_store::{FileName, Reader, VaultId, VaultStore};
use zk_snapshot::restore::Permit;

use super::private_files;
use crate::work::failure::Failure;

/// What is placed.
pub(super) struct Placing {
    /// The file of the vault.
    pub(super) name: FileName,
    /// What the files beside it say, where the epoch is raised.
    pub(super) epoch: Option<i64>,
    pub(super) readme: String,
}

/// Places a file of a vault and what belongs beside it. Where `permit` ends before all of it is written nothing is placed.
pub(super) fn place(
    store: &dyn VaultStore,
    id: &VaultId,
    placing: &Placing,
    directory: &Path,
    permit: &dyn Permit,
) -> Result<(), Failure> {
    // All of it appears at once, so that nobody takes what was cut short.
    let new = directory.with_extension("new");
    remove(&new)?;
    fs::DirBuilder::new().mode(0o700).recursive(true).create(&new)?;
    let filled = fill(store, id, placing, &new);
    // What was placed by whoever has the claim now is left as it is.
    let filled = filled.and_then(|()| Ok(permit.may_write()?));
    if let Err(failure) = filled {
        remove(&new)?;
        return Err(failure);
    }
    remove(directory)?;
    fs::rename(&new, directory)?;
    let above = directory.parent().unwrap_or(directory);
    Ok(File::open(above)?.sync_all()?)
}

fn fill(store: &dyn VaultStore, id: &VaultId, placing: &Placing, new: &Path) -> Result<(), Failure> {
    let write = |name: &str, content: &mut dyn io::Read| {
        let mut file = private_files::create(&new.join(name))?;
        io::copy(content, &mut file)?;
        file.flush()?;
        file.sync_all()
    };
    let name = &placing.name;
    write(name.as_str(), &mut Reader::new(store.open(id, name)?))?;
    if let Some(epoch) = placing.epoch {
        for name in ["currentEpoch", "acceptedEpoch"] {
            write(name, &mut epoch.to_string().as_bytes())?;
        }
    }
    write("README", &mut placing.readme.as_bytes())?;
    Ok(File::open(new)?.sync_all()?)
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io::Error::new(
            error.kind(),
            format!("{}: {error}", directory.display()),
        )),
        _ => Ok(()),
    }
}
