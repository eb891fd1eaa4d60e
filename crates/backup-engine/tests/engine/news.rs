//! What others are to be told of, and jobs that are followed together.

use std::sync::Arc;
use std::time::Duration;

use backup_engine::{BackupRequest, Engine, JobState, News, VerifyRequest};
use job_queue::{JobCall, JobFault, JobStore, MemoryJobs, NewJob, Note, Outcome};
use vault_store::{VaultCall, VaultFault};

use super::support::{HOUR, Running, World, full, gate};

async fn ids(outbox: &mut backup_engine::Outbox) -> Vec<String> {
    let owed = outbox.owed().await.unwrap();
    owed.iter().map(News::id).collect()
}

#[tokio::test]
async fn the_end_of_a_job_is_owed_until_it_was_told_whatever_ends_the_process() {
    let world = World::new();
    let first = world.start_with(|builder| builder.keep_news(true)).engine;
    let id = full(&first).await;
    world.pass(HOUR);
    let second = full(&first).await;
    let both = [format!("job/{id}"), format!("job/{second}")];
    assert_eq!(ids(&mut first.outbox()).await, both);
    drop(first);

    let again = world.start_with(|builder| builder.keep_news(true)).engine;
    let mut outbox = again.outbox();
    let owed = outbox.owed().await.unwrap();
    let News::JobEnded(job) = &owed[0] else {
        panic!("{owed:?}")
    };
    assert_eq!((&*job.id, job.status), (&*id, JobState::Successful));
    outbox.delivered(&owed[0]).await.unwrap();
    assert_eq!(ids(&mut outbox).await, both[1..]);

    // One that a crash cut off is told, too.
    world.pass(HOUR);
    let cut = again.backup(BackupRequest::default()).await.unwrap();
    world
        .jobs
        .claim("engine", job_queue::MAIN_LANE, world.now())
        .unwrap();
    assert_eq!(ids(&mut outbox).await, both[1..], "it has not ended");
    // Also where it could not be noted when it began.
    let third = world.start_with(|builder| builder.keep_news(true)).engine;
    assert_eq!(
        ids(&mut third.outbox()).await,
        [both[1].clone(), format!("job/{cut}")]
    );
    // Without anybody to be told nothing is noted.
    world.pass(HOUR);
    let fourth = world.start().engine;
    full(&fourth).await;
    assert_eq!(ids(&mut fourth.outbox()).await.len(), 2);
}

#[tokio::test]
async fn a_job_that_could_not_be_noted_is_told_once_the_storage_works_again() {
    let world = World::new();
    let running = world.start_with(|builder| builder.keep_news(true));
    let mut outbox = running.engine.outbox();
    // When it begins, when it ends, and when it is to be told.
    for nth in 1..=3 {
        running.jobs.plan(JobCall::PutNotes, nth, JobFault::Fail);
    }
    let first = full(&running.engine).await;
    assert!(outbox.owed().await.is_err());
    let owed = outbox.owed().await.unwrap();
    assert_eq!(owed[0].id(), format!("job/{first}"));
    // What nobody hears is not read again.
    running.jobs.plan(JobCall::Get, 1, JobFault::Fail);
    assert_eq!(outbox.owed().await.unwrap(), owed);
    outbox.delivered(&owed[0]).await.unwrap();
    assert!(ids(&mut outbox).await.is_empty());
    assert_eq!(running.jobs.left(), 1);
}

#[tokio::test]
async fn a_job_that_was_cut_off_is_told_wherever_the_process_ended() {
    let world = World::new();
    let started = || world.builder().0.keep_news(true).build();
    // Before it was noted that it is to be told, and again when it had just been failed.
    let claimed = |id: &str| {
        let claimed = world.jobs.claim("engine", job_queue::MAIN_LANE, world.now());
        assert_eq!(claimed.unwrap().unwrap().id, id);
    };
    let first = started().unwrap();
    let cut = first.backup(BackupRequest::default()).await.unwrap();
    claimed(&cut);
    let (builder, _, jobs) = world.builder();
    jobs.plan(JobCall::Recover, 1, JobFault::LoseAnswer);
    drop(builder.keep_news(true).build().unwrap()); // whatever fails, it starts
    let engine = started().unwrap();
    assert_eq!(ids(&mut engine.outbox()).await, [format!("job/{cut}")]);

    // It is not failed as long as that cannot be noted.
    world.pass(HOUR);
    let second = engine.backup(BackupRequest::default()).await.unwrap();
    claimed(&second);
    let (builder, _, jobs) = world.builder();
    jobs.plan(JobCall::PutNotes, 1, JobFault::Fail);
    drop(builder.keep_news(true).build().unwrap()); // whatever fails, it starts
    let Running { engine, jobs, .. } = world.start_with(|builder| builder.keep_news(true));
    let both = [&cut, &second].map(|id| format!("job/{id}"));
    assert_eq!(ids(&mut engine.outbox()).await, both);

    // A claim whose answer is lost is found by the next step.
    world.pass(HOUR);
    let third = engine.backup(BackupRequest::default()).await.unwrap();
    jobs.plan(JobCall::Claim, 1, JobFault::LoseAnswer);
    assert!(engine.step().await.is_err());
    assert!(!engine.step().await.unwrap());
    let owed = engine.outbox().owed().await.unwrap();
    assert_eq!(owed[2].id(), format!("job/{third}"));
}

#[tokio::test]
async fn what_is_owed_is_told_also_once_jobs_are_shared() {
    let world = World::new();
    let engine = world.start_with(|builder| builder.keep_news(true)).engine;
    let ended = full(&engine).await;
    let as_told_here = engine.job(&ended).await.unwrap().unwrap();
    world.pass(HOUR);
    let cut = engine.backup(BackupRequest::default()).await.unwrap();
    world
        .jobs
        .claim("engine", job_queue::MAIN_LANE, world.now())
        .unwrap();
    drop(engine);

    let shared: Arc<dyn JobStore> = Arc::new(MemoryJobs::new());
    let (builder, ..) = world.builder();
    let builder = builder.keep_news(true).shared_jobs(Arc::clone(&shared)).unwrap();
    let engine = builder.build().unwrap();
    assert_eq!(world.jobs.notes().unwrap(), []);
    let mut outbox = engine.outbox();
    let owed = outbox.owed().await.unwrap();
    let [News::JobEnded(first), News::JobEnded(second)] = &*owed else {
        panic!("{owed:?}")
    };
    assert_eq!(**first, as_told_here);
    assert_eq!(
        (&second.id, second.message.as_deref()),
        (&cut, Some("interrupted"))
    );
    for news in &owed {
        outbox.delivered(news).await.unwrap();
    }
    // One that is damaged keeps nothing waiting.
    shared.put_notes(&[Note::new("x", "news", "{")]).unwrap();
    assert!(ids(&mut outbox).await.is_empty());
    assert_eq!(shared.notes().unwrap(), []);
}

/// What the metrics say is owed, and for how long the oldest is.
async fn debt(engine: &Engine) -> Option<(u64, Option<u64>)> {
    let webhook = engine.health().await.webhook?;
    Some((webhook.owed, webhook.oldest.map(|oldest| oldest.as_secs())))
}

#[tokio::test]
async fn how_much_is_owed_rises_while_nobody_hears_and_falls_as_it_is_told() {
    let world = World::new();
    assert_eq!(debt(&world.start().engine).await, None, "nobody is to be told");
    let engine = world.start_with(|builder| builder.keep_news(true)).engine;
    let mut outbox = engine.outbox();
    assert_eq!(debt(&engine).await, Some((0, None)));
    full(&engine).await;
    let owed = outbox.owed().await.unwrap();
    world.pass(HOUR);
    assert_eq!(debt(&engine).await, Some((1, Some(3_600))));
    // What comes later is counted where it is not asked for.
    full(&engine).await;
    outbox.changed().await;
    outbox.count().await.unwrap();
    assert_eq!(debt(&engine).await, Some((2, Some(3_600))));
    outbox.delivered(&owed[0]).await.unwrap();
    let owed = outbox.owed().await.unwrap();
    world.pass(HOUR);
    assert_eq!(debt(&engine).await, Some((1, Some(3_600))));
    outbox.delivered(&owed[0]).await.unwrap();
    assert_eq!(debt(&engine).await, Some((0, None)));

    // More than are read at once are all counted.
    for nth in 0..150 {
        let job = NewJob::new(format!("job-{nth:03}"), "backup");
        world.jobs.enqueue(job, world.now(), usize::MAX).unwrap();
        world
            .jobs
            .claim("other", job_queue::MAIN_LANE, world.now())
            .unwrap();
        let id = format!("job-{nth:03}");
        world
            .jobs
            .finish(&id, Outcome::failure("no"), world.now())
            .unwrap();
        world.jobs.put_notes(&[Note::new(&id, "news", "")]).unwrap();
    }
    assert_eq!(outbox.owed().await.unwrap().len(), 100);
    assert_eq!(debt(&engine).await, Some((150, Some(0))));
}

#[tokio::test]
async fn that_it_is_not_known_what_is_owed_is_told_for_how_long() {
    let world = World::new();
    let Running { engine, jobs, .. } = world.start_with(|builder| builder.keep_news(true));
    let mut outbox = engine.outbox();
    jobs.plan(JobCall::Notes, 1, JobFault::Fail);
    assert!(outbox.owed().await.is_err());
    assert_eq!(jobs.left(), 0);
    world.pass(HOUR);
    assert_eq!(debt(&engine).await, Some((0, Some(3_600))));
    assert!(ids(&mut outbox).await.is_empty());
    assert_eq!(debt(&engine).await, Some((0, None)));
}

#[tokio::test]
async fn what_was_counted_and_could_not_be_read_is_owed_since_then() {
    let world = World::new();
    let Running { engine, jobs, .. } = world.start_with(|builder| builder.keep_news(true));
    let mut outbox = engine.outbox();
    full(&engine).await;
    jobs.plan(JobCall::Get, 1, JobFault::Fail);
    assert!(outbox.owed().await.is_err());
    assert_eq!(jobs.left(), 0);
    outbox.count().await.unwrap();
    world.pass(HOUR);
    outbox.count().await.unwrap();
    assert_eq!(debt(&engine).await, Some((1, Some(3_600))));

    // What was heard is owed until that is noted.
    let owed = outbox.owed().await.unwrap();
    jobs.plan(JobCall::DropNotes, 1, JobFault::Fail);
    assert!(outbox.delivered(&owed[0]).await.is_err());
    world.pass(HOUR);
    assert_eq!(debt(&engine).await, Some((1, Some(7_200))));
    assert_eq!(outbox.owed().await.unwrap(), owed);
    outbox.delivered(&owed[0]).await.unwrap();
    assert_eq!(debt(&engine).await, Some((0, None)));
}

/// Ids are times, and each server has had its own.
#[tokio::test]
async fn of_two_jobs_of_one_id_the_one_that_others_owe_is_told() {
    let world = World::new();
    let engine = world.start_with(|builder| builder.keep_news(true)).engine;
    let id = full(&engine).await;
    drop(engine);
    let shared: Arc<dyn JobStore> = Arc::new(MemoryJobs::new());
    let theirs = [Note::new(&id, "news", "")];
    shared.put_notes(&theirs).unwrap();
    let builder = world.builder().0.keep_news(true);
    drop(builder.shared_jobs(Arc::clone(&shared)).unwrap());
    assert_eq!(shared.notes().unwrap(), theirs);
    assert_eq!(world.jobs.notes().unwrap(), []);
}

#[tokio::test]
async fn damage_is_owed_once_and_a_storage_that_is_away_is_none() {
    let world = World::new();
    let Running { engine, vaults, .. } = world.start();
    let id = full(&engine).await;
    let mut outbox = engine.outbox();
    assert!(ids(&mut outbox).await.is_empty());
    vaults.plan(VaultCall::Ids, 1, VaultFault::Fail);
    assert!(ids(&mut outbox).await.is_empty());

    let request = VerifyRequest {
        vault: Some(id.clone()),
        ..VerifyRequest::default()
    };
    let damaged = vault_store::Damage {
        file: "archive.zst".to_owned(),
        frame: None,
        what: "it is spoilt".to_owned(),
    };
    let found = vault_store::Verification::new(world.now(), vec![damaged]);
    let vault = id.parse().unwrap();
    vault_store::VaultStore::record_verification(&vaults, &vault, &found).unwrap();
    let started = world.start().engine;
    let mut outbox = started.outbox();
    let owed = outbox.owed().await.unwrap();
    assert!(
        matches!(&*owed, [News::DamageFound { backup, damage, .. }] if *backup == vault && damage.contains("spoilt")),
        "{owed:?}"
    );
    outbox.delivered(&owed[0]).await.unwrap();
    assert!(ids(&mut outbox).await.is_empty());

    // Nor is it news after a look that failed.
    drop(started);
    let Running {
        engine: started,
        vaults,
        ..
    } = world.start();
    let mut outbox = started.outbox();
    vaults.plan(VaultCall::Verification, 1, VaultFault::Fail);
    assert!(ids(&mut outbox).await.is_empty());
    assert_eq!(vaults.left(), 0);
    assert!(ids(&mut outbox).await.is_empty(), "it was told");

    // It was a fault of the reading: once it is found sound, damage would be news again.
    started.verify(request).await.unwrap();
    assert!(started.step().await.unwrap());
    assert!(ids(&mut outbox).await.is_empty());
    // Who goes by ids takes it for another one, and it has that for as long as it is owed.
    world.pass(HOUR);
    let found = vault_store::Verification::new(world.now(), found.damage.clone());
    vault_store::VaultStore::record_verification(&vaults, &vault, &found).unwrap();
    drop(started);
    let started = world.start().engine;
    for mut outbox in [started.outbox(), started.outbox()] {
        assert_eq!(ids(&mut outbox).await, [format!("damage/{id}/1")]);
    }
    // Nothing is kept of a backup that is gone.
    started.evict_one(&id).await.unwrap();
    assert!(ids(&mut started.outbox()).await.is_empty());
    assert_eq!(world.jobs.notes().unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_followed_from_begin_to_end_and_none_is_missed() {
    let world = World::new();
    let Running { engine, vaults, .. } = world.start();
    let mut watch = engine.watch_all();
    let quick = full(&engine).await;
    let told = watch.next().await.unwrap();
    assert_eq!((&*told[0].id, told[0].status), (&*quick, JobState::Successful));

    world.pass(HOUR);
    let (mut gate, wait) = gate();
    vaults.plan(VaultCall::Commit, 1, VaultFault::Delay(wait));
    let id = engine.backup(BackupRequest::default()).await.unwrap();
    let working = tokio::spawn({
        let engine = engine.clone();
        async move { engine.step().await.unwrap() }
    });
    gate.reached().await;
    let told = watch.next().await.unwrap();
    assert_eq!((&*told[0].id, told[0].status), (&*id, JobState::Processing));
    // Whoever comes later hears of what is being done.
    let mut late = engine.watch_all();
    let told = late.next().await.unwrap();
    assert_eq!(told[0].progress.as_ref().unwrap().phase, "committing");
    // Nothing moves, and nobody is told so.
    let nothing = tokio::time::timeout(Duration::from_millis(1_200), late.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    drop(gate);
    assert!(working.await.unwrap());
    for watch in [&mut watch, &mut late] {
        let ended = loop {
            let told = watch.next().await.unwrap();
            assert_eq!(told.len(), 1);
            if told[0].status.is_final() {
                break told[0].clone();
            }
        };
        assert_eq!(Some(ended), engine.job(&id).await.unwrap());
    }
}
