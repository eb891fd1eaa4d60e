//! Commands after jobs that end in other ways than by themselves.

use std::path::Path;
use std::time::Duration;

use backup_engine::{BackupRequest, Hook, Hooks, JobState};
use health_metrics::Problem;
use job_queue::{JobCall, JobFault, JobStore as _};
use vault_store::Outcome;

use super::support::{World, described, gate, job, run};

fn after(script: String) -> Hooks {
    let hook = Hook {
        name: "HOOK_AFTER".to_owned(),
        program: "/bin/sh".to_owned(),
        arguments: vec!["-c".to_owned(), script],
    };
    Hooks {
        after: Some(hook),
        timeout: Duration::from_mins(10),
        ..Hooks::default()
    }
}

async fn exists(file: &Path) {
    let there = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let soon = tokio::time::timeout(Duration::from_mins(1), there).await;
    soon.unwrap();
}

#[tokio::test]
async fn a_job_that_panics_has_its_hook_and_its_end_is_told() {
    let (world, place) = (World::new(), tempfile::tempdir().unwrap());
    let said = place.path().join("said");
    let script = format!("echo $job_status $job_message >{}", said.display());
    let engine = world.start_with(|builder| builder.hooks(after(script))).engine;
    let mut watch = engine.watch_all();
    world.ensemble.panic();
    let id = engine.backup(BackupRequest::default()).await.unwrap();
    assert!(engine.step().await.unwrap());
    let ended = job(&engine, &id).await;
    assert_eq!(
        (ended.status, ended.message.as_deref()),
        (
            JobState::Failed,
            Some("the job ended abnormally: it was to panic")
        )
    );
    let text = std::fs::read_to_string(&said).unwrap();
    assert_eq!(text, "Failed the job ended abnormally: it was to panic\n");
    assert_eq!(watch.next().await.unwrap(), [ended]);

    // It is listed and counted as any that failed.
    let left = described(&engine, &id).await;
    let why = "the job ended abnormally: it was to panic";
    let outcome = left.manifest().map(|manifest| manifest.outcome.clone());
    assert_eq!(
        outcome,
        Some(Outcome::Failed {
            reason: why.to_owned()
        })
    );
    let told = engine.health().await.problems;
    assert!(
        told.iter()
            .any(|problem| matches!(problem, Problem::NewestBackupFailed { reason, .. } if reason == why)),
        "{told:?}"
    );
    let counted = engine.metrics().await.unwrap();
    assert!(
        counted.contains("\nzk_backup_backup_failures_total{mode=\"hierarchical\"} 1\n"),
        "{counted}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_of_a_job_is_kept_though_its_hook_does_not_end_before_the_engine() {
    let (world, place) = (World::new(), tempfile::tempdir().unwrap());
    let begun = place.path().join("begun");
    let script = format!("touch {}; sleep 1000", begun.display());
    let engine = world.start_with(|builder| builder.hooks(after(script))).engine;
    let (stop, running) = run(&engine);
    let id = engine.backup(BackupRequest::default()).await.unwrap();
    exists(&begun).await;
    drop(stop);
    let ended = tokio::time::timeout(Duration::from_mins(1), running).await;
    ended.unwrap().unwrap();
    let ended = job(&engine, &id).await;
    assert_eq!(
        (ended.status, ended.message.as_deref()),
        (
            JobState::Successful,
            Some("HOOK_AFTER was given up, as the process ends")
        )
    );
}

/// Whoever fails it counts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_was_stored_and_is_somebody_elses_to_end_is_not_counted() {
    for is_lost in [false, true] {
        let (world, place) = (World::new(), tempfile::tempdir().unwrap());
        let (begun, go) = (place.path().join("begun"), place.path().join("go"));
        let script = format!(
            "touch {}; while [ ! -e {} ]; do sleep 0.01; done",
            begun.display(),
            go.display()
        );
        let soon = Duration::from_millis(2);
        let running = world.start_with(|builder| {
            builder
                .hooks(after(script))
                .renewal(soon, Duration::from_hours(1))
        });
        let engine = running.engine;
        engine.backup(BackupRequest::default()).await.unwrap();
        let working = tokio::spawn({
            let engine = engine.clone();
            async move { engine.step().await.unwrap() }
        });
        exists(&begun).await;
        assert_eq!(engine.list().await.unwrap().len(), 1, "it is stored");
        if is_lost {
            let later = world.now() + Duration::from_mins(1);
            assert_eq!(world.jobs.recover("other", Some(later), later).unwrap().len(), 1);
        } else {
            std::fs::write(&go, "").unwrap();
        }
        assert!(working.await.unwrap());
        let metrics = engine.metrics().await.unwrap();
        let counted = format!(
            "zk_backup_backups_total{{mode=\"hierarchical\"}} {}\n",
            u8::from(!is_lost)
        );
        assert!(metrics.contains(&counted), "{is_lost}: {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_somebody_elses_to_end_has_no_hook_here() {
    let (world, place) = (World::new(), tempfile::tempdir().unwrap());
    let begun = place.path().join("begun");
    let script = format!("touch {}", begun.display());
    let running = world.start_with(|builder| {
        let soon = Duration::from_millis(2);
        builder
            .hooks(after(script))
            .renewal(soon, Duration::from_hours(1))
    });
    let (engine, (mut gate, wait)) = (running.engine, gate());
    world.ensemble.keep_waiting(true);
    running.jobs.plan(JobCall::Renew, 1, JobFault::Delay(wait));
    let id = engine.backup(BackupRequest::default()).await.unwrap();
    let working = tokio::spawn({
        let engine = engine.clone();
        async move { engine.step().await.unwrap() }
    });
    gate.reached().await;
    let later = world.now() + Duration::from_mins(1);
    assert_eq!(world.jobs.recover("other", Some(later), later).unwrap().len(), 1);
    drop(gate);
    assert!(working.await.unwrap());
    assert_eq!(job(&engine, &id).await.message.as_deref(), Some("interrupted"));
    assert!(!begun.exists());
}
