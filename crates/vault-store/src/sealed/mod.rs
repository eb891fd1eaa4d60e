//! A store around a store, whose vaults only the holders of a secret key can read.

mod keys;
mod manifest;
mod read;
mod words;
mod write;

use std::sync::Arc;

pub use self::keys::{Identities, KeyError, Recipients};
use self::manifest::MANIFEST_AGE;
use self::read::SealedRead;
use self::write::SealedStage;
use crate::{FileName, Manifest, Stage, StoreError, VaultId, VaultRead, VaultStore, Verification};

/// Seals vaults before the store below sees them, and opens them with an identity.
///
/// **Sealed** are every file and the manifest, each as a file of age that `age -d` opens too. In the clear are id, times, mode, size, whether it
/// is granular and pinned, how it ended, the public keys, the names of the files, and the SHA-256 of the sealed bytes
/// ([`Manifest::sealed`]).
///
/// **Without an identity** of one of a vault's recipients it is shown as it lies there: the manifest is the clear part, and files are their
/// sealed bytes, which [`verify`](crate::verify) compares with their checksums. With one it is shown as it was committed; each byte is
/// authenticated, and the clear part must be the one that it was sealed with. Vaults that are not sealed are shown as they are.
///
/// **What it does not prove** is who wrote a vault: whoever can write to the store below and knows a public key can put another vault in its
/// place.
///
/// Notes stay in the clear, since a server without an identity has to read them. Words about damage are sealed where the vault can be opened here, as
/// they may quote what was read: to the recipients and to the identities. Where it cannot, those that are sealed are not told, and stay as they lie there
/// for as long as they are [recorded](VaultStore::record_verification) again as they were told.
///
/// ```
/// use std::sync::Arc;
/// use vault_store::{Identities, Manifest, MemoryStore, Mode, Outcome, Recipients, SealedStore, StoreError, VaultId, VaultStore, verify};
///
/// let recipients: Recipients = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa".parse()?;
/// let below = Arc::new(MemoryStore::new());
/// let store = SealedStore::new(below.clone(), recipients.clone(), None);
/// let id: VaultId = "20261123T140000".parse()?;
/// store.stage(&id)?.commit(&Manifest::new(&id, Mode::Hierarchical, id.time(), Outcome::Complete))?;
///
/// let clear = store.manifest(&id)?;
/// assert!(clear.is_valid() && verify(&store, &id, id.time())?.is_sound());
/// assert!(matches!(clear.require_open(), Err(StoreError::Sealed { .. })));
///
/// let identities: Identities = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33".parse()?;
/// let store = SealedStore::new(below, recipients, Some(identities));
/// store.manifest(&id)?.require_open()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SealedStore {
    below: Arc<dyn VaultStore>,
    recipients: Arc<Recipients>,
    identities: Option<Identities>,
    /// To whom words about what was read are sealed: the recipients, and the identities, which may be of other ones. `None` where nothing can be read.
    readers: Option<Recipients>,
}

impl SealedStore {
    /// Around `below`: new vaults are sealed to `recipients`, and those are opened that are sealed to one of `identities`.
    #[must_use]
    pub fn new(below: Arc<dyn VaultStore>, recipients: Recipients, identities: Option<Identities>) -> Self {
        Self {
            below,
            readers: identities.as_ref().map(|identities| recipients.and(identities)),
            recipients: Arc::new(recipients),
            identities,
        }
    }

    /// The identities, if one of them opens the vault with this manifest.
    fn openers(&self, outside: &Manifest) -> Option<&Identities> {
        let recipients = &outside.sealed.as_ref()?.recipients;
        self.identities
            .as_ref()
            .filter(|identities| identities.open(recipients))
    }

    /// The identities, if what the vault holds can be read here. Who can read the words alone knows no more of it than who cannot.
    fn reading(&self, id: &VaultId) -> Result<Option<&Identities>, StoreError> {
        match self.below.manifest(id) {
            Ok(outside) if outside.sealed.is_none() => Ok(self.identities.as_ref()),
            Ok(outside) => Ok(self.openers(&outside)),
            Err(StoreError::Damaged { .. } | StoreError::Unsupported { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl VaultStore for SealedStore {
    fn ids(&self) -> Result<Vec<VaultId>, StoreError> {
        self.below.ids()
    }

    fn manifest(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        let outside = self.below.manifest(id)?;
        match self.openers(&outside) {
            None => Ok(outside),
            Some(identities) => manifest::open(outside, self.below.open(id, &MANIFEST_AGE)?, identities),
        }
    }

    fn manifest_as_is(&self, id: &VaultId) -> Result<Manifest, StoreError> {
        self.below.manifest_as_is(id)
    }

    fn stage(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        let stage = SealedStage::new(id, self.below.stage(id)?, Arc::clone(&self.recipients));
        Ok(Box::new(stage))
    }

    fn stage_as_is(&self, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        self.below.stage_as_is(id)
    }

    fn stage_in(&self, storage: Option<&str>, id: &VaultId) -> Result<Box<dyn Stage>, StoreError> {
        let below = self.below.stage_in(storage, id)?;
        Ok(Box::new(SealedStage::new(
            id,
            below,
            Arc::clone(&self.recipients),
        )))
    }

    fn open(&self, id: &VaultId, file: &FileName) -> Result<Arc<dyn VaultRead>, StoreError> {
        let open = self.below.open(id, file)?;
        let outside = match self.below.manifest(id) {
            Ok(outside) => outside,
            // It keeps no file from being opened, and says no more to whom it is sealed.
            Err(StoreError::Damaged { .. } | StoreError::Unsupported { .. }) => return Ok(open),
            Err(error) => return Err(error),
        };
        match self.openers(&outside) {
            None => Ok(open),
            Some(identities) => Ok(Arc::new(SealedRead::new(id, file, open, identities)?)),
        }
    }

    fn remove(&self, id: &VaultId) -> Result<(), StoreError> {
        self.below.remove(id)
    }

    fn size(&self, id: &VaultId) -> Result<u64, StoreError> {
        self.below.size(id)
    }

    fn record_verification(&self, id: &VaultId, result: &Verification) -> Result<(), StoreError> {
        let before = self.below.verification(id)?;
        let identities = self.reading(id)?;
        let readers = self.readers.as_ref().filter(|_| identities.is_some());
        let result = words::sealed(result, before, readers, identities)?;
        self.below.record_verification(id, &result)
    }

    fn verification(&self, id: &VaultId) -> Result<Option<Verification>, StoreError> {
        let Some(result) = self.below.verification(id)? else {
            return Ok(None);
        };
        let identities = match words::are_sealed(&result) {
            true => self.reading(id)?,
            false => None,
        };
        Ok(Some(words::opened(result, identities)))
    }

    fn note(&self, name: &FileName) -> Result<Option<Vec<u8>>, StoreError> {
        self.below.note(name)
    }

    fn keep_note(&self, name: &FileName, bytes: &[u8]) -> Result<(), StoreError> {
        self.below.keep_note(name, bytes)
    }
}

impl std::fmt::Debug for SealedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedStore")
            .field("recipients", &self.recipients)
            .field("identities", &self.identities)
            .finish_non_exhaustive()
    }
}
