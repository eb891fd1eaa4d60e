//! Restores that back up first what they are to change.

use std::time::Duration;

use backup_engine::{
    BackupRequest, Hook, Hooks, JobInfo, JobResult, JobState, RestoreRequest, RestoreResult, RestoreSource,
};
use vault_store::{VaultCall, VaultFault};
use zk_snapshot::tree::{Acl, WriteOp, ZnodePath, ZnodeWriter as _};

use super::support::{World, described, done, full, gate, job, restored};

fn first(id: &str, roots: &[&str]) -> RestoreRequest {
    RestoreRequest {
        roots: roots.iter().map(|root| ZnodePath::parse(root).unwrap()).collect(),
        backup_first: true,
        ..RestoreRequest::of(id)
    }
}

async fn remove(world: &World, path: &str) {
    let path = ZnodePath::parse(path).unwrap();
    let removed = world
        .ensemble
        .write_many(&[WriteOp::Delete { path, version: None }])
        .await;
    assert!(removed.iter().all(Result::is_ok), "{removed:?}");
}

fn came(job: &JobInfo) -> RestoreResult {
    match job.outcome().unwrap() {
        JobResult::Restore(result) => *result,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_a_restore_has_changed_can_be_brought_back() {
    let world = World::new();
    let engine = world.start().engine;
    let (id, good) = (full(&engine).await, world.znodes());
    world.tree.put("/a", b"two", Acl::open()).unwrap();
    world.tree.put("/b/c/more", b"", Acl::open()).unwrap();
    let changed = world.znodes();
    let planned = RestoreRequest {
        dry_run: true,
        ..first(&id, &[])
    };
    let planned = done(&engine, &engine.restore(planned).await.unwrap()).await;
    assert_eq!(came(&planned).backup_first, None, "a plan changes nothing");

    let task = engine.restore(first(&id, &[])).await.unwrap();
    let queued = engine.backup(BackupRequest::default()).await.unwrap();
    let job = done(&engine, &task).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    assert_eq!(world.znodes(), good);
    let undo = came(&job).backup_first.unwrap();
    assert_ne!(undo.as_str(), queued, "each id is given once");
    let info = described(&engine, undo.as_str()).await;
    assert_eq!((info.pinned, info.is_valid()), (Some(true), true), "{info:?}");
    let manifest = info.manifest().unwrap();
    let of = manifest.before_restore_of.as_ref().map(ToString::to_string);
    assert_eq!((of, manifest.restore_job.clone()), (Some(id.clone()), Some(task)));

    // The newest one is not what was to be undone, also where the restore is done again.
    engine.evict_one(&queued).await.unwrap();
    assert_eq!(described(&engine, "latest").await.id.as_str(), id);
    let latest = RestoreRequest {
        source: RestoreSource::Vault("latest".to_owned()),
        ..first(&id, &[])
    };
    let job = done(&engine, &engine.restore(latest).await.unwrap()).await;
    assert_eq!(job.vault, id);
    assert_eq!(world.znodes(), good);

    assert_eq!(
        restored(&engine, undo.as_str()).await.status,
        JobState::Successful
    );
    assert_eq!(world.znodes(), changed);
}

#[tokio::test]
async fn what_is_not_there_yet_is_named_and_the_rest_backed_up() {
    let world = World::new();
    let engine = world.start().engine;
    let (id, good) = (full(&engine).await, world.znodes());
    world.tree.put("/b/c", b"two", Acl::open()).unwrap();
    remove(&world, "/a").await;
    let job = done(&engine, &engine.restore(first(&id, &["/a", "/b"])).await.unwrap()).await;
    assert_eq!(world.znodes(), good, "{job:?}");
    let result = came(&job);
    assert!(
        result
            .notes
            .unwrap()
            .iter()
            .any(|note| note.contains("/a, which did not exist"))
    );
    let undo = result.backup_first.unwrap();
    let roots = described(&engine, undo.as_str())
        .await
        .manifest()
        .unwrap()
        .roots
        .clone();
    assert_eq!(roots.unwrap(), ["/b"]);

    remove(&world, "/a").await;
    let job = done(&engine, &engine.restore(first(&id, &["/a"])).await.unwrap()).await;
    let result = came(&job);
    assert_eq!((job.status, result.backup_first), (JobState::Successful, None));
    // None was taken, so none is named.
    let notes = result.notes.unwrap();
    assert!(
        notes
            .iter()
            .any(|note| note.starts_with("no backup was taken first, as /a did not exist")),
        "{notes:?}"
    );
    assert_eq!(world.znodes(), good);
}

#[tokio::test]
async fn nothing_is_restored_where_the_backup_first_fails() {
    let world = World::new();
    let engine = world.start().engine;
    let id = full(&engine).await;
    world.tree.put("/a", b"two", Acl::open()).unwrap();
    world.ensemble.deny("/b");
    let changed = world.znodes();
    let job = done(&engine, &engine.restore(first(&id, &[])).await.unwrap()).await;
    assert_eq!(job.status, JobState::Failed, "{job:?}");
    let message = job.message.clone().unwrap();
    assert!(
        message.starts_with("nothing was restored") && message.contains("/b"),
        "{message}"
    );
    assert_eq!(came(&job).report, None);
    assert_eq!(world.znodes(), changed);
    // What there is of it is told, and nobody has asked that it stays.
    let listed = engine.list().await.unwrap();
    let left = listed.iter().find(|listed| ***listed != id).unwrap();
    assert!(message.contains(&**left), "{message}");
    assert_eq!(described(&engine, left).await.pinned, Some(false));
}

#[tokio::test]
async fn a_restore_that_is_refused_takes_no_backup() {
    let world = World::new();
    let engine = world.start().engine;
    let id = full(&engine).await;
    let task = engine.restore(first(&id, &["/a", "/none"])).await.unwrap();
    let job = done(&engine, &task).await;
    assert_eq!(job.status, JobState::Failed, "{job:?}");
    assert!(job.message.as_deref().unwrap().contains("/none"), "{job:?}");
    assert_eq!(engine.list().await.unwrap(), [&*id]);
}

#[tokio::test]
async fn the_way_back_is_no_good_backup() {
    let world = World::new();
    let engine = world.start().engine;
    let id = full(&engine).await;
    let taken = engine.health().await.last_full_success;
    world.pass(Duration::from_secs(7_200));
    let job = done(&engine, &engine.restore(first(&id, &[])).await.unwrap()).await;
    let undo = came(&job).backup_first.unwrap();
    let health = engine.health().await;
    assert_eq!(health.last_full_success, taken);
    assert_eq!(health.storage.newest_good.unwrap().id, id);

    // Unpinned, and by a policy that would keep nothing, it goes, and the other stays.
    engine.pin(undo.as_str(), false).await.unwrap();
    world.pass(Duration::from_secs(3 * 86_400));
    engine.evict(false).await.unwrap();
    assert_eq!(engine.list().await.unwrap(), [&*id]);
}

#[tokio::test]
async fn what_comes_after_the_backup_is_not_written_over() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    let id = full(engine).await;
    remove(&world, "/a").await;
    let (mut gate, delay) = gate();
    running
        .vaults
        .plan(VaultCall::Create, 1, VaultFault::Delay(delay));
    let task = engine.restore(first(&id, &["/a", "/b"])).await.unwrap();
    let step = tokio::spawn({
        let engine = engine.clone();
        async move { engine.step().await }
    });
    gate.reached().await;
    world.tree.put("/a", b"of others", Acl::open()).unwrap();
    let changed = world.znodes();
    drop(gate);
    assert!(step.await.unwrap().unwrap());
    let job = job(engine, &task).await;
    let message = job.message.as_deref().unwrap();
    assert!(
        message.starts_with("nothing was restored: /a did not exist"),
        "{message}"
    );
    assert_eq!(came(&job).notes, None, "nothing is to be undone");
    assert_eq!(world.znodes(), changed);
}

#[tokio::test]
async fn what_is_ephemeral_by_now_is_named_and_the_rest_backed_up_and_restored() {
    let world = World::new();
    let engine = world.start().engine;
    let (id, good) = (full(&engine).await, world.znodes());
    world.tree.own("/a", 7);
    world.tree.put("/b/c", b"two", Acl::open()).unwrap();
    let job = done(&engine, &engine.restore(first(&id, &["/a", "/b"])).await.unwrap()).await;
    let (message, result) = (job.message.clone().unwrap(), came(&job));
    assert!(
        message.contains("/a: a live ephemeral znode stands in its place"),
        "{message}"
    );
    assert_eq!(world.znodes(), good, "the rest is");
    let note = "no backup was taken first of /a: ephemeral znodes are in none. What of it had ended by then is restored: undone, that is deleted by hand";
    assert!(result.notes.unwrap().iter().any(|told| told == note));
    let undo = result.backup_first.unwrap();
    let info = described(&engine, undo.as_str()).await;
    assert_eq!(info.manifest().unwrap().roots.as_ref().unwrap(), &["/b"]);

    // Everything is not meant where nothing is left.
    let listed = engine.list().await.unwrap();
    let job = done(&engine, &engine.restore(first(&id, &["/a"])).await.unwrap()).await;
    assert_eq!(came(&job).backup_first, None);
    assert_eq!(engine.list().await.unwrap(), listed);
}

#[tokio::test]
async fn what_was_ephemeral_and_is_not_any_more_is_not_written_over() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    let id = full(engine).await;
    world.tree.put("/a", b"two", Acl::open()).unwrap();
    world.tree.own("/a", 7);
    let (mut gate, delay) = gate();
    running
        .vaults
        .plan(VaultCall::Create, 1, VaultFault::Delay(delay));
    let task = engine.restore(first(&id, &["/a", "/b"])).await.unwrap();
    let step = tokio::spawn({
        let engine = engine.clone();
        async move { engine.step().await }
    });
    gate.reached().await;
    world.tree.own("/a", 0);
    let changed = world.znodes();
    drop(gate);
    assert!(step.await.unwrap().unwrap());
    let job = job(engine, &task).await;
    let message = job.message.as_deref().unwrap();
    assert!(
        message.starts_with("nothing was restored: /a was ephemeral"),
        "{message}"
    );
    assert_eq!(world.znodes(), changed);
}

#[tokio::test]
async fn a_restore_is_called_off_while_it_backs_up() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    let id = full(engine).await;
    world.tree.put("/a", b"two", Acl::open()).unwrap();
    let changed = world.znodes();
    let (mut gate, delay) = gate();
    running
        .vaults
        .plan(VaultCall::Create, 1, VaultFault::Delay(delay));
    let task = engine.restore(first(&id, &[])).await.unwrap();
    let step = tokio::spawn({
        let engine = engine.clone();
        async move { engine.step().await }
    });
    gate.reached().await;
    assert_eq!(engine.cancel(&task).await.unwrap(), JobState::Processing);
    drop(gate);
    assert!(step.await.unwrap().unwrap());
    let job = job(engine, &task).await;
    assert_eq!(job.status, JobState::Canceled, "{job:?}");
    assert_eq!(engine.list().await.unwrap(), [&*id], "no vault is left of it");
    assert_eq!(world.znodes(), changed);
}

#[tokio::test]
async fn the_hook_before_a_restore_is_run_once() {
    let (world, place) = (World::new(), tempfile::tempdir().unwrap());
    let said = place.path().join("said");
    let before = Hook {
        name: "HOOK_BEFORE".to_owned(),
        program: "/bin/sh".to_owned(),
        arguments: vec!["-c".to_owned(), format!("echo $job_type >>{}", said.display())],
    };
    let hooks = Hooks {
        before: Some(before),
        timeout: Duration::from_mins(1),
        ..Hooks::default()
    };
    let engine = world.start_with(|builder| builder.hooks(hooks)).engine;
    let id = full(&engine).await;
    let job = done(&engine, &engine.restore(first(&id, &[])).await.unwrap()).await;
    assert!(came(&job).backup_first.is_some(), "{job:?}");
    assert_eq!(std::fs::read_to_string(&said).unwrap(), "backup\nrestore\n");
}
