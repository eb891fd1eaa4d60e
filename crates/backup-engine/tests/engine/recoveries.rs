//! Restores by files: the epoch that servers begin above, and backups of which no client is shown everything.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backup_engine::{
    Engine, EngineBuilder, FilesSource, JobInfo, JobState, Recovery, RestoreRequest, Strategy,
};
use job_queue::MemoryJobs;
use tempfile::TempDir;
use vault_store::{Contents, FsStore, MemoryStore};
use zk_snapshot::tree::Acl;

use super::support::{
    ADMIN, ALL, HOUR, Modelled, World, acl, adler32, done, remade, snapshot_of, transactional,
};

/// How far above what is known an epoch is raised.
const MARGIN: i64 = 16;

/// Recovers in `directory`, by this command if there is one, from these files.
fn recovers(
    builder: EngineBuilder,
    directory: &Path,
    command: Option<&str>,
    files: FilesSource,
) -> EngineBuilder {
    let recovery = Recovery {
        environment: std::env::vars_os().filter(|(name, _)| name == "PATH").collect(),
        directory: directory.join("recover"),
        variable: "directory".to_owned(),
        command: command.map(str::to_owned),
        patience: HOUR,
    };
    builder.recovery(recovery).states(vec![Arc::new(files) as _])
}

fn recovering(world: &World, directory: &Path, command: Option<&str>, files: FilesSource) -> Engine {
    let more = |builder| recovers(builder, directory, command, files);
    world.start_with(more).engine
}

/// Why a restore by files fails, long before its patience is over.
async fn soon_fails(engine: &Engine, id: &str) -> String {
    let recovered = recovered(engine, id, |_| {});
    let job = tokio::time::timeout(Duration::from_mins(1), recovered).await;
    let job = job.expect("it goes on comparing");
    assert_eq!(job.status, JobState::Failed, "{job:?}");
    job.message.unwrap()
}

/// What came of a restore by files, as `more` asks for it.
async fn recovered(engine: &Engine, id: &str, more: impl FnOnce(&mut RestoreRequest)) -> JobInfo {
    let mut request = RestoreRequest {
        strategy: Strategy::Files,
        ..RestoreRequest::of(id)
    };
    more(&mut request);
    let task = engine.restore(request).await.unwrap();
    done(engine, &task).await
}

/// A state with one znode whose name no client is sent.
fn old_names() -> (FilesSource, TempDir) {
    let (source, directory) = snapshot_of(1, 3);
    let path = directory.path().join("snapshot.1");
    let mut bytes = fs::read(&path).unwrap();
    let name = bytes.windows(13).rposition(|name| name == b"/many/0000000");
    bytes[name.unwrap() + 6] = 1;
    bytes.truncate(bytes.len() - 8 - 5); // the checksum, and what ends it
    let sum = adler32(&bytes);
    bytes.extend_from_slice(&sum.to_be_bytes());
    bytes.extend_from_slice(b"\0\0\0\x01/");
    fs::write(path, bytes).unwrap();
    (source, directory)
}

#[tokio::test]
async fn the_epoch_is_taken_once_nothing_more_is_done_before_the_servers_are_stopped() {
    let (world, directory) = (World::new(), tempfile::tempdir().unwrap());
    let (files, _kept) = snapshot_of(1, 3);
    let engine = recovering(&world, directory.path(), None, files);
    let id = transactional(&engine).await;
    // The backup that is taken first connects, which begins an epoch here.
    world.ensemble.tell_epoch(5);
    let job = recovered(&engine, &id, |request| {
        request.raise_epoch = Some(0);
        request.backup_first = true;
    })
    .await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    let last = world.ensemble.told_epoch().unwrap();
    assert!(last > 5, "it has connected");
    assert_eq!(job.result["epoch"], last + MARGIN, "{}", job.result);
    let placed = fs::read_to_string(directory.path().join("recover/acceptedEpoch")).unwrap();
    assert_eq!(placed, (last + MARGIN).to_string());
    let steps = job.result["steps"].to_string();
    assert!(
        steps.contains(&format!("above epoch {}", last + MARGIN)),
        "{steps}"
    );
    assert_eq!(job.result["notes"], serde_json::json!([]));
}

#[tokio::test]
async fn an_epoch_that_no_server_tells_is_noted() {
    let (world, directory) = (World::new(), tempfile::tempdir().unwrap());
    let (files, _kept) = snapshot_of(1, 3);
    let engine = recovering(&world, directory.path(), None, files);
    let id = transactional(&engine).await;
    for dry_run in [true, false] {
        let job = recovered(&engine, &id, |request| {
            (request.raise_epoch, request.dry_run) = (Some(0), dry_run);
        })
        .await;
        assert_eq!(job.status, JobState::Successful, "{job:?}");
        let notes = job.result["notes"].to_string();
        assert!(notes.contains("no server tells how far"), "{notes}");
    }
    // Somebody knows it.
    let job = recovered(&engine, &id, |request| request.raise_epoch = Some(40)).await;
    assert_eq!(
        (&job.result["epoch"], &job.result["notes"]),
        (&40.into(), &serde_json::json!([]))
    );
}

#[tokio::test]
async fn servers_that_do_not_begin_above_the_epoch_fail_the_restore() {
    let (world, directory) = (World::new(), tempfile::tempdir().unwrap());
    let (files, _kept) = old_names();
    let engine = recovering(&world, directory.path(), Some("true"), files);
    let id = transactional(&engine).await;
    world.ensemble.tell_epoch(5);
    let job = recovered(&engine, &id, |request| request.raise_epoch = Some(40)).await;
    assert_eq!(job.status, JobState::Failed, "{job:?}");
    let why = job.message.unwrap();
    assert!(
        why.contains("not above epoch 40") && why.contains("0x500000001"),
        "{why}"
    );
    assert!(directory.path().join("recover/currentEpoch").exists());
}

#[tokio::test]
async fn servers_that_have_what_no_client_is_shown_are_not_compared_for_ever() {
    let (world, directory) = (World::new(), tempfile::tempdir().unwrap());
    let (files, _kept) = old_names();
    let engine = recovering(&world, directory.path(), Some("true"), files);
    let id = transactional(&engine).await;
    let job = recovered(&engine, &id, |_| {}).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    assert_eq!(job.result["verified"], serde_json::json!([]), "{}", job.result);
    let notes = job.result["notes"].to_string();
    assert!(
        notes.contains("were not compared with the backup: 1 znodes"),
        "{notes}"
    );
    assert!(
        directory.path().join("recover/snapshot.1").exists(),
        "somebody has to look first"
    );
}

/// Who may change the ACL of a znode may read it once that is done, which no comparison does.
#[tokio::test]
async fn what_may_not_be_read_does_not_become_readable_by_comparing_again() {
    let directory = tempfile::tempdir().unwrap();
    let (files, _kept) = snapshot_of(1, 3);
    let modelled = Modelled::new();
    modelled.create("/many", b"", Acl::open());
    modelled.create("/many/0000000", b"ddd", acl(ADMIN, ALL));
    let builder = Engine::builder(Arc::new(modelled.clone()))
        .vaults(Arc::new(MemoryStore::new()))
        .jobs(Arc::new(MemoryJobs::new()));
    let engine = recovers(builder, directory.path(), Some("true"), files)
        .build()
        .unwrap();
    let id = transactional(&engine).await;
    let why = soon_fails(&engine, &id).await;
    assert!(why.contains("1 znodes may not be read"), "{why}");
    // All else is as in the backup.
    modelled.change("/many/0000000", b"ddd", Acl::open());
    let job = recovered(&engine, &id, |_| {}).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
}

#[tokio::test]
async fn a_backup_that_cannot_be_read_any_more_ends_the_comparison() {
    let (world, directory) = (World::new(), tempfile::tempdir().unwrap());
    // More than is kept of what was read last.
    let (files, _kept) = snapshot_of(24, 128 << 10);
    let vaults = directory.path().join("vaults");
    let store = FsStore::open(&vaults).unwrap();
    // Once it was placed.
    let command = format!("truncate -s 0 '{}'/*/snapshot.*", vaults.display());
    let more = |builder: EngineBuilder| {
        let builder = builder.vaults(Arc::new(store));
        recovers(builder, directory.path(), Some(&command), files)
    };
    let engine = world.start_with(more).engine;
    let id = transactional(&engine).await;
    let why = soon_fails(&engine, &id).await;
    assert!(why.contains("are there"), "{why}");
    let placed = fs::metadata(directory.path().join("recover/snapshot.1")).unwrap();
    assert!(placed.len() > 0, "it was compared");
}

/// Its checksums are right. Once servers are stopped it is too late to find out.
#[tokio::test]
async fn a_snapshot_that_is_not_what_was_written_is_not_placed() {
    let (world, directory) = (World::new(), tempfile::tempdir().unwrap());
    let (files, _kept) = snapshot_of(1, 3);
    let engine = recovering(&world, directory.path(), Some("true"), files);
    let id = transactional(&engine).await;
    let lacking = remade(
        &world.vaults,
        &id,
        "snapshot.1",
        |bytes| bytes,
        |manifest| match manifest.contents.as_mut().unwrap() {
            Contents::Transactional(of) => of.captured.znodes += 1,
            other => panic!("{other:?}"),
        },
    );
    let why = soon_fails(&engine, lacking.as_str()).await;
    assert!(why.contains("3 znodes of 4 are there"), "{why}");
    assert!(!directory.path().join("recover").exists(), "nothing was placed");
}
