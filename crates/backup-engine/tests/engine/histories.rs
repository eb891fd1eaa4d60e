//! Ensembles that began anew with files: what earlier backups know is not relied on any more.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use backup_engine::{
    BackupRequest, CompareWith, Engine, EngineBuilder, FilesSource, JobState, Mode, Page, Recovery,
    RestoreRequest, Share, Strategy, VerifyRequest,
};
use zk_snapshot::files::DataDirs;
use zk_snapshot::tree::{Acl, ZnodePath};

use super::stopped::SoMany;
use super::support::{HOUR, Running, World, backed_up, described, done, full, walked};

const PAGE: Page = Page::first(9);

fn recovering(directory: &Path) -> impl FnOnce(EngineBuilder) -> EngineBuilder {
    let recovery = Recovery {
        environment: std::env::vars_os().filter(|(name, _)| name == "PATH").collect(),
        ..Recovery::new(directory.join("recover"))
    };
    |builder| builder.recovery(recovery)
}

/// How many ACLs of a new backup are those of an earlier one.
async fn reused(engine: &Engine) -> (String, u64) {
    let id = full(engine).await;
    let reused = walked(&described(engine, &id).await).acls.unwrap().reused;
    (id, reused)
}

async fn acl_changed(engine: &Engine, id: &str) -> u64 {
    let found = engine.compare(id, CompareWith::Live, PAGE).await.unwrap();
    found.acl_changed
}

#[tokio::test]
async fn where_files_lie_ready_no_earlier_backup_is_relied_on_until_there_is_a_later_one() {
    let (world, directory) = (World::new(), tempfile::tempdir().unwrap());
    let engine = world.start_with(recovering(directory.path())).engine;
    let before = full(&engine).await;
    world.pass(HOUR);
    assert_eq!(reused(&engine).await.1, 3);
    // In the new history the same numbers stand for another ACL, which is not looked at within one history.
    let other = Acl::creator();
    world.ensemble.show_acl("/a", other.clone());
    assert_eq!(acl_changed(&engine, &before).await, 0);

    // Somebody has been given files, and may begin anew with them at any time.
    let files = directory.path().join("recover");
    fs::create_dir(&files).unwrap();
    fs::write(files.join("snapshot.8"), b"").unwrap();
    world.pass(HOUR);
    assert_eq!(acl_changed(&engine, &before).await, 1);
    let (during, none) = reused(&engine).await;
    assert_eq!(none, 0);
    let path = ZnodePath::parse("/a").unwrap();
    assert_eq!(engine.znode(&during, path).await.unwrap().acl, other);

    // It is done. What was begun meanwhile may still be of the history before, also to the next process.
    fs::remove_dir_all(&files).unwrap();
    for engine in [engine, world.start_with(recovering(directory.path())).engine] {
        assert_eq!(acl_changed(&engine, &before).await, 1);
    }
    let engine = world.start_with(recovering(directory.path())).engine;
    world.pass(HOUR);
    assert_eq!(reused(&engine).await.1, 0);
    world.pass(HOUR);
    assert_eq!(
        reused(&engine).await.1,
        3,
        "that one is of the history which goes on"
    );
}

/// The files of a server that are kept for the tests of `zk-snapshot`.
fn files() -> FilesSource {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../zk-snapshot/tests/golden/3.9.5");
    FilesSource(DataDirs::same(golden))
}

#[tokio::test]
async fn a_restore_by_files_ends_the_history_of_the_backups_before_it() {
    let (world, directory) = (World::new(), tempfile::tempdir().unwrap());
    let recovery = recovering(directory.path());
    let states = vec![std::sync::Arc::new(files()) as _];
    let engine = world
        .start_with(|builder| recovery(builder).states(states))
        .engine;
    let hierarchical = full(&engine).await;
    let request = BackupRequest {
        mode: Mode::Transactional,
        ..BackupRequest::default()
    };
    let (id, job) = backed_up(&engine, request).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    world.ensemble.show_acl("/a", Acl::creator());
    assert_eq!(acl_changed(&engine, &hierarchical).await, 0);
    world.pass(HOUR);
    let by_files = |dry_run| RestoreRequest {
        strategy: Strategy::Files,
        dry_run,
        ..RestoreRequest::of(&id)
    };
    let files = directory.path().join("recover");
    let task = engine.restore(by_files(true)).await.unwrap();
    assert_eq!(done(&engine, &task).await.status, JobState::Successful);
    assert!(!files.exists());
    assert_eq!(
        acl_changed(&engine, &hierarchical).await,
        0,
        "that was only asked"
    );
    let task = engine.restore(by_files(false)).await.unwrap();
    let job = done(&engine, &task).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    let placed = fs::read_dir(&files)
        .unwrap()
        .map(|file| file.unwrap().file_name());
    assert!(
        placed
            .into_iter()
            .any(|name| name.to_string_lossy().starts_with("snapshot."))
    );
    fs::remove_dir_all(&files).unwrap();
    assert_eq!(acl_changed(&engine, &hierarchical).await, 1);
    world.pass(HOUR);
    assert_eq!(reused(&engine).await.1, 0);
    world.pass(HOUR);
    assert_eq!(reused(&engine).await.1, 3);
}

/// An engine that recovers with this command, and the id of a transactional backup.
async fn to_recover(
    world: &World,
    directory: &Path,
    command: &str,
    more: impl FnOnce(EngineBuilder) -> EngineBuilder,
) -> (Running, String) {
    let recovery = Recovery {
        environment: std::env::vars_os().filter(|(name, _)| name == "PATH").collect(),
        directory: directory.join("recover"),
        variable: "directory".to_owned(),
        command: Some(command.to_owned()),
        patience: HOUR,
    };
    let states = vec![Arc::new(files()) as _];
    let running = world.start_with(|builder| more(builder.recovery(recovery).states(states)));
    let request = BackupRequest {
        mode: Mode::Transactional,
        ..BackupRequest::default()
    };
    let (id, job) = backed_up(&running.engine, request).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    (running, id)
}

fn by_files(id: &str) -> RestoreRequest {
    RestoreRequest {
        strategy: Strategy::Files,
        ..RestoreRequest::of(id)
    }
}

#[tokio::test]
async fn without_the_permit_nothing_is_placed_and_no_server_is_restarted() {
    // It is asked for at the beginning, once all is written, and before the command.
    for (writes, is_placed) in [(0, false), (1, false), (2, true)] {
        let (world, directory) = (World::new(), tempfile::tempdir().unwrap());
        let ran = directory.path().join("ran");
        let command = format!("touch {}; exit 1", ran.display());
        let permit = Arc::new(SoMany(AtomicUsize::new(writes)));
        let more = |builder: EngineBuilder| builder.permit(permit);
        let (running, id) = to_recover(&world, directory.path(), &command, more).await;
        let engine = running.engine;
        let task = engine.restore(by_files(&id)).await.unwrap();
        let job = done(&engine, &task).await;
        assert!(job.message.unwrap().contains("the lease has run out"), "{writes}");
        assert_eq!(directory.path().join("recover").exists(), is_placed, "{writes}");
        assert!(!directory.path().join("recover.new").exists(), "{writes}");
        assert!(!ran.exists(), "{writes}");
    }
}

#[tokio::test]
async fn a_restore_by_files_that_is_called_off_while_it_compares_tells_what_it_has_placed() {
    let (world, directory) = (World::new(), tempfile::tempdir().unwrap());
    let (running, id) = to_recover(&world, directory.path(), "true", |builder| builder).await;
    let engine = running.engine;
    let task = engine.restore(by_files(&id)).await.unwrap();
    let runs = engine.clone();
    let step = tokio::spawn(async move { runs.step().await });
    loop {
        let job = engine.job(&task).await.unwrap().unwrap();
        assert!(!job.status.is_final(), "{job:?}");
        if job.progress.is_some_and(|progress| progress.phase == "comparing") {
            break;
        }
        tokio::task::yield_now().await;
    }
    engine.cancel(&task).await.unwrap();
    step.await.unwrap().unwrap();
    let job = engine.job(&task).await.unwrap().unwrap();
    assert_eq!(job.status, JobState::Canceled, "{job:?}");
    assert_eq!(job.result["zxid"], "0x18", "{}", job.result);
}

/// Wherever it is by then.
#[tokio::test]
async fn a_snapshot_that_cannot_be_read_just_now_is_not_damaged() {
    let (world, directory) = (World::new(), tempfile::tempdir().unwrap());
    let (running, id) = to_recover(&world, directory.path(), "true", |builder| builder).await;
    let engine = running.engine;
    for nth in 1.. {
        running
            .vaults
            .plan(vault_store::VaultCall::ReadAt, nth, vault_store::VaultFault::Fail);
        let request = VerifyRequest {
            vault: Some(id.clone()),
            share: Share::ALL,
        };
        let task = engine.verify(request).await.unwrap();
        let job = done(&engine, &task).await;
        if running.vaults.left() > 0 {
            assert!(nth > 3, "{nth}");
            assert_eq!(job.status, JobState::Successful, "{job:?}");
            break;
        }
        assert_eq!(job.status, JobState::Failed, "{nth}");
        assert!(
            job.result["damaged"].as_array().is_none_or(Vec::is_empty),
            "{nth}: {job:?}"
        );
        assert!(described(&engine, &id).await.is_valid(), "{nth}");
    }
}

#[tokio::test]
async fn a_backup_that_may_not_read_what_is_newest_does_not_say_that_the_ensemble_was_rolled_back() {
    let world = World::new();
    let engine = world.start().engine;
    world.tree.put("/b/c", b"newest", Acl::open()).unwrap();
    full(&engine).await;
    world.ensemble.deny("/b/c");
    let request = BackupRequest {
        allow_partial: true,
        ..BackupRequest::default()
    };
    let (id, job) = backed_up(&engine, request).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    let log = engine.log(&id).await.unwrap();
    assert!(
        log.contains("ACLs that did not change are those of backup") && !log.contains("rolled back"),
        "{log}"
    );
}
