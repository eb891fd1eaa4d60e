//! Backups that are said to be of everything, and hold nothing, or not all.

use std::sync::Arc;

use backup_engine::{JobState, RestoreRequest};
use vault_store::{Contents, Manifest, VaultId, VaultStore};

use super::support::{
    ARCHIVE, Running, World, backed_up, copied, described, done, full, of, packed, records_of, remade,
    restored, snapshot_of, tested, transactional, verified,
};

/// That everything which reads `id` to restore it refuses it for `what`, and changes nothing; `copy` makes another one of it.
async fn is_refused(
    (world, running): (&World, &Running),
    id: VaultId,
    what: &str,
    copy: impl Fn(&VaultId) -> VaultId,
) {
    let (engine, there) = (&running.engine, world.znodes());
    let asked = |id: &VaultId, dry_run, backup_first| RestoreRequest {
        dry_run,
        backup_first,
        ..RestoreRequest::of(id.as_str())
    };
    let second = copy(&id);
    let third = copy(&second);
    let fourth = copy(&third);
    let listed = engine.list().await.unwrap();
    let jobs = [
        (&id, engine.restore(asked(&id, true, false)).await.unwrap()),
        (
            &second,
            engine.restore(asked(&second, false, false)).await.unwrap(),
        ),
        (&third, engine.restore(asked(&third, false, true)).await.unwrap()),
    ];
    for (id, task) in jobs {
        let job = done(engine, &task).await;
        assert_eq!(job.status, JobState::Failed, "{job:?}");
        let damaged = format!("backup {id} is damaged: {what}");
        assert_eq!(job.message.as_ref(), Some(&damaged));
        assert_eq!(world.znodes(), there);
        assert!(!described(engine, id.as_str()).await.is_valid());
        // What was found is what a verification finds, and is not forgotten.
        assert_eq!(
            restored(engine, id.as_str()).await.message.as_ref(),
            Some(&damaged)
        );
    }
    let job = tested(engine, fourth.as_str()).await;
    let damaged = format!("backup {fourth} is damaged: {what}");
    assert_eq!((job.status, job.message), (JobState::Failed, Some(damaged)));
    assert!(!described(engine, fourth.as_str()).await.is_valid());
    assert_eq!(
        engine.list().await.unwrap(),
        listed,
        "none was taken before a restore"
    );
}

fn says_one_more(manifest: &mut Manifest) {
    match manifest.contents.as_mut().unwrap() {
        Contents::Hierarchical(of) => of.captured.znodes += 1,
        Contents::Transactional(of) => of.captured.znodes += 1,
    }
}

/// Its checksums are right, and say nothing of what is not there.
#[tokio::test]
async fn one_that_lacks_a_znode_deletes_none() {
    let world = World::new();
    let running = world.start();
    let id = full(&running.engine).await;
    let mut records = records_of(&world.vaults, &id);
    records.retain(|record| record.path.as_str() != "/b/c");
    let lacking = copied(
        &world.vaults,
        &id,
        |_| packed(&records),
        |manifest| manifest.files[0].frames[0].records = 3,
    );
    let copy = |id: &VaultId| copied(&world.vaults, id.as_str(), |bytes| bytes, |_| {});
    let what = "archive.zst: 3 znodes of 4 are there";
    is_refused((&world, &running), lacking, what, copy).await;
}

#[tokio::test]
async fn a_snapshot_that_lacks_a_znode_deletes_none() {
    let world = World::new();
    let (files, _kept) = snapshot_of(3, 3);
    let running = world.start_with(|builder| builder.states(vec![Arc::new(files) as _]));
    let id = transactional(&running.engine).await;
    let copy_of =
        |id: &str, change: fn(&mut Manifest)| remade(&world.vaults, id, "snapshot.1", |bytes| bytes, change);
    let lacking = copy_of(&id, says_one_more);
    let copy = |id: &VaultId| copy_of(id.as_str(), |_| {});
    let what = "snapshot.1: 5 znodes of 6 are there";
    is_refused((&world, &running), lacking, what, copy).await;
}

#[tokio::test]
async fn one_that_holds_nothing_deletes_nothing() {
    let world = World::new();
    let Running { engine, .. } = world.start();
    let id: VaultId = full(&engine).await.parse().unwrap();
    let there = world.znodes();
    let mut manifest = world.vaults.manifest(&id).unwrap();
    manifest.id = id.next().unwrap();
    let mut stage = world.vaults.stage(&manifest.id).unwrap();
    let mut entry = stage.put(&ARCHIVE, b"").unwrap();
    entry.frames.clear();
    manifest.files = vec![entry];
    stage.commit(&manifest).unwrap();
    let empty = manifest.id.as_str();
    let job = restored(&engine, empty).await;
    let why = job.message.clone().unwrap_or_default();
    assert!(
        job.status == JobState::Failed && why.contains("holds no znode"),
        "{job:?}"
    );
    assert_eq!(world.znodes(), there);
    let job = verified(&engine, Some(empty), "100%").await;
    assert_eq!(job.status, JobState::Failed, "{job:?}");
    assert!(!described(&engine, empty).await.is_valid());
}

#[tokio::test]
async fn one_without_the_root_is_found_by_a_verification() {
    let world = World::new();
    let Running { engine, .. } = world.start();
    let (granular, _) = backed_up(&engine, of(&["/a"])).await;
    let id = copied(
        &world.vaults,
        &granular,
        |bytes| bytes,
        |manifest| manifest.roots = None,
    );
    let job = verified(&engine, Some(id.as_str()), "100%").await;
    let told = job.result.to_string();
    assert!(
        job.status == JobState::Failed && told.contains("no znode /"),
        "{job:?}"
    );
    assert!(!described(&engine, id.as_str()).await.is_valid());
}
