//! Backups whose storage fails: what is said of them, and that the next one works.

use backup_engine::{BackupRequest, Engine, JobState, Page};
use vault_store::{Outcome, VaultCall, VaultFault, VaultStore, verify};
use zk_snapshot::tree::ZnodePath;

use super::support::{World, backed_up, described, full, goes_on, restored};

async fn is_failed(engine: &Engine, why: &str) -> String {
    let (id, job) = backed_up(engine, BackupRequest::default()).await;
    assert_eq!(job.status, JobState::Failed, "{job:?}");
    assert!(job.message.as_ref().unwrap().contains(why), "{job:?}");
    assert!(job.log_tail.join("\n").contains(why), "{job:?}");
    id
}

#[tokio::test]
async fn a_commit_that_fails_is_listed_as_failed() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    running.vaults.plan(VaultCall::Commit, 1, VaultFault::Fail);
    let id = is_failed(engine, "Commit").await;
    assert_eq!(engine.list().await.unwrap(), [&*id]);
    let info = described(engine, &id).await;
    let manifest = info.manifest().unwrap();
    assert!(matches!(manifest.outcome, Outcome::Failed { .. }), "{info:?}");
    assert!(manifest.reason().unwrap().contains("Commit"));
    let manifest = world.vaults.manifest(&id.parse().unwrap()).unwrap();
    let files: Vec<_> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(files, ["job.log"], "nothing half written");
    let next = goes_on(&world, engine).await;
    assert_eq!(engine.list().await.unwrap(), [id, next]);
}

#[tokio::test]
async fn where_the_failure_cannot_be_stored_either_nothing_is_listed_and_the_job_tells() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    running.vaults.plan(VaultCall::Commit, 1, VaultFault::Fail);
    running.vaults.plan(VaultCall::Commit, 2, VaultFault::Fail);
    let id = is_failed(engine, "Commit").await;
    assert!(engine.list().await.unwrap().is_empty());
    assert_eq!(engine.describe(&id).await.unwrap(), None);
    let next = goes_on(&world, engine).await;
    assert!(next > id);
    assert_eq!(engine.list().await.unwrap(), [next]);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_leaves_a_whole_backup_and_a_job_that_tells() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    running.vaults.plan(VaultCall::Commit, 1, VaultFault::LoseAnswer);
    let there = world.znodes();
    let id = is_failed(engine, "Commit").await;
    let told = super::support::job(engine, &id).await;
    assert!(told.message.unwrap().contains("stored all the same"));
    assert!(!told.result.is_null());
    assert_eq!(engine.list().await.unwrap(), [&*id]);
    let parsed = id.parse().unwrap();
    assert!(verify(&world.vaults, &parsed, world.now()).unwrap().is_sound());
    let info = described(engine, &id).await;
    assert!(
        info.is_valid() && info.manifest().unwrap().reason().is_none(),
        "{info:?}"
    );
    let next = goes_on(&world, engine).await;
    world
        .tree
        .put("/late", b"", zk_snapshot::tree::Acl::open())
        .unwrap();
    assert_eq!(restored(engine, &id).await.status, JobState::Successful);
    assert_eq!(world.znodes(), there);
    assert_eq!(engine.list().await.unwrap(), [id, next]);
}

#[tokio::test]
async fn whatever_call_fails_while_a_backup_is_written_the_next_one_works() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    let mut listed = vec![full(engine).await];
    // The archive, the index of ACLs, the log.
    let creates = [1, 2, 3].map(|nth| (VaultCall::Create, nth));
    let writes = [1, 2, 3].map(|nth| (VaultCall::Write, nth));
    let finishes = [1, 2, 3].map(|nth| (VaultCall::Finish, nth));
    for (call, nth) in [&[(VaultCall::Stage, 1)], &creates[..], &writes[..], &finishes[..]].concat() {
        running.vaults.plan(call, nth, VaultFault::Fail);
        let id = is_failed(engine, &format!("{call:?}")).await;
        assert_eq!(running.vaults.left(), 0, "{call:?} {nth}");
        let info = described(engine, &id).await;
        let outcome = &info.manifest().unwrap().outcome;
        assert!(matches!(outcome, Outcome::Failed { .. }), "{call:?} {nth}");
        listed.extend([id, goes_on(&world, engine).await]);
        assert_eq!(engine.list().await.unwrap(), listed);
    }
}

#[tokio::test]
async fn what_a_backup_only_looks_at_may_fail() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    let first = full(engine).await;
    for call in [
        VaultCall::Ids,
        VaultCall::Manifest,
        VaultCall::Open,
        VaultCall::ReadAt,
        VaultCall::Size,
        VaultCall::Verification,
    ] {
        running.vaults.plan(call, 1, VaultFault::Fail);
        let id = full(engine).await;
        assert_eq!(running.vaults.left(), 0, "{call:?}");
        assert!(described(engine, &id).await.is_valid(), "{call:?}");
        assert!(described(engine, &first).await.is_valid(), "{call:?}");
    }
}

#[tokio::test]
async fn a_restore_that_cannot_read_changes_nothing_and_may_be_asked_for_again() {
    let world = World::new();
    let running = world.start();
    let engine = &running.engine;
    let (id, before) = (full(engine).await, world.znodes());
    world
        .tree
        .put("/a", b"two", zk_snapshot::tree::Acl::open())
        .unwrap();
    let changed = world.znodes();
    for (call, nth) in [
        (VaultCall::Manifest, 3), // after those that the request has read
        (VaultCall::Open, 1),
        (VaultCall::Open, 5), // the archive itself, after all was verified
        (VaultCall::ReadAt, 1),
        (VaultCall::ReadAt, 5),
    ] {
        running.vaults.plan(call, nth, VaultFault::Fail);
        let job = restored(engine, &id).await;
        assert_eq!(running.vaults.left(), 0, "{call:?} {nth}");
        assert_eq!(job.status, JobState::Failed, "{call:?} {nth}");
        assert!(job.message.unwrap().contains(&format!("{call:?}")));
        assert_eq!(world.znodes(), changed);
        assert!(described(engine, &id).await.is_valid());
    }
    // That it was verified need not be remembered.
    running
        .vaults
        .plan(VaultCall::RecordVerification, 1, VaultFault::Fail);
    assert_eq!(restored(engine, &id).await.status, JobState::Successful);
    assert_eq!(running.vaults.left(), 0);
    assert_eq!(world.znodes(), before);
    let page = Page { offset: 0, limit: 9 };
    for call in [VaultCall::Open, VaultCall::ReadAt] {
        running.vaults.plan(call, 1, VaultFault::Fail);
        assert!(engine.znodes(&id, ZnodePath::root(), page).await.is_err());
    }
    let found = engine.znodes(&id, ZnodePath::root(), page).await.unwrap();
    assert_eq!(found.total, 2);
}
