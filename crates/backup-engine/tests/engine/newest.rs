//! What health says of the newest backup where nothing can be told of some, and of what is left of others.

use std::fs;
use std::sync::Arc;

use backup_engine::{BackupState, Engine};
use health_metrics::{BackupOutcome, Problem, Status, StorageProbe, StorageUsage};
use vault_store::{FsStore, Manifest, Mode, Outcome, VaultId, VaultStore as _};

use super::support::{HOUR, World, described, full};

/// The newest, how it ended, and what is said of it.
async fn newest(engine: &Engine) -> (String, BackupOutcome, Vec<String>) {
    let health = engine.health().await;
    let newest = health.storage.newest.unwrap();
    let of_newest = |problem: &&Problem| {
        matches!(
            problem,
            Problem::NewestBackupFailed { .. } | Problem::NewestBackupUnknown { .. }
        )
    };
    let told = health.problems.iter().filter(of_newest);
    (newest.id, newest.outcome, told.map(ToString::to_string).collect())
}

async fn format(engine: &Engine, id: &str) -> Option<u64> {
    match described(engine, id).await.state {
        BackupState::Unreadable { format, .. } => format,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_of_a_later_version_has_not_failed() {
    let world = World::new();
    full(&world.start().engine).await;
    let id: VaultId = "20261121T020000".parse().unwrap();
    let later = Manifest {
        version: 9,
        ..Manifest::new(&id, Mode::Hierarchical, id.time(), Outcome::Complete)
    };
    world.vaults.stage(&id).unwrap().commit(&later).unwrap();
    world.pass(HOUR);
    let engine = world.start().engine;
    let (found, outcome, told) = newest(&engine).await;
    assert_eq!(found, id.to_string());
    assert!(matches!(outcome, BackupOutcome::Unknown(_)), "{outcome:?}");
    let words = format!("nothing can be told of the newest backup {id}: ");
    assert!(
        told.len() == 1 && told[0].starts_with(&words) && told[0].contains("version 9"),
        "{told:?}"
    );
    assert_eq!(format(&engine, id.as_str()).await, Some(9));
}

#[tokio::test]
async fn what_was_removed_and_is_still_there_is_a_problem() {
    #[derive(Debug)]
    struct Full;
    impl StorageProbe for Full {
        fn usage(&self) -> std::io::Result<Option<StorageUsage>> {
            Ok(None)
        }

        fn left_over(&self) -> Vec<String> {
            vec!["removed-1/a: denied".to_owned()]
        }
    }
    let world = World::new();
    let engine = world
        .start_with(|builder| builder.storage_probe(Arc::new(Full)))
        .engine;
    let health = engine.health().await;
    let told = Problem::LeftOver("removed-1/a: denied".to_owned());
    assert!(health.problems.contains(&told), "{:?}", health.problems);
    assert_eq!(health.status(), Status::Warning);
}

#[tokio::test]
async fn a_directory_without_a_manifest_is_damaged_and_not_the_newest() {
    let world = World::new();
    let place = tempfile::tempdir().unwrap();
    let store = Arc::new(FsStore::open(place.path()).unwrap());
    let engine = world.start_with(|builder| builder.vaults(store)).engine;
    let id = full(&engine).await;
    let planted = "20300101T000000";
    fs::create_dir(place.path().join(planted)).unwrap();
    let (found, outcome, told) = newest(&engine).await;
    assert_eq!((found, outcome, told), (id, BackupOutcome::Successful, vec![]));
    let damaged = |problem: &Problem| matches!(problem, Problem::DamagedBackup { id, .. } if id == planted);
    assert!(engine.health().await.problems.iter().any(damaged));
    assert_eq!(format(&engine, planted).await, None);
}
