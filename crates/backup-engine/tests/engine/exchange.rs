//! Backups that go away as archives and come back: whole, or not at all.

mod refused;

use std::io::{Cursor, Read, Write};
use std::sync::Arc;

use backup_engine::{
    BackupRequest, Engine, EngineError, ImportOptions, InvalidRequest, JobState, Labels, RestoreRequest,
};
use vault_store::{Identities, MemoryStore, Recipients, SealedStore, VaultCall, VaultFault, VaultStore};
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, ZipArchive};
use zk_snapshot::tree::Acl;

use super::support::{DAY, Running, World, backed_up, copied, described, full, of, restored, reversed};

type Files = Vec<(String, Vec<u8>)>;

async fn exported(engine: &Engine, id: &str) -> Vec<u8> {
    let export = engine.export(id).await.unwrap();
    let mut bytes = Vec::new();
    tokio::task::spawn_blocking(move || {
        export.write_zip(&mut bytes).unwrap();
        bytes
    })
    .await
    .unwrap()
}

fn unpacked(archive: &[u8]) -> Files {
    let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut files = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let name = entry.name().unwrap().into_owned();
        assert_eq!(entry.compression(), CompressionMethod::Stored, "{name}");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.push((name, bytes));
    }
    files
}

fn packed(files: &Files, method: CompressionMethod) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options = SimpleFileOptions::default().compression_method(method);
        archive.start_file(name.as_str(), options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn any() -> ImportOptions {
    ImportOptions::up_to(1 << 30)
}

async fn take(engine: &Engine, archive: Vec<u8>, options: ImportOptions) -> Result<String, EngineError> {
    let taken = engine.import(Cursor::new(archive), options).await;
    taken.map(|id| id.to_string())
}

/// Why nothing was taken in.
async fn refusal(engine: &Engine, archive: Vec<u8>, options: ImportOptions) -> String {
    match take(engine, archive, options).await {
        Err(EngineError::Invalid(InvalidRequest::NoBackup(why))) => why,
        other => panic!("{other:?}"),
    }
}

/// The manifest with one text in place of another, and its checksum.
fn with_manifest(files: &Files, from: &str, to: &str) -> Files {
    use sha2::{Digest, Sha256};
    let mut files = files.clone();
    let text = String::from_utf8(files[0].1.clone()).unwrap();
    assert!(files[0].0 == "manifest.json" && text.contains(from), "{text}");
    files[0].1 = text.replacen(from, to, 1).into_bytes();
    let sum = Sha256::digest(&files[0].1)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    files[1].1 = format!("{sum}  manifest.json\n").into_bytes();
    files
}

#[tokio::test]
async fn a_backup_comes_back_elsewhere_as_it_was() {
    let world = World::new();
    let engine = world.start().engine;
    let there = world.znodes();
    let id = full(&engine).await;
    let archive = exported(&engine, &id).await;
    let files = unpacked(&archive);
    let names: Vec<_> = files.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names[..2], ["manifest.json", "manifest.json.sha256"]);
    assert!(
        names.contains(&"archive.zst") && names.contains(&"job.log"),
        "{names:?}"
    );
    assert_eq!(exported(&engine, "latest").await, archive);
    assert!(matches!(
        engine.export("20200101T000000").await,
        Err(EngineError::BackupNotFound(_))
    ));

    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let elsewhere = World::new();
        elsewhere.pass(DAY);
        elsewhere.tree.put("/more", b"", Acl::open()).unwrap();
        let engine = elsewhere.start().engine;
        let taken = take(&engine, packed(&files, method), any()).await.unwrap();
        assert_eq!((&taken, engine.list().await.unwrap()), (&id, vec![id.clone()]));
        let info = described(&engine, &id).await;
        assert!(
            info.is_valid() && info.verified_at == Some(elsewhere.now()),
            "{info:?}"
        );
        let job = restored(&engine, &id).await;
        assert_eq!(job.status, JobState::Successful, "{job:?}");
        assert_eq!(elsewhere.znodes(), there);
        assert!(full(&engine).await > id);
    }
}

#[tokio::test]
async fn what_is_there_is_overwritten_only_where_that_is_said_and_nobody_needs_it() {
    let world = World::new();
    let Running { engine, vaults, .. } = world.start();
    let id = full(&engine).await;
    let (granular, _) = backed_up(&engine, of(&["/a"])).await;
    world.pass(DAY);
    let archive = exported(&engine, &id).await;
    let refused = take(&engine, archive.clone(), any()).await;
    assert!(
        matches!(refused, Err(EngineError::BackupExists(_))),
        "{refused:?}"
    );

    let overwriting = ImportOptions {
        overwrite: true,
        ..any()
    };
    let task = engine.restore(RestoreRequest::of(&id)).await.unwrap();
    let refused = take(&engine, archive.clone(), overwriting.clone()).await;
    assert!(matches!(refused, Err(EngineError::InUse(_))), "{refused:?}");
    super::support::done(&engine, &task).await;
    engine.pin(&id, true).await.unwrap();
    assert_eq!(
        take(&engine, archive.clone(), overwriting.clone()).await.unwrap(),
        id
    );
    assert_eq!(
        described(&engine, &id).await.pinned,
        Some(true),
        "what was said of its pin stays"
    );
    let part = exported(&engine, &granular).await;
    engine.evict_one(&granular).await.unwrap();
    let as_granular = ImportOptions {
        granular: Some(true),
        ..any()
    };
    assert_eq!(take(&engine, part, as_granular).await.unwrap(), granular);

    // A storage that fails leaves nothing half, and it can be tried again.
    for call in [
        VaultCall::Stage,
        VaultCall::Create,
        VaultCall::Write,
        VaultCall::Finish,
        VaultCall::Commit,
    ] {
        engine.evict_one(&id).await.unwrap();
        vaults.plan(call, 1, VaultFault::Fail);
        let failed = take(&engine, archive.clone(), any()).await;
        assert!(
            matches!(failed, Err(EngineError::Storage(_))),
            "{call:?}: {failed:?}"
        );
        assert_eq!(engine.list().await.unwrap(), [&*granular], "{call:?}");
        assert_eq!(take(&engine, archive.clone(), any()).await.unwrap(), id);
    }
    // An id that a job waits for is taken, and so is one that one may still ask for.
    let queued = engine.backup(BackupRequest::default()).await.unwrap();
    let files = with_manifest(&unpacked(&archive), &id, &queued);
    let refused = take(&engine, packed(&files, CompressionMethod::Stored), any()).await;
    assert!(refused.is_err(), "{refused:?}");
}

/// An engine that seals its backups, and opens them with an identity or not.
fn sealing(world: &World, opens: bool) -> Engine {
    world
        .start_with(|builder| builder.around_vaults(seal(opens)))
        .engine
}

fn seal(opens: bool) -> impl Fn(Arc<dyn VaultStore>) -> Arc<dyn VaultStore> + Send + Sync {
    let public = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
    let secret = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
    let recipients: Recipients = public.parse().unwrap();
    let identities: Option<Identities> = opens.then(|| secret.parse().unwrap());
    move |below| Arc::new(SealedStore::new(below, recipients.clone(), identities.clone()))
}

#[tokio::test]
async fn a_sealed_backup_comes_back_sealed_also_in_place_of_itself() {
    let world = World::new();
    let id = full(&sealing(&world, false)).await;
    world.pass(DAY);
    let archive = exported(&sealing(&world, false), &id).await;
    assert!(unpacked(&archive).iter().any(|(name, _)| name == "manifest.age"));
    let overwriting = ImportOptions {
        overwrite: true,
        ..any()
    };
    for opens in [false, true] {
        let engine = sealing(&world, opens);
        let taken = take(&engine, archive.clone(), overwriting.clone()).await;
        assert_eq!(taken.unwrap(), id);
        assert_eq!(
            unpacked(&exported(&sealing(&world, false), &id).await),
            unpacked(&archive),
            "it is sealed once"
        );
    }
    let engine = sealing(&world, true);
    let job = restored(&engine, &id).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");

    // The very same one, unpacked beside: it is not copied again, and can be restored.
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("copy")).unwrap();
    for (name, bytes) in unpacked(&archive) {
        std::fs::write(root.path().join("copy").join(name), bytes).unwrap();
    }
    let task = engine
        .restore_external_labelled(
            root.path(),
            "copy",
            RestoreRequest::of(&id),
            1 << 30,
            Labels::new(),
        )
        .await
        .unwrap();
    let job = super::support::done(&engine, &task).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
}

/// Its checksums are right, and it is another one within.
#[tokio::test]
async fn a_sealed_backup_that_is_damaged_within_takes_the_place_of_none_where_that_can_be_seen() {
    let elsewhere = World::new();
    let engine = sealing(&elsewhere, true);
    let id = full(&engine).await;
    let store = seal(true)(Arc::new(elsewhere.vaults.clone()));
    let id = copied(&*store, &id, |_| reversed(&*store, &id), |_| {}).to_string();
    elsewhere.pass(DAY);
    let archive = exported(&sealing(&elsewhere, false), &id).await;

    let (world, copies) = (World::new(), MemoryStore::new());
    let start = |opens| {
        let second = Arc::new(copies.clone());
        let running = world.start_with(|builder| {
            let builder = builder.around_vaults(seal(opens));
            builder.second_copy(second, "another place")
        });
        running.engine
    };
    let engine = start(true);
    world.pass(std::time::Duration::from_secs(1));
    assert_eq!(full(&engine).await, id);
    engine.copy_vaults().await.unwrap();
    let vault = id.parse().unwrap();
    let sound = |store: &MemoryStore| store.manifest(&vault).unwrap();
    let before = [sound(&world.vaults), sound(&copies)];
    world.pass(DAY);
    let overwriting = ImportOptions {
        overwrite: true,
        ..any()
    };
    let why = refusal(&engine, archive.clone(), overwriting.clone()).await;
    assert!(
        why.contains("archive.zst, frame 0: ") && why.contains("comes after"),
        "{why}"
    );
    engine.copy_vaults().await.unwrap();
    assert_eq!([sound(&world.vaults), sound(&copies)], before);
    let job = restored(&engine, &id).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    drop(engine);

    // Nobody can tell without an identity.
    let engine = start(false);
    assert_eq!(take(&engine, archive, overwriting).await.unwrap(), id);
    assert_ne!(sound(&world.vaults), before[0]);
}

/// What is to be done once it is there is all done, and what failed of it is told.
#[tokio::test]
async fn a_backup_that_was_taken_in_is_known_to_be_verified_whatever_fails_after_it() {
    let (world, copies) = (World::new(), MemoryStore::new());
    let running = world.start_with(|builder| builder.second_copy(Arc::new(copies.clone()), "another place"));
    let Running { engine, vaults, .. } = running;
    let id = full(&engine).await;
    engine.pin(&id, true).await.unwrap();
    engine.copy_vaults().await.unwrap();
    let archive = exported(&engine, &id).await;
    let overwriting = ImportOptions {
        overwrite: true,
        ..any()
    };
    // That of the copy which is to go, and that of the pin.
    for nth in [1, 2] {
        world.pass(DAY);
        vaults.plan(VaultCall::KeepNote, nth, VaultFault::Fail);
        let failed = take(&engine, archive.clone(), overwriting.clone()).await;
        assert!(matches!(failed, Err(EngineError::Storage(_))), "{failed:?}");
        assert_eq!(vaults.left(), 0);
        let info = described(&engine, &id).await;
        assert_eq!(
            (info.pinned, info.verified_at),
            (Some(true), Some(world.now())),
            "{nth}"
        );
        engine.copy_vaults().await.unwrap();
    }
}

/// As a verification leaves it that is cut off while it notes what it found.
#[tokio::test]
async fn half_a_note_beside_a_backup_keeps_nobody_from_taking_it_in() {
    let world = World::new();
    let engine = world.start().engine;
    let id = full(&engine).await;
    world.pass(DAY);
    let mut files = unpacked(&exported(&engine, &id).await);
    files.push(("verified.json.new".to_owned(), b"{".to_vec()));
    engine.evict_one(&id).await.unwrap();
    let archive = packed(&files, CompressionMethod::Stored);
    assert_eq!(take(&engine, archive, any()).await.unwrap(), id);
}

/// The end of an archive is its last 22 bytes; the same four bytes may stand in any file before it.
#[tokio::test]
async fn what_looks_like_an_end_within_a_file_is_none() {
    let world = World::new();
    let engine = world.start().engine;
    let id = full(&engine).await;
    world.pass(DAY);
    let mut files = unpacked(&exported(&engine, &id).await);
    // Of what a verification found nothing is taken in, so anything may stand in there.
    let signs = [&b"PK\x05\x06"[..], &[0xff; 40], b"PK\x06\x06", &[0xff; 60]].concat();
    files.push(("verified.json".to_owned(), signs));
    let archive = packed(&files, CompressionMethod::Stored);
    engine.evict_one(&id).await.unwrap();
    let behind = [&archive[..], b"more"].concat();
    assert!(refusal(&engine, behind, any()).await.contains("no zip archive"));
    assert_eq!(take(&engine, archive, any()).await.unwrap(), id);
}
