//! Whether a sealed vault of the first store is the one that its id names. Checksums cannot tell: who changes a vault changes them, too.

use sha2::{Digest, Sha256};

use super::StoredCopy;
use super::shared::Shared;
use crate::{Damage, Manifest, StoreError, VaultId};

impl Shared {
    /// The manifest that counts, and the store whose vault it describes: the second where the first has another vault under this id.
    pub(super) fn chosen(
        &self,
        id: &VaultId,
        manifest: impl Fn(&dyn crate::VaultStore) -> Result<Manifest, StoreError>,
    ) -> Result<(Manifest, StoredCopy), StoreError> {
        let told = self.either(id, &manifest)?;
        if told.sealed.is_none() || !self.has_copy(id) {
            return Ok((told, StoredCopy::First));
        }
        match self.foreign(id, &told)? {
            None => Ok((told, StoredCopy::First)),
            Some(damage) => {
                let copy = manifest(&*self.second)?;
                self.found(id, damage);
                Ok((copy, StoredCopy::Second))
            }
        }
    }

    /// Why the vault of the first store, which has this manifest, is not the one that is meant, if the second has that one. The stores are asked once for
    /// each manifest.
    fn foreign(&self, id: &VaultId, manifest: &Manifest) -> Result<Option<Damage>, StoreError> {
        let print: [u8; 32] = Sha256::digest(manifest.to_bytes()?).into();
        if let Some((of, found)) = self.lock().judged.get(id)
            && *of == print
        {
            return Ok(found.clone());
        }
        let [first, second] = &self.opened;
        let found = match first.manifest(id) {
            Ok(_) => None,
            Err(StoreError::Damaged { file, what, .. }) => match self.second.manifest(id) {
                // Parts of it are damaged: they are read from the copy one by one.
                Ok(copy) if copy == *manifest => None,
                Ok(_) => match second.manifest(id) {
                    Ok(copy) if copy.sealed.is_none() => Some(Damage {
                        file,
                        frame: None,
                        what,
                    }),
                    Ok(_) | Err(StoreError::Damaged { .. }) => None,
                    Err(_) => return Ok(None), // another time it may be read
                },
                Err(_) => return Ok(None), // likewise
            },
            Err(_) => return Ok(None),
        };
        self.lock().judged.insert(id.clone(), (print, found.clone()));
        Ok(found)
    }

    /// An error where the vault of the first store may not take the place of a copy that can be read and is another one: it is known to be damaged, is not what was
    /// sealed, or nobody here can tell, unless it was [said](super::Replacing::committed) to be meant.
    pub(super) fn check_own(&self, id: &VaultId) -> Result<(), StoreError> {
        let [first, _] = &self.opened;
        let known = first.verification(id)?;
        if let Some(damage) = known.and_then(|known| known.damage.into_iter().next()) {
            return Err(StoreError::damaged(id, damage.file, damage.what));
        }
        let manifest = first.manifest(id)?;
        match self.lock().meant.contains(id) {
            true => Ok(()),
            false => manifest.require_open(),
        }
    }
}
