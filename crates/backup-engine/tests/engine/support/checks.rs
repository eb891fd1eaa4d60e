//! Vaults that are checked, and copies of them with something else in them.

use std::io::Read as _;

use backup_engine::{Engine, JobInfo, RestoreTestRequest, VerifyRequest};
use vault_store::{FileEntry, FileName, Manifest, Reader, VaultId, VaultStore};
use zk_snapshot::archive::{ArchiveFile, ArchiveWriter, Frame, Record, RecordSource};

use super::done;

pub(crate) const ARCHIVE: FileName = FileName::from_static("archive.zst");

/// The job of a verification.
pub(crate) async fn verified(engine: &Engine, vault: Option<&str>, share: &str) -> JobInfo {
    let request = VerifyRequest {
        vault: vault.map(str::to_owned),
        share: share.parse().unwrap(),
    };
    let task = engine.verify(request).await.unwrap();
    done(engine, &task).await
}

/// The job of a restore for a test.
pub(crate) async fn tested(engine: &Engine, vault: &str) -> JobInfo {
    let task = engine
        .restore_test(RestoreTestRequest::of(vault, "ann"))
        .await
        .unwrap();
    done(engine, &task).await
}

/// A copy of a vault, with the next id, another manifest and another archive of as many records.
pub(crate) fn copied(
    store: &dyn VaultStore,
    id: &str,
    other: impl FnOnce(Vec<u8>) -> Vec<u8>,
    change: impl FnOnce(&mut Manifest),
) -> VaultId {
    let id: VaultId = id.parse().unwrap();
    let mut manifest = store.manifest(&id).unwrap();
    let records = manifest.files[0].frames[0].records;
    let mut bytes = Vec::new();
    let file = store.open(&id, &ARCHIVE).unwrap();
    Reader::new(file).read_to_end(&mut bytes).unwrap();
    manifest.id = id.next().unwrap();
    let mut stage = store.stage(&manifest.id).unwrap();
    let mut entry = stage.put(&ARCHIVE, &other(bytes)).unwrap();
    entry.frames[0].records = records;
    manifest.files = vec![entry];
    change(&mut manifest);
    stage.commit(&manifest).unwrap();
    manifest.id
}

/// A copy of a vault, with the next id and another manifest: of its files the one that is called `name` holds other bytes, and every checksum is right.
pub(crate) fn remade(
    store: &dyn VaultStore,
    id: &str,
    name: &str,
    other: impl Fn(Vec<u8>) -> Vec<u8>,
    change: impl FnOnce(&mut Manifest),
) -> VaultId {
    let id: VaultId = id.parse().unwrap();
    let mut manifest = store.manifest(&id).unwrap();
    manifest.id = id.next().unwrap();
    let mut stage = store.stage(&manifest.id).unwrap();
    for entry in &mut manifest.files {
        let mut bytes = Vec::new();
        let file = store.open(&id, &entry.name).unwrap();
        Reader::new(file).read_to_end(&mut bytes).unwrap();
        if entry.name == *name {
            bytes = other(bytes);
        }
        let whole = stage.put(&entry.name, &bytes).unwrap();
        if entry.bytes == whole.bytes {
            for frame in &mut entry.frames {
                let (begin, length) = (frame.offset as usize, frame.length as usize);
                let part = FileEntry::whole(&entry.name, &bytes[begin..begin + length]);
                frame.sha256.clone_from(&part.frames[0].sha256);
            }
        } else {
            let records = entry.frames[0].records;
            *entry = whole;
            entry.frames[0].records = records;
        }
    }
    change(&mut manifest);
    stage.commit(&manifest).unwrap();
    manifest.id
}

/// What the first frame of a vault's archive holds.
pub(crate) fn records_of(store: &dyn VaultStore, id: &str) -> Vec<Record> {
    let id: VaultId = id.parse().unwrap();
    let frame = store.manifest(&id).unwrap().files[0].frames[0].clone();
    let frame = Frame {
        offset: frame.offset,
        length: frame.length,
        records: frame.records,
        sha256: frame.sha256,
    };
    let file = Reader::new(store.open(&id, &ARCHIVE).unwrap());
    ArchiveFile::new(file, vec![frame]).frame(0).unwrap()
}

/// An archive of these records.
pub(crate) fn packed<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArchiveWriter::new(&mut bytes);
    records
        .into_iter()
        .for_each(|record| writer.push(record).unwrap());
    writer.finish().unwrap();
    bytes
}

/// The archive of a vault with its records the other way round.
pub(crate) fn reversed(store: &dyn VaultStore, id: &str) -> Vec<u8> {
    packed(records_of(store, id).iter().rev())
}
