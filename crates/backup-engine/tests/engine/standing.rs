//! What failed and partial backups are worth to whoever lists, chooses, evicts or goes on from them.

use std::sync::Arc;

use backup_engine::{
    BackupRequest, Engine, EngineError, JobState, Page, RestoreRequest, RestoreSource, ZnodeStep,
};
use vault_store::{Outcome, Recipients, SealedStore, VaultCall, VaultFault};
use zk_snapshot::tree::{Acl, ZnodePath};

use super::support::{DAY, HOUR, Running, World, backed_up, described, done, full, ms, of, restored, walked};

/// Which backup a restore by time is of.
async fn chosen(engine: &Engine, source: RestoreSource) -> Option<String> {
    let request = RestoreRequest {
        source,
        dry_run: true,
        ..RestoreRequest::of("")
    };
    match engine.restore(request).await {
        Ok(task) => {
            let job = done(engine, &task).await;
            assert_eq!(job.status, JobState::Successful, "{job:?}");
            Some(job.vault)
        }
        Err(EngineError::BackupNotFound(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

async fn ts(engine: &Engine, id: &str) -> i64 {
    ms(&described(engine, id).await)
}

#[tokio::test]
async fn how_much_is_stored_is_not_told_where_that_is_not_known() {
    let world = World::new();
    let running = world.start();
    full(&running.engine).await;
    for is_away in [true, false] {
        if is_away {
            running.vaults.plan(VaultCall::Ids, 1, VaultFault::Fail);
        }
        let metrics = running.engine.metrics().await.unwrap();
        for name in ["backup_storage_dump_count 1\n", "backup_storage_size "] {
            assert_eq!(metrics.contains(name), !is_away, "{metrics}");
        }
        assert!(
            !is_away || !metrics.contains("\nbackup_storage_dump_count"),
            "{metrics}"
        );
    }
}

#[tokio::test]
async fn a_failed_backup_is_listed_and_never_chosen() {
    let world = World::new();
    let Running { engine, vaults, .. } = world.start();
    let good = full(&engine).await;
    world.pass(HOUR);
    vaults.plan(VaultCall::Create, 1, VaultFault::Fail);
    let (failed, job) = backed_up(&engine, BackupRequest::default()).await;
    assert_eq!(job.status, JobState::Failed);
    world.pass(HOUR);
    assert_eq!(engine.list().await.unwrap(), [good.clone(), failed.clone()]);
    let info = described(&engine, &failed).await;
    assert!(
        !info.is_valid() && !info.is_pending() && info.is_evictable(),
        "{info:?}"
    );
    let manifest = info.manifest().unwrap();
    assert!(matches!(manifest.outcome, Outcome::Failed { .. }) && !manifest.is_granular());
    assert_eq!(manifest.reason(), job.message.as_deref());

    let at = ts(&engine, &failed).await;
    assert_eq!(at, ts(&engine, &good).await + 3_600_000);
    let before = chosen(&engine, RestoreSource::Before(at)).await;
    assert_eq!(before.as_deref(), Some(&*good));
    assert_eq!(chosen(&engine, RestoreSource::Since(at)).await, None);
    let job = restored(&engine, &failed).await;
    assert_eq!(job.status, JobState::Failed);
    assert!(job.message.unwrap().contains("nothing to restore"));
    let page = Page { offset: 0, limit: 9 };
    let refused = engine.znodes(&failed, ZnodePath::root(), page).await;
    assert!(matches!(refused, Err(EngineError::Invalid(_))), "{refused:?}");
    let next = full(&engine).await;
    let since = chosen(&engine, RestoreSource::Since(at)).await;
    assert_eq!(since.as_deref(), Some(&*next));
    // It knows no ACLs: those of the one before it are reused.
    assert_eq!(walked(&described(&engine, &next).await).acls.unwrap().reused, 3);
}

#[tokio::test]
async fn a_partial_backup_is_as_good_as_was_asked_for() {
    let world = World::new();
    let engine = world.start().engine;
    world.tree.put("/secret", b"s", Acl::open()).unwrap();
    world.ensemble.deny("/secret");
    let mut ids = Vec::new();
    for (allow_partial, state) in [(false, JobState::Failed), (true, JobState::Successful)] {
        let request = BackupRequest {
            allow_partial,
            ..BackupRequest::default()
        };
        let (id, job) = backed_up(&engine, request).await;
        assert_eq!(job.status, state, "{job:?}");
        let info = described(&engine, &id).await;
        assert_eq!(info.is_valid(), allow_partial);
        let manifest = info.manifest().unwrap();
        assert!(manifest.is_partial() && manifest.reason().unwrap().contains("/secret"));
        assert_eq!(walked(&info).skipped.unreadable_paths, ["/secret"]);
        let at = ms(&info);
        let found = chosen(&engine, RestoreSource::Before(at)).await;
        assert_eq!(found, allow_partial.then(|| id.clone()));
        ids.push(id);
        world.pass(HOUR);
    }
    assert_eq!(engine.list().await.unwrap(), ids);
    // What it has is known to the next one, whatever the lack is called.
    assert_eq!(walked(&described(&engine, &ids[1]).await).acls.unwrap().reused, 3);
    // By name it may be restored, which says what it lacks and leaves that alone.
    world.tree.put("/a", b"two", Acl::open()).unwrap();
    let job = restored(&engine, &ids[0]).await;
    assert_eq!(job.result["partial"], true, "{job:?}");
    let notes = job.result["notes"].to_string();
    assert!(
        notes.contains("the backup is partial: 1 znodes could not be read in full"),
        "{notes}"
    );
    assert_eq!(world.tree.data("/a").unwrap(), b"one");
    assert_eq!(world.tree.data("/secret").unwrap(), b"s");
}

#[tokio::test]
async fn what_failed_or_lacks_something_stands_in_for_no_good_one() {
    let world = World::new();
    let engine = world.start().engine;
    let (good, job) = (full(&engine).await, JobState::Failed);
    world.pass(HOUR);
    let pinned = BackupRequest {
        pinned: true,
        ..of(&["/none"])
    };
    let (kept, pinned) = backed_up(&engine, pinned).await;
    let (failed, granular) = backed_up(&engine, of(&["/none"])).await;
    world.tree.put("/secret", b"s", Acl::open()).unwrap();
    world.ensemble.deny("/secret");
    let (partial, lacking) = backed_up(&engine, BackupRequest::default()).await;
    assert_eq!([pinned.status, granular.status, lacking.status], [job, job, job]);
    engine.evict(false).await.unwrap();
    let all = [&good, &kept, &failed, &partial].map(Clone::clone);
    assert_eq!(engine.list().await.unwrap(), all, "all are of today, and by hand");
    world.pass(2 * DAY);
    assert!(described(&engine, &failed).await.is_evictable());
    assert!(!described(&engine, &kept).await.is_evictable());
    engine.evict(false).await.unwrap();
    assert_eq!(engine.list().await.unwrap(), [good, kept]);
}

/// What a backup could not read, or nobody can open, is not told to be removed.
#[tokio::test]
async fn a_history_tells_of_no_removal_that_nobody_has_seen() {
    let world = World::new();
    let engine = world.start().engine;
    full(&engine).await;
    world.pass(HOUR);
    world.ensemble.deny("/b");
    let request = BackupRequest {
        allow_partial: true,
        ..BackupRequest::default()
    };
    let (partial, job) = backed_up(&engine, request).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    world.pass(HOUR);
    let recipients: Recipients = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa"
        .parse()
        .unwrap();
    let seal = move |below| Arc::new(SealedStore::new(below, recipients.clone(), None)) as _;
    let engine = world.start_with(|builder| builder.around_vaults(seal)).engine;
    let (sealed, _) = backed_up(&engine, of(&["/a"])).await;

    let path = ZnodePath::parse("/b/c").unwrap();
    let history = engine.history(path, Page { offset: 0, limit: 9 }).await.unwrap();
    let steps: Vec<_> = history.changes.iter().map(|at| at.change).collect();
    assert_eq!(steps, [ZnodeStep::First]);
    let [unread, closed] = &history.not_looked[..] else {
        panic!("{history:?}")
    };
    assert_eq!((unread.id.to_string(), closed.id.to_string()), (partial, sealed));
    assert_eq!(unread.why, "it could not read what is above it");
    assert!(closed.why.contains("is sealed"), "{}", closed.why);
}
