//! A vault from outside: refused whole, or checked byte for byte and committed.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use time::OffsetDateTime;
use vault_store::{
    CHECKSUM, Contents, FileEntry, FsStore, MANIFEST, Manifest, Reader, StoreError, VERIFIED, VaultId,
    VaultStore, Verification,
};

use super::candidate::{Candidate, shown};
use super::{hex, sha256, strangers};
use crate::vaults::thorough::{Extent, thorough};
use crate::vaults::{Vaults, records};
use crate::{DEFAULT_STORAGE, EngineError, InvalidRequest};

/// Ids run ahead of the clock by a second for each further backup of the same second, and clocks differ.
const AHEAD: Duration = Duration::from_secs(60);

/// What is left of a [`VERIFIED`] that was not written to its end.
const CUT_OFF: &str = "verified.json.new";

/// No manifest is larger.
const MANIFEST_BYTES: u64 = 64 << 20;

/// What may be taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportOptions {
    /// Whether it is to be a granular backup, or a full one; either if not said.
    pub granular: Option<bool>,
    /// Which one it is to be; any if not said.
    pub named: Option<VaultId>,
    /// Whether a backup with the same id is removed for it.
    pub overwrite: bool,
    /// The most bytes that its files may have together.
    pub limit: u64,
}

impl ImportOptions {
    /// Any backup of up to so many bytes, in the place of no other.
    #[must_use]
    pub fn up_to(limit: u64) -> Self {
        Self {
            granular: None,
            named: None,
            overwrite: false,
            limit,
        }
    }
}

fn refused(what: String) -> EngineError {
    InvalidRequest::NoBackup(what).into()
}

/// Takes a vault in. `is_pending` says whether a job waits to write one with that id. Blocks.
pub(crate) fn import(
    vaults: &Vaults,
    candidate: &mut dyn Candidate,
    options: &ImportOptions,
    now: OffsetDateTime,
    is_pending: impl FnOnce(&VaultId) -> Result<bool, EngineError>,
) -> Result<VaultId, EngineError> {
    let manifest = manifest_of(candidate)?;
    let id = &manifest.id;
    check(&manifest, candidate, options, now)?;
    if is_pending(id)? {
        return Err(EngineError::InUse(id.to_string()));
    }
    let (mut pin, mut replacing) = (None, None);
    let exists = vaults.store.ids()?.contains(id);
    // What comes goes to the default storage: it is not to take a backup out of another one, which has policies of its own.
    let is_elsewhere = || vaults.storage_of(id).is_some_and(|name| name != DEFAULT_STORAGE);
    if exists && (!options.overwrite || is_elsewhere()) {
        return Err(EngineError::BackupExists(id.clone()));
    }
    // Nothing is there, and nothing goes, before it is known that what comes is whole.
    let whole = Whole::of(candidate, &manifest, vaults, now)?;
    if exists {
        pin = vaults.pins()?.said(id);
        replacing = vaults.replace(id)?;
    }
    let mut stage = match manifest.sealed {
        None => vaults.store.stage(id)?,
        Some(_) => vaults.store.stage_as_is(id)?,
    };
    for file in &manifest.files {
        let mut kept = stage.create(&file.name)?;
        whole.copy(id, file, &mut *kept)?;
        kept.finish()?;
    }
    if pin.is_none() {
        vaults.forget_pin(id)?;
    }
    stage.commit(&manifest)?;
    // It is there: what has to be done with it is done, whatever else fails.
    let noted = replacing.map_or(Ok(()), |replacing| replacing.committed());
    if exists {
        // Its second copy may have been looked into meanwhile.
        vaults.catalogs.forget(id);
        vaults.look_at_first(id);
    }
    // It may have been forgotten while there was none.
    let pinned = pin.map_or(Ok(()), |pinned| vaults.pin(id, pinned));
    vaults.record_verification(id, &whole.found);
    if let Some(second) = &vaults.second {
        second.wake_for(id);
    }
    let failed = [noted.err().map(EngineError::from), pinned.err()];
    let mut failed = failed.into_iter().flatten();
    match failed.next() {
        None => Ok(manifest.id),
        Some(error) => {
            for other in failed {
                log::error!("backup {id} was taken in, and this failed after it: {other}");
            }
            Err(error)
        }
    }
}

/// A vault that was copied and checked where nobody sees it.
struct Whole {
    store: Arc<FsStore>,
    /// Damage of what no restore needs.
    found: Verification,
    /// Removed with it.
    _place: TempDir,
}

impl Whole {
    /// Copies what was offered, byte for byte, and reads all of it as a verification does: through the seal, if it can be opened here.
    fn of(
        candidate: &mut dyn Candidate,
        manifest: &Manifest,
        vaults: &Vaults,
        now: OffsetDateTime,
    ) -> Result<Self, EngineError> {
        let scratch = vaults.scratch();
        let place = tempfile::Builder::new().prefix("import-").tempdir_in(&scratch);
        let place = place.map_err(|error| StoreError::io(scratch.display(), error))?;
        let store = Arc::new(FsStore::open(place.path())?);
        let mut stage = store.stage(&manifest.id)?;
        for file in &manifest.files {
            let mut kept = stage.create(&file.name)?;
            copy(candidate, file, &mut *kept)?;
            kept.finish()?;
        }
        stage.commit(manifest)?;
        let mut seen: Arc<dyn VaultStore> = Arc::clone(&store) as _;
        if let Some(around) = &vaults.around {
            seen = around(seen);
        }
        let checked = thorough(&*seen, &manifest.id, now, Extent::Whole, &mut |_| true)?;
        let found = checked.map_or_else(|| Verification::new(now, Vec::new()), |checked| checked.found);
        if let Some(damage) = records::spoiling(&found) {
            return Err(refused(damage.to_string()));
        }
        Ok(Self {
            store,
            found,
            _place: place,
        })
    }

    fn copy(&self, id: &VaultId, file: &FileEntry, out: &mut dyn Write) -> Result<(), StoreError> {
        let mut from = Reader::new(self.store.open(id, &file.name)?);
        io::copy(&mut from, out)
            .map(drop)
            .map_err(|error| StoreError::io(&file.name, error))
    }
}

/// Takes a vault in, unless the very same one is there. Blocks.
pub(crate) fn adopt(
    vaults: &Vaults,
    candidate: &mut dyn Candidate,
    limit: u64,
    now: OffsetDateTime,
    is_pending: impl FnOnce(&VaultId) -> Result<bool, EngineError>,
) -> Result<VaultId, EngineError> {
    let manifest = manifest_of(candidate)?;
    let there = match manifest.sealed {
        None => vaults.store.manifest(&manifest.id),
        Some(_) => vaults.store.manifest_as_is(&manifest.id),
    };
    match there {
        Ok(there) if there == manifest => return Ok(manifest.id),
        Ok(_) | Err(StoreError::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let options = ImportOptions {
        granular: None,
        named: None,
        overwrite: false,
        limit,
    };
    import(vaults, candidate, &options, now, is_pending)
}

/// The manifest, which is what was written.
fn manifest_of(candidate: &mut dyn Candidate) -> Result<Manifest, EngineError> {
    #[derive(Deserialize)]
    struct Named {
        id: VaultId,
    }
    let theirs = strangers::told(candidate).map_err(|error| refused(error.to_string()))?;
    if let Some(why) = theirs {
        return Err(refused(why));
    }
    let mut read = |name: &str, most: u64| {
        let missing = |error: io::Error| refused(format!("{name} is missing or cannot be read: {error}"));
        let mut bytes = Vec::new();
        let file = candidate.open(name).map_err(missing)?;
        file.take(most + 1).read_to_end(&mut bytes).map_err(missing)?;
        match bytes.len() as u64 > most {
            true => Err(refused(format!("{name} has more than {most} bytes"))),
            false => Ok(bytes),
        }
    };
    let bytes = read(MANIFEST, MANIFEST_BYTES)?;
    let sum = read(CHECKSUM, 200)?;
    if !sum.starts_with(sha256(&bytes).as_bytes()) {
        return Err(refused(format!(
            "the SHA-256 of {MANIFEST} is not the one in {CHECKSUM}"
        )));
    }
    let Named { id } = serde_json::from_slice(&bytes)
        .map_err(|error| refused(format!("{MANIFEST} is not that of a backup: {error}")))?;
    Manifest::parse(&id, &bytes).map_err(|error| refused(error.to_string()))
}

/// Everything that can be told before the files are read.
fn check(
    manifest: &Manifest,
    candidate: &mut dyn Candidate,
    options: &ImportOptions,
    now: OffsetDateTime,
) -> Result<(), EngineError> {
    let kind = |granular| if granular { "granular" } else { "full" };
    if let Some(wanted) = options.granular
        && wanted != manifest.is_granular()
    {
        let (is, wanted) = (kind(manifest.is_granular()), kind(wanted));
        return Err(refused(format!(
            "it is a {is} backup, and a {wanted} one was announced"
        )));
    }
    if let Some(named) = options.named.as_ref().filter(|named| **named != manifest.id) {
        return Err(refused(format!(
            "it is backup {}, and {named} was announced",
            manifest.id
        )));
    }
    if manifest.id.time() >= now + AHEAD {
        // All later ones would be dated after it.
        return Err(refused(format!("{} is dated in the future", manifest.id)));
    }
    let captured = manifest.contents.as_ref().map(Contents::captured);
    if manifest.roots.is_none()
        && captured.is_some_and(|captured| captured.znodes == 0)
        && manifest.is_valid()
    {
        return Err(refused(records::NO_ZNODE.to_owned()));
    }
    let mut there = BTreeMap::new();
    for (name, bytes) in candidate.files().map_err(|error| refused(error.to_string()))? {
        if [MANIFEST, CHECKSUM, VERIFIED, CUT_OFF].contains(&&*name) {
            continue;
        }
        if there.insert(name.clone(), bytes).is_some() {
            return Err(refused(format!("{} is there twice", shown(&name))));
        }
    }
    let mut total = 0_u64;
    for file in &manifest.files {
        total = total.saturating_add(file.bytes);
        match there.remove(file.name.as_str()) {
            Some(bytes) if bytes == file.bytes => {}
            Some(bytes) => {
                let (name, due) = (&file.name, file.bytes);
                return Err(refused(format!(
                    "{name} has {bytes} bytes, and {due} are recorded"
                )));
            }
            None => return Err(refused(format!("{} is missing, or recorded twice", file.name))),
        }
    }
    if let Some((name, _)) = there.first_key_value() {
        return Err(refused(format!("{} is not recorded in {MANIFEST}", shown(name))));
    }
    if total > options.limit {
        return Err(refused(format!(
            "it has {total} bytes, and {} are allowed",
            options.limit
        )));
    }
    Ok(())
}

/// Copies a file, whose frames must be those recorded.
fn copy(candidate: &mut dyn Candidate, file: &FileEntry, out: &mut dyn Write) -> Result<(), EngineError> {
    let name = &file.name;
    let unreadable = |error: io::Error| refused(format!("{name} cannot be read: {error}"));
    let mut from = candidate.open(name.as_str()).map_err(unreadable)?;
    let mut piece = vec![0; 1 << 16];
    let mut end = 0_u64;
    for (index, frame) in file.frames.iter().enumerate() {
        if frame.offset != end {
            return Err(refused(format!(
                "{name}, frame {index}: it does not follow the one before"
            )));
        }
        end = end.saturating_add(frame.length);
        let (mut left, mut hash) = (frame.length, Sha256::new());
        while left > 0 {
            let most = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
            let count = from.read(&mut piece[..most]).map_err(unreadable)?;
            if count == 0 {
                return Err(refused(format!("{name}, frame {index}: it is cut")));
            }
            hash.update(&piece[..count]);
            out.write_all(&piece[..count])
                .map_err(|error| StoreError::io(name, error))?;
            left -= count as u64;
        }
        if hex(&hash.finalize()) != frame.sha256 {
            return Err(refused(format!(
                "{name}, frame {index}: its SHA-256 is not the one recorded"
            )));
        }
    }
    if end != file.bytes || from.read(&mut piece[..1]).map_err(unreadable)? > 0 {
        return Err(refused(format!("{name}: its frames do not cover it")));
    }
    Ok(())
}
