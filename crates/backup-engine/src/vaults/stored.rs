//! What can be told of one vault without reading all of it.

use std::time::Duration;

use time::OffsetDateTime;
use vault_store::{Manifest, StoreError, VaultId, VaultStore, Verification};

use super::records;

/// So far a date may be ahead of a clock that is corrected. What is dated later was dated by a clock that was wrong, and says nothing of how long ago it was.
pub(crate) const AHEAD: Duration = Duration::from_secs(60);

/// A vault as it was when it was looked at.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: VaultId,
    /// Bytes that it takes.
    pub(crate) bytes: u64,
    pub(crate) manifest: Result<Manifest, Unreadable>,
    /// What is known to keep it from being restored.
    pub(crate) damage: Option<String>,
    /// What the last check found, and the last test.
    pub(crate) verification: Option<Verification>,
}

/// Why a manifest tells nothing.
#[derive(Debug, Clone)]
pub(crate) struct Unreadable {
    /// The version of its format, where that is known.
    pub(crate) format: Option<u64>,
    pub(crate) why: String,
    /// Whether the storage could not be read just now, so that it may be told later.
    pub(crate) is_passing: bool,
}

impl Stored {
    /// Looks at a vault.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; those of a storage that cannot be read just now.
    pub(crate) fn read(store: &dyn VaultStore, id: &VaultId) -> Result<Self, StoreError> {
        Self::read_of(store, id, store.size(id)?)
    }

    /// The same where it is known how many bytes it takes.
    fn read_of(store: &dyn VaultStore, id: &VaultId, bytes: u64) -> Result<Self, StoreError> {
        let verification = store.verification(id)?;
        let (manifest, damage) = match store.manifest(id) {
            Ok(manifest) => {
                let damage = damage(store, &manifest, verification.as_ref())?;
                (Ok(manifest), damage)
            }
            Err(error @ StoreError::Unsupported { version, .. }) => {
                (Err(Unreadable::new(Some(version), &error)), None)
            }
            Err(error @ StoreError::Damaged { .. }) => {
                let damage = Some(error.to_string());
                (Err(Unreadable::new(None, &error)), damage)
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            id: id.clone(),
            bytes,
            manifest,
            damage,
            verification,
        })
    }

    /// What the list of a remote storage tells of a vault: its manifest, without what was recorded of it, and whether its files are there.
    /// `None` if it is gone meanwhile.
    pub(super) fn listed(store: &dyn VaultStore, id: &VaultId) -> Option<Self> {
        let read = || {
            let (bytes, manifest) = (store.size(id)?, store.manifest(id)?);
            Ok(Self {
                id: id.clone(),
                bytes,
                manifest: Ok(manifest),
                damage: None,
                verification: None,
            })
        };
        match read() {
            Ok(stored) => Some(stored.without_files()),
            Err(StoreError::NotFound(_)) => None,
            Err(StoreError::Damaged { .. } | StoreError::Unsupported { .. }) => look(store, id),
            Err(error) => Some(Self::unknown(id, &error)),
        }
    }

    /// A vault that cannot be looked at just now.
    pub(super) fn unknown(id: &VaultId, error: &StoreError) -> Self {
        Self {
            id: id.clone(),
            bytes: 0,
            manifest: Err(Unreadable {
                is_passing: true,
                ..Unreadable::new(None, error)
            }),
            damage: Some(error.to_string()),
            verification: None,
        }
    }

    /// With what was recorded of it, and the damage that this tells.
    pub(super) fn with_record(self, verification: Option<Verification>) -> Self {
        Self {
            damage: verification.as_ref().and_then(spoiled),
            verification,
            ..self
        }
    }

    /// Without the list of files, which is as long as the backup is large.
    pub(super) fn without_files(mut self) -> Self {
        if let Ok(manifest) = &mut self.manifest {
            manifest.files = Vec::new();
        }
        self
    }

    /// The one date of a backup ([`Manifest::date`]).
    pub(crate) fn date(&self) -> OffsetDateTime {
        self.manifest
            .as_ref()
            .map_or_else(|_| self.id.time(), Manifest::date)
    }

    /// When it was last read and compared with its checksums.
    pub(crate) fn verified_at(&self) -> Option<OffsetDateTime> {
        self.verification.as_ref().map(|result| result.at)
    }

    /// The same of what is not dated [ahead](AHEAD) of `now`.
    pub(crate) fn verified_by(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        self.verified_at().filter(|at| *at <= now + AHEAD)
    }

    /// When it was last restored for a test, whatever came of it, unless that is dated [ahead](AHEAD) of `now`.
    pub(crate) fn tried_by(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let tested = self.verification.as_ref()?.tested.as_ref()?;
        Some(tested.at).filter(|at| *at <= now + AHEAD)
    }

    /// The same where nothing differed.
    pub(crate) fn proved_by(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let tested = self.verification.as_ref()?.tested.as_ref()?;
        self.tried_by(now).filter(|_| tested.is_proof())
    }

    /// Whether all of it could be told, and is not known to be damaged.
    pub(super) fn is_sound(&self) -> bool {
        self.damage.is_none() && self.manifest.is_ok()
    }

    /// Whether it is a good backup that is not known to be damaged.
    pub(crate) fn is_valid(&self) -> bool {
        self.damage.is_none() && self.manifest.as_ref().is_ok_and(Manifest::is_valid)
    }

    /// Whether it is one of those that were asked for and are good: the way back from a restore is not.
    pub(crate) fn is_good(&self) -> bool {
        self.is_valid() && !self.is_before_a_restore()
    }

    /// Whether it is of what a restore was to change: such a one is only meant by its id, or a restore of the newest that is done again would bring
    /// back what it was to undo.
    pub(crate) fn is_before_a_restore(&self) -> bool {
        let manifest = self.manifest.as_ref();
        manifest.is_ok_and(|manifest| manifest.before_restore_of.is_some())
    }
}

impl Unreadable {
    fn new(format: Option<u64>, error: &StoreError) -> Self {
        Self {
            format,
            why: error.to_string(),
            is_passing: false,
        }
    }
}

/// What there is of a vault, without its list of files; `None` if it is gone meanwhile.
pub(super) fn look(store: &dyn VaultStore, id: &VaultId) -> Option<Stored> {
    let (bytes, read) = match store.size(id) {
        Ok(bytes) => (bytes, Stored::read_of(store, id, bytes)),
        Err(error) => (0, Err(error)),
    };
    match read {
        Err(StoreError::NotFound(_)) => None,
        Err(error) => {
            let unknown = Stored::unknown(id, &error);
            Some(Stored { bytes, ..unknown })
        }
        Ok(stored) => Some(stored.without_files()),
    }
}

fn damage(
    store: &dyn VaultStore,
    manifest: &Manifest,
    verified: Option<&Verification>,
) -> Result<Option<String>, StoreError> {
    match verified.and_then(spoiled) {
        None => wrong_length(store, manifest),
        spoiled => Ok(spoiled),
    }
}

/// What keeps a vault from being restored, of what a check found.
fn spoiled(verified: &Verification) -> Option<String> {
    let damage = records::spoiling(verified)?;
    let place = damage
        .frame
        .map_or(String::new(), |frame| format!(" in frame {frame}"));
    Some(format!("{} is damaged{place}: {}", damage.file, damage.what))
}

/// What can be seen without reading everything: a file that is missing, cut, or longer than it was.
fn wrong_length(store: &dyn VaultStore, manifest: &Manifest) -> Result<Option<String>, StoreError> {
    for file in &manifest.files {
        if !records::is_needed(file.name.as_str()) {
            continue;
        }
        match store.open(&manifest.id, &file.name).map(|open| open.size()) {
            Ok(length) if length == file.bytes => {}
            Ok(length) => {
                let (name, due) = (&file.name, file.bytes);
                return Ok(Some(format!(
                    "{name} is damaged: {length} bytes of {due} are there"
                )));
            }
            Err(error @ StoreError::Damaged { .. }) => return Ok(Some(error.to_string())),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
