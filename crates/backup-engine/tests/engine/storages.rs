//! Backups in several storages, of which one is the default.

use std::sync::Arc;

use backup_engine::{
    BackupRequest, Engine, EngineBuilder, EngineError, JobState, RestoreRequest, RestoreSource,
};
use eviction_policy::{Action, RulePolicy};
use vault_store::{FaultyVaults, MemoryStore, Outcome, VaultCall, VaultFault, VaultId, VaultStore as _};
use zk_snapshot::tree::Acl;

use super::support::{DAY, World, backed_up, described, done, full, goes_on, of};

/// What a backup is kept in besides.
struct Archive(MemoryStore);

impl Archive {
    fn new() -> Self {
        Self(MemoryStore::new())
    }

    fn beside(&self) -> (FaultyVaults, impl FnOnce(EngineBuilder) -> EngineBuilder) {
        let faulty = FaultyVaults::new(Arc::new(self.0.clone()));
        let store = Arc::new(faulty.clone());
        (faulty, move |builder| builder.further_vaults("archive", store))
    }
}

fn in_archive() -> BackupRequest {
    BackupRequest {
        storage: Some("archive".to_owned()),
        ..BackupRequest::default()
    }
}

async fn archived(engine: &Engine) -> String {
    let (id, job) = backed_up(engine, in_archive()).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    id
}

fn texts(ids: &[VaultId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

async fn storage_of(engine: &Engine, id: &str) -> String {
    described(engine, id).await.storage.unwrap()
}

#[tokio::test]
async fn a_backup_is_kept_where_it_was_asked_for() {
    let (world, archive) = (World::new(), Archive::new());
    let engine = world.start_with(archive.beside().1).engine;
    assert_eq!(engine.storages(), ["default", "archive"]);
    let waits = engine.backup(in_archive()).await.unwrap();
    assert_eq!(storage_of(&engine, &waits).await, "archive");
    done(&engine, &waits).await;
    let usual = full(&engine).await;
    assert_eq!(texts(&archive.0.ids().unwrap()), [&*waits]);
    assert_eq!(texts(&world.vaults.ids().unwrap()), [&*usual]);

    // One that fails says so where it was to be.
    let lost = BackupRequest {
        storage: Some("archive".to_owned()),
        ..of(&["/gone"])
    };
    let (failed, job) = backed_up(&engine, lost).await;
    assert_eq!(job.status, JobState::Failed);
    let manifest = archive.0.manifest(&failed.parse().unwrap()).unwrap();
    assert!(matches!(manifest.outcome, Outcome::Failed { .. }), "{manifest:?}");

    // So it is known after a restart, and comes back.
    let engine = world.start_with(archive.beside().1).engine;
    assert_eq!(
        engine.list().await.unwrap(),
        [waits.clone(), usual.clone(), failed]
    );
    assert_eq!(storage_of(&engine, &waits).await, "archive");
    assert_eq!(storage_of(&engine, &usual).await, "default");
    let before = world.znodes();
    world.tree.put("/a", b"changed", Acl::open()).unwrap();
    let task = engine.restore(RestoreRequest::of(&waits)).await.unwrap();
    assert_eq!(done(&engine, &task).await.status, JobState::Successful);
    assert_eq!(world.znodes(), before);
    engine.evict_one(&waits).await.unwrap();
    assert_eq!(archive.0.ids().unwrap().len(), 1);
    goes_on(&world, &engine).await;
}

#[tokio::test]
async fn a_storage_that_is_not_there_is_refused_and_one_has_no_name() {
    let (world, archive) = (World::new(), Archive::new());
    let engine = world.start_with(archive.beside().1).engine;
    let nowhere = BackupRequest {
        storage: Some("nowhere".to_owned()),
        ..BackupRequest::default()
    };
    let refused = engine.backup(nowhere.clone()).await.unwrap_err();
    assert!(matches!(refused, EngineError::Invalid(_)));
    assert_eq!(
        refused.to_string(),
        "there is no storage \"nowhere\": there are default, archive"
    );
    let alone = world.start().engine;
    assert!(alone.storages().is_empty());
    let refused = alone.backup(nowhere).await.unwrap_err();
    assert!(
        refused.to_string().contains("all backups are kept in one place"),
        "{refused}"
    );
    let id = full(&alone).await;
    assert_eq!(described(&alone, &id).await.storage, None);

    // One that waits for a storage which is there no more fails, and is in no other.
    let waits = engine.backup(in_archive()).await.unwrap();
    let alone = world.start().engine;
    let job = done(&alone, &waits).await;
    assert_eq!(job.status, JobState::Failed);
    assert_eq!(job.message.unwrap(), "there is no storage \"archive\"");
    assert_eq!(texts(&world.vaults.ids().unwrap()), [id]);
}

#[tokio::test]
async fn a_restore_from_a_storage_takes_none_from_another() {
    let (world, archive) = (World::new(), Archive::new());
    let engine = world.start_with(archive.beside().1).engine;
    let old = archived(&engine).await;
    world.pass(DAY);
    let new = full(&engine).await;
    let from = |storage: &str, id: &str| RestoreRequest {
        storage: Some(storage.to_owned()),
        ..RestoreRequest::of(id)
    };
    let refused = engine.restore(from("default", &old)).await.unwrap_err();
    assert_eq!(refused.code(), "backup_not_found");
    assert_eq!(
        refused.to_string(),
        format!("backup {old} not found in storage default: it is in storage archive")
    );
    assert!(matches!(
        engine.restore(from("nowhere", &old)).await,
        Err(EngineError::Invalid(_))
    ));
    for (storage, id, restored) in [
        ("archive", &*old, &old),
        ("archive", "latest", &old),
        ("default", "latest", &new),
    ] {
        let task = engine.restore(from(storage, id)).await.unwrap();
        assert_eq!(done(&engine, &task).await.vault, *restored, "{storage} {id}");
    }
    let request = RestoreRequest {
        source: RestoreSource::Before(i64::MAX),
        ..RestoreRequest::of("")
    };
    let task = engine.restore(request).await.unwrap();
    assert_eq!(done(&engine, &task).await.vault, new);
}

#[tokio::test]
async fn policies_are_applied_to_each_storage_by_itself() {
    let (world, archive) = (World::new(), Archive::new());
    let policy: RulePolicy = "1/delete".parse().unwrap();
    let (_, beside) = archive.beside();
    let engine = world
        .start_with(|builder| beside(builder).full_policy(Arc::new(policy)))
        .engine;
    let mut ids = Vec::new();
    for at in ["archive", "archive", "default", "default"] {
        ids.push(match at {
            "archive" => archived(&engine).await,
            _ => full(&engine).await,
        });
        world.pass(10 * DAY);
    }
    let decisions = engine.evict(false).await.unwrap();
    let told: Vec<_> = decisions
        .iter()
        .map(|decision| (&*decision.id, decision.action))
        .collect();
    // The first of each went with the backup after it.
    assert_eq!(told, [(&*ids[1], Action::Keep), (&*ids[3], Action::Keep)]);
    assert_eq!(texts(&archive.0.ids().unwrap()), [&*ids[1]]);
    assert_eq!(texts(&world.vaults.ids().unwrap()), [&*ids[3]]);
}

#[tokio::test]
async fn a_storage_that_is_away_keeps_no_backup_from_the_default_one() {
    let (world, archive) = (World::new(), Archive::new());
    let old = {
        let engine = world.start_with(archive.beside().1).engine;
        archived(&engine).await
    };
    world.pass(DAY);
    let (faulty, beside) = archive.beside();
    faulty.cut();
    let engine = world.start_with(beside).engine;
    let refused = engine.list().await.unwrap_err().to_string();
    assert!(refused.starts_with("storage archive: "), "{refused}");
    let id = full(&engine).await;
    assert_eq!(texts(&world.vaults.ids().unwrap()), [&*id]);
    assert_eq!(storage_of(&engine, &id).await, "default");
    engine.pin(&id, true).await.unwrap();
    assert_eq!(described(&engine, &id).await.pinned, Some(true));
    let restored = engine.restore(RestoreRequest::of(&id)).await.unwrap();
    assert_eq!(done(&engine, &restored).await.status, JobState::Successful);
    let (failed, job) = backed_up(&engine, in_archive()).await;
    assert_eq!(job.status, JobState::Failed);
    assert!(job.message.unwrap().starts_with("storage archive: "));
    let unknown = engine.describe(&old).await.unwrap_err();
    assert!(unknown.may_pass() && unknown.to_string().starts_with("storage archive: "));

    let engine = world.start_with(archive.beside().1).engine;
    assert_eq!(engine.list().await.unwrap(), [old, id.clone()]);
    assert!(described(&engine, &id).await.pinned.unwrap());
    assert!(engine.describe(&failed).await.unwrap().is_none());
}

#[tokio::test]
async fn twins_are_told_and_neither_is_evicted() {
    let (world, archive) = (World::new(), Archive::new());
    let (_, beside) = archive.beside();
    let engine = world.start_with(beside).engine;
    let id = archived(&engine).await;
    {
        // The same id, by a server that knows nothing of the archive.
        let other = World::new();
        let alone = other.start().engine;
        assert_eq!(full(&alone).await, id);
        let vault: VaultId = id.parse().unwrap();
        let mut stage = world.vaults.stage(&vault).unwrap();
        let mut manifest = other.vaults.manifest(&vault).unwrap();
        manifest.files = vec![stage.put(&"archive.zst".parse().unwrap(), b"another").unwrap()];
        stage.commit(&manifest).unwrap();
    }
    assert_eq!(engine.list().await.unwrap(), [&*id]);
    let told = described(&engine, &id).await;
    assert!(
        told.damage
            .as_ref()
            .unwrap()
            .contains("default, archive each have a backup with this id"),
        "{told:?}"
    );
    world.pass(1_000 * DAY);
    assert_eq!(engine.evict(false).await.unwrap()[0].action, Action::Keep);
    assert!(engine.evict_one(&id).await.is_err());
    assert_eq!(
        (world.vaults.ids().unwrap().len(), archive.0.ids().unwrap().len()),
        (1, 1)
    );
}

#[tokio::test]
async fn a_backup_that_cannot_be_listed_is_not_taken_for_gone_when_it_is_asked_for_next() {
    let (world, archive) = (World::new(), Archive::new());
    let (faulty, beside) = archive.beside();
    let engine = world.start_with(beside).engine;
    let id = archived(&engine).await;
    faulty.plan(VaultCall::Manifest, 1, VaultFault::Fail);
    assert!(engine.describe(&id).await.is_err());
    assert!(described(&engine, &id).await.is_valid());
}
