//! Copies that have become damaged: verifications read them, tell, and have them made anew.

use std::time::Duration;

use backup_engine::{Engine, JobInfo, JobResult, JobState, Share, VerifyRequest, VerifyResult};
use health_metrics::{Problem, Status};
use vault_store::{MemoryStore, StoredCopy, VaultCall, VaultFault, VaultStore};

use super::damaged::{ARCHIVE, contents, damage};
use super::{Twice, copies, id};
use crate::support::{Running, described, done, full};

async fn verify(engine: &Engine, vault: Option<&str>, share: Share) -> (JobInfo, VerifyResult) {
    let request = VerifyRequest {
        vault: vault.map(str::to_owned),
        share,
    };
    let task = engine.verify(request).await.unwrap();
    let job = done(engine, &task).await;
    match job.outcome() {
        Ok(JobResult::Verify(found)) => (job, *found),
        other => panic!("{other:?}"),
    }
}

fn archive(store: &MemoryStore, vault: &str) -> Vec<u8> {
    contents(&*store.open(&id(vault), &ARCHIVE).unwrap())
}

#[tokio::test]
async fn a_verification_finds_a_copy_that_is_damaged_which_is_made_anew() {
    let twice = Twice::new();
    let (Running { engine, .. }, _) = twice.start();
    let backup = full(&engine).await;
    let (job, alone) = verify(&engine, Some(&backup), Share::ALL).await;
    assert_eq!((job.status, alone.copies), (JobState::Successful, 0));
    engine.copy_vaults().await.unwrap();
    let (job, both) = verify(&engine, Some(&backup), Share::ALL).await;
    assert_eq!(
        (job.status, both.copies, both.damaged_copies),
        (JobState::Successful, 1, 0)
    );
    assert_eq!(both.bytes, 2 * alone.bytes, "both were read");

    damage(&twice.copies, &backup);
    let (job, found) = verify(&engine, Some(&backup), Share::ALL).await;
    assert_eq!(job.status, JobState::Failed);
    let why = job.message.clone().unwrap_or_default();
    let said = format!("the second copy of backup {backup} is damaged: archive.zst, frame 0: ");
    assert!(
        why.contains(&said) && why.contains("the backup is sound"),
        "{why}"
    );
    assert_eq!((found.vaults, found.damaged_vaults), (1, 0));
    assert_eq!((found.copies, found.damaged_copies), (1, 1));
    assert_eq!(found.copies_damaged[0].id, id(&backup));
    assert_eq!(found.copies_damaged[0].damage[0].file, "archive.zst");
    let info = described(&engine, &backup).await;
    assert!(
        info.is_valid() && info.copy == Some(StoredCopy::First),
        "{info:?}"
    );
    let health = engine.health().await;
    let told = |problem: &Problem| matches!(problem, Problem::SecondCopyDamaged { id, .. } if *id == backup);
    assert!(health.problems.iter().any(told), "{:?}", health.problems);
    assert_eq!(health.status(), Status::Warning);
    let metrics = engine.metrics().await.unwrap();
    for line in ["zk_backup_secondary_damaged 1", "zk_backup_secondary_lacking 1"] {
        assert!(metrics.lines().any(|known| known == line), "{line}: {metrics}");
    }

    engine.copy_vaults().await.unwrap();
    assert_eq!(
        archive(&twice.copies, &backup),
        archive(&twice.world.vaults, &backup)
    );
    assert_eq!(copies(&engine).await.damaged, 0);
    assert_eq!(
        verify(&engine, Some(&backup), Share::ALL).await.0.status,
        JobState::Successful
    );
    assert_eq!(engine.health().await.status(), Status::Up);
}

#[tokio::test]
async fn a_copy_that_is_damaged_elsewhere_than_the_first_is_told_and_stays() {
    let twice = Twice::new();
    let (Running { engine, .. }, faulty) = twice.start();
    let backup = full(&engine).await;
    engine.copy_vaults().await.unwrap();
    damage(&twice.copies, &backup);
    let rotten = archive(&twice.copies, &backup);
    damage(&twice.world.vaults, &backup);
    let (job, found) = verify(&engine, None, Share::ALL).await;
    assert_eq!((found.damaged_vaults, found.damaged_copies), (1, 1));
    let why = job.message.unwrap_or_default();
    assert!(why.contains("so is its second copy"), "{why}");
    for _ in 0..2 {
        assert!(engine.copy_vaults().await.is_err());
    }
    assert_eq!(archive(&twice.copies, &backup), rotten);
    // Both were read for nothing: neither is again for a while.
    faulty.plan(VaultCall::Open, 1, VaultFault::Fail);
    let error = engine.copy_vaults().await.unwrap_err().to_string();
    assert!(error.contains("could not be copied 2 times"), "{error}");
    assert_eq!(faulty.left(), 1);
    twice.world.pass(Duration::from_secs(301));
    assert!(engine.copy_vaults().await.is_err());
    assert_eq!(faulty.left(), 0, "it is tried again");
}

#[tokio::test]
async fn a_share_is_one_of_the_bytes_of_copies_as_well_and_one_that_is_away_fails_nothing() {
    let twice = Twice::new();
    let (Running { engine, .. }, faulty) = twice.start();
    let older = full(&engine).await;
    engine.copy_vaults().await.unwrap();
    full(&engine).await;
    // With its copy it is two of three.
    let (_, first) = verify(&engine, None, "60%".parse().unwrap()).await;
    assert_eq!((first.vaults, first.copies), (1, 1));
    assert!(described(&engine, &older).await.verified_at.is_some());
    faulty.plan(VaultCall::Open, 1, VaultFault::Fail);
    let (job, away) = verify(&engine, Some(&older), Share::ALL).await;
    assert_eq!(
        (job.status, away.vaults, away.copies),
        (JobState::Successful, 1, 0)
    );
    assert_eq!(faulty.left(), 0);
    assert_eq!(copies(&engine).await.damaged, 0);
}
