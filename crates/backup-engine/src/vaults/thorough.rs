//! Everything that can be told of one vault by reading all of it.

mod damaged;
mod index;
mod predecessors;

use time::OffsetDateTime;
use vault_store::{
    Consistency, Contents, Damage, Manifest, Mode, Outcome, Reader, StoreError, Transactional,
};
use vault_store::{VaultId, VaultStore, Verification, verify_while};
use zk_snapshot::archive::{ArchiveError, Record, Role, TreeOrder};
use zk_snapshot::capture::AclIndex;
use zk_snapshot::files::{Fault, SnapshotFile};

pub(crate) use self::damaged::{damage_of, miscounted};
use self::damaged::{damage_of_archive, last_file};
use self::index::{IndexCheck, IndexFound};
use super::records::{self, ACLS, AMENDMENTS, ARCHIVE, INDEX, Opened, SNAPSHOT, snapshot_of};
use crate::EngineError;

/// Faults of records that are named.
const NAMED: usize = 100;

/// What a check compares with what is in the archive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All that was made of it.
    Whole,
    /// The same without the index, which no restore reads.
    Restored,
}

/// What is told between two frames.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// So many bytes of the vault's files are compared with their checksums, or are read where these are in the archive.
    Read(u64),
    /// So many znodes were decoded.
    Decoded(u64),
}

/// What a check has come to.
pub(crate) struct Checked {
    pub(crate) found: Verification,
    /// What is no damage, and a restore of it tells.
    pub(crate) lacks: Vec<String>,
}

/// Compares every byte of a vault with its checksums; where these are right, decodes every frame, and compares what is in it with what
/// the vault says it holds: counts, the order of parents, ACLs, and of a snapshot all that a server would find at its start. `go_on` says between two
/// frames whether to go on; `None` if not. Of a sealed vault that cannot be opened the checksums are all that is compared, and what who could open it
/// has found in it before, which may lie deeper, is told again. So it is with what was found of an index that is not compared. Blocks. Holds some thirty bytes for each znode.
///
/// # Errors
/// Those of a storage that cannot be read just now. Damage is no error but the result.
pub(crate) fn thorough(
    store: &dyn VaultStore,
    id: &VaultId,
    now: OffsetDateTime,
    extent: Extent,
    go_on: &mut dyn FnMut(Step) -> bool,
) -> Result<Option<Checked>, EngineError> {
    let manifest = store.manifest(id);
    let read = match &manifest {
        // It has no checksums.
        Ok(manifest) if manifest.predecessor.is_some() => Some(Verification::new(now, Vec::new())),
        _ => verify_while(store, id, now, &mut |bytes| go_on(Step::Read(bytes)))?,
    };
    let Some(mut found) = read else {
        return Ok(None);
    };
    let no_deeper = |found| {
        let lacks = Vec::new();
        Ok(Some(Checked { found, lacks }))
    };
    // One that cannot be read says no more to whom it is sealed.
    let is_closed = manifest
        .as_ref()
        .map_or(true, |manifest| manifest.sealed.is_some());
    if is_closed && let Some(before) = store.verification(id)? {
        let before = before.damage.into_iter();
        found.damage.extend(before.filter(Damage::is_sealed));
    }
    if records::spoiling(&found).is_some() {
        return no_deeper(found);
    }
    let manifest = manifest?;
    if matches!(manifest.outcome, Outcome::Failed { .. }) {
        return no_deeper(found);
    }
    if manifest.sealed.is_some() {
        return no_deeper(found);
    }
    let mut check = Check {
        store,
        manifest: &manifest,
        extent,
        damage: Vec::new(),
        lacks: Vec::new(),
        index_compared: false,
    };
    let whole = check.run(go_on, found.is_sound())?;
    found.damage.append(&mut check.damage);
    if records::has_index(&manifest)
        && !check.index_compared
        && !records::spoils_index(&found)
        && let Some(before) = store.verification(id)?
    {
        let before = before.damage.into_iter();
        found.damage.extend(before.filter(|damage| INDEX == *damage.file));
    }
    let lacks = check.lacks;
    Ok(whole.then_some(Checked { found, lacks }))
}

struct Check<'a> {
    store: &'a dyn VaultStore,
    manifest: &'a Manifest,
    extent: Extent,
    damage: Vec<Damage>,
    lacks: Vec<String>,
    index_compared: bool,
}

impl Check<'_> {
    /// Whether it went to the end. What no restore needs is not looked into where the checksum of any of it is wrong.
    fn run(
        &mut self,
        go_on: &mut dyn FnMut(Step) -> bool,
        spare_is_sound: bool,
    ) -> Result<bool, EngineError> {
        if let Some(Contents::Transactional(of)) = &self.manifest.contents {
            if !self.load(of, go_on)? {
                return Ok(false);
            }
            if of.taken_from.old_names > 0 {
                return Ok(true); // clients cannot be sent these names, and records have none of them
            }
        }
        let opened = match records::open(self.store, self.manifest) {
            Ok(opened) => opened,
            Err(error) => {
                let Damage { file, frame, what } = damage_of(self.manifest, error)?;
                self.note(file, frame, what);
                return Ok(true);
            }
        };
        self.lacks.clone_from(&opened.lacks);
        let acls = if spare_is_sound { self.acls()? } else { None };
        let mut index = match spare_is_sound && self.extent == Extent::Whole {
            true => IndexCheck::of(self.store, self.manifest),
            false => None,
        };
        let mut order = TreeOrder::with_room(opened.records.records());
        let unread = predecessors::bytes(self.store, self.manifest)?;
        for frame in 0..opened.records.frames() {
            let part = predecessors::part(unread, frame, opened.records.frames());
            if part > 0 && !go_on(Step::Read(part)) {
                return Ok(false);
            }
            match opened.records.frame(frame) {
                Ok(some) => {
                    if !go_on(Step::Decoded(some.len() as u64)) {
                        return Ok(false);
                    }
                    for record in &some {
                        self.look(record, frame, &mut order, acls.as_ref());
                    }
                    if let Some(index) = &mut index {
                        index.add(&some, frame);
                    }
                }
                Err(error) => {
                    let (file, place) = self.file_of(frame);
                    self.note_archive(file, place, error)?;
                }
            }
        }
        if self.damage.is_empty() {
            self.count(&order, &opened);
            if let Some(index) = index {
                return self.compare(index, go_on);
            }
        }
        Ok(true)
    }

    /// Whether it went to the end.
    fn compare(
        &mut self,
        index: IndexCheck<'_>,
        go_on: &mut dyn FnMut(Step) -> bool,
    ) -> Result<bool, EngineError> {
        match index.end(&mut || go_on(Step::Decoded(0)))? {
            IndexFound::Stopped => return Ok(false),
            IndexFound::Unknown => {}
            IndexFound::Right => self.index_compared = true,
            IndexFound::Wrong(what) => {
                self.index_compared = true;
                self.note(INDEX.to_string(), None, what);
            }
        }
        Ok(true)
    }

    fn note(&mut self, file: impl Into<String>, frame: Option<usize>, what: impl Into<String>) {
        if self.damage.len() < NAMED {
            self.damage.push(Damage {
                file: file.into(),
                frame,
                what: what.into(),
            });
        }
    }

    /// An archive that cannot be read just now is an error, and not damaged.
    fn note_archive(
        &mut self,
        file: String,
        place: Option<usize>,
        error: ArchiveError,
    ) -> Result<(), EngineError> {
        let Damage { file, frame, what } = damage_of_archive(self.manifest, file, error)?;
        self.note(file, place.or(frame), what);
        Ok(())
    }

    /// Where the records with this index are from.
    fn file_of(&self, index: usize) -> (String, Option<usize>) {
        if let Some(file) = predecessors::file(self.manifest) {
            return (file, None); // it has no frames
        }
        if let Some(snapshot) = snapshot_of(self.manifest) {
            return (snapshot.name.to_string(), Some(index));
        }
        let archive = self.manifest.files.iter().find(|file| file.name == ARCHIVE);
        match archive {
            Some(archive) if index < archive.frames.len() => (ARCHIVE.to_string(), Some(index)),
            _ => (AMENDMENTS.to_string(), None),
        }
    }

    fn look(&mut self, record: &Record, frame: usize, order: &mut TreeOrder, index: Option<&AclIndex>) {
        if let Err(what) = order.see(record) {
            let (file, place) = self.file_of(frame);
            self.note(file, place, what.to_string());
        }
        let known = index.and_then(|index| index.get(&record.path, &record.stat));
        if record.role == Role::Captured && known.is_some_and(|acl| *acl != record.acl) {
            let what = format!("it has another ACL of {}", record.path);
            self.note(ACLS.to_string(), Some(0), what);
        }
    }

    /// What is known of ACLs, if it is of the ensemble that the vault is of.
    fn acls(&mut self) -> Result<Option<AclIndex>, EngineError> {
        let source = self.manifest.source();
        let (Some(source), true) = (source, self.manifest.files.iter().any(|file| file.name == ACLS)) else {
            return Ok(None);
        };
        let file = match self.store.open(&self.manifest.id, &ACLS) {
            Err(StoreError::Damaged { what, .. }) => {
                self.note(ACLS.to_string(), None, what);
                return Ok(None);
            }
            opened => opened?,
        };
        match AclIndex::read(Reader::new(file), source) {
            Ok(Some(index)) => Ok(Some(index)),
            Ok(None) => {
                let what = format!("it is not of {source}, or of a version that is not known");
                self.note(ACLS.to_string(), None, what);
                Ok(None)
            }
            Err(error) => self.note_archive(ACLS.to_string(), None, error).map(|()| None),
        }
    }

    /// Whether there is what the manifest says. What lacks something may be counted in another way.
    fn count(&mut self, order: &TreeOrder, opened: &Opened) {
        let (Some(contents), Outcome::Complete) = (&self.manifest.contents, &self.manifest.outcome) else {
            return;
        };
        let (captured, file) = (contents.captured(), last_file(self.manifest));
        let orphan = order
            .orphan()
            .filter(|_| captured.consistency == Consistency::Consistent);
        let wrong = match orphan {
            Some(path) => Some(format!("{path} is there, and its parent is not")),
            None if self.manifest.roots.is_none() && !order.has_root() => {
                Some("it has no znode /, and is said to be of everything".to_owned())
            }
            None if order.znodes() != captured.znodes => Some(format!(
                "{} znodes of {} are there",
                order.znodes(),
                captured.znodes
            )),
            None if order.bytes() != captured.bytes && opened.mode == Mode::Hierarchical => Some(format!(
                "the znodes have {} bytes of data, and {} were written",
                order.bytes(),
                captured.bytes
            )),
            None => None,
        };
        if let Some(what) = wrong {
            self.note(file, None, what);
        }
    }

    /// Loads the snapshot as a server does it, unless it is not to go on: whether it did.
    fn load(&mut self, of: &Transactional, go_on: &mut dyn FnMut(Step) -> bool) -> Result<bool, EngineError> {
        let Some(name) = snapshot_of(self.manifest).map(|snapshot| snapshot.name.clone()) else {
            self.note(SNAPSHOT, None, "there is no snapshot");
            return Ok(true);
        };
        if !go_on(Step::Decoded(0)) {
            return Ok(false);
        }
        let file = Reader::new(self.store.open(&self.manifest.id, &name)?);
        let loaded = match SnapshotFile::over(name.as_str(), file).load(|| go_on(Step::Decoded(0))) {
            Ok(Some(loaded)) => loaded,
            Ok(None) => return Ok(false),
            Err(error) if matches!(error.fault, Fault::Io(_)) => {
                return Err(EngineError::Storage(error.into()));
            }
            Err(error) => {
                self.note(name.to_string(), None, error.to_string());
                return Ok(true);
            }
        };
        if loaded.digest_agrees == Some(false) {
            let what = "the digest of its znodes is not the one that it tells";
            self.note(name.to_string(), None, what);
        }
        if loaded.znodes != of.captured.znodes {
            let (there, said) = (loaded.znodes, of.captured.znodes);
            self.note(
                name.to_string(),
                None,
                format!("{there} znodes of {said} are there"),
            );
        }
        let kinds = loaded.kinds;
        let found = (kinds.persistent, kinds.container, kinds.ttl);
        if let Some(said) = of.kinds
            && (said.persistent, said.container, said.ttl) != found
        {
            let what = "its znodes are not of the kinds that were written";
            self.note(name.to_string(), None, what);
        }
        Ok(true)
    }
}
