//! Several engines over one storage, of which one leads.

mod group;
mod taking_over;

use std::sync::atomic::Ordering;
use std::time::Duration;

use backup_engine::{BackupRequest, EngineError, JobState, Leadership, News, RestoreRequest, Role};
use job_queue::{JobCall, JobFault, JobStore, Note};
use vault_store::{Manifest, Mode, Outcome, VaultCall, VaultFault, VaultId, VaultStore};

use self::group::{Group, NOBODY};
use super::support::{HOUR, gate, job};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_accepted_is_done_once_somebody_leads_and_who_does_not_removes_nothing() {
    let group = Group::of(2);
    let id = group.engine(0).backup(BackupRequest::default()).await.unwrap();
    assert_eq!(job(group.engine(0), &id).await.status, JobState::Queued);
    group.lead(1, Duration::ZERO).await;
    assert_eq!(group.ended(0, &id).await.status, JobState::Successful);
    let manifest = group.world.vaults.manifest(&id.parse().unwrap()).unwrap();
    assert_eq!(manifest.term, Some(1));
    let refused = group.engine(0).evict_one(&id).await;
    assert!(matches!(refused, Err(EngineError::NotLeading(_))), "{refused:?}");
    group.engine(1).evict_one(&id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leads_tells_of_it_and_of_jobs() {
    let group = Group::of(2);
    let mut of = [group.engine(0).outbox(), group.engine(1).outbox()];
    let (gained, lost) = (
        |term| News::LeadershipGained { term },
        |term| News::LeadershipLost { term },
    );
    group.lead(0, Duration::ZERO).await;
    let id = group.engine(0).backup(BackupRequest::default()).await.unwrap();
    group.ended(0, &id).await;
    assert_eq!(of[1].owed().await.unwrap(), []);
    let owed = of[0].owed().await.unwrap();
    assert_eq!((&owed[0], owed[1].id()), (&gained(1), format!("job/{id}")));
    of[0].delivered(&owed[0]).await.unwrap();
    // It is gone before it has told of the job, which is not its debt any more.
    let debt = async || group.engine(0).health().await.webhook.unwrap().owed;
    assert_eq!(debt().await, 1);
    group.lead(1, Duration::ZERO).await;
    of[0].changed().await;
    of[0].count().await.unwrap();
    assert_eq!(debt().await, 0);
    assert_eq!(of[0].owed().await.unwrap(), [lost(1)]);
    of[0].count().await.unwrap();
    assert_eq!(debt().await, 1, "that it lost the lead is told by itself");
    of[0].delivered(&lost(1)).await.unwrap();
    assert_eq!(of[0].owed().await.unwrap(), []);
    let owed = of[1].owed().await.unwrap();
    assert_eq!((&owed[0], owed[1].id()), (&gained(2), format!("job/{id}")));
    for news in &owed {
        of[1].delivered(news).await.unwrap();
    }
    assert_eq!(group.engine(1).outbox().owed().await.unwrap(), []);
}

/// The one lead is lost while it is told of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_word_of_an_engine_that_leads_no_more_is_that_it_lost_the_lead() {
    let group = Group::of(2);
    let mut outbox = group.engine(0).outbox();
    let (gained, lost) = (
        |term| News::LeadershipGained { term },
        |term| News::LeadershipLost { term },
    );
    group.lead(0, Duration::ZERO).await;
    assert_eq!(outbox.owed().await.unwrap(), [gained(1)]);
    outbox.delivered(&gained(1)).await.unwrap();
    group.lead(0, Duration::ZERO).await;
    assert_eq!(outbox.owed().await.unwrap(), [lost(1), gained(2)]);
    outbox.delivered(&lost(1)).await.unwrap();
    group.lead(1, Duration::ZERO).await;
    outbox.delivered(&gained(2)).await.unwrap();
    assert_eq!(outbox.owed().await.unwrap(), [lost(2)]);
    outbox.delivered(&lost(2)).await.unwrap();
    assert_eq!(outbox.owed().await.unwrap(), []);
    // Nor where it could not be noted that the other one was told.
    group.lead(0, Duration::ZERO).await;
    assert_eq!(outbox.owed().await.unwrap(), [gained(4)]);
    outbox.delivered(&gained(4)).await.unwrap();
    group.lead(0, Duration::ZERO).await;
    assert_eq!(outbox.owed().await.unwrap(), [lost(4), gained(5)]);
    outbox.delivered(&lost(4)).await.unwrap();
    group.lead(1, Duration::ZERO).await;
    group.seats[0].1.jobs.plan(JobCall::PutNotes, 1, JobFault::Fail);
    outbox.delivered(&gained(5)).await.unwrap_err();
    assert_eq!(outbox.owed().await.unwrap(), [lost(5)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_overtaken_writes_no_more_and_the_next_knows_what_it_left() {
    let group = Group::of(2);
    group.lead(0, Duration::ZERO).await;
    let id = group.engine(0).backup(BackupRequest::default()).await.unwrap();
    group.ended(0, &id).await;
    for path in ["/a", "/b", "/b/c"] {
        let changed = zk_snapshot::tree::Acl::open();
        group.world.tree.put(path, b"changed", changed).unwrap();
    }
    let (reached, go) = group.world.ensemble.hold_writes(0);
    let restore = group.engine(0).restore(RestoreRequest::of(&id)).await.unwrap();
    reached.await.unwrap();
    let note = Note::new(
        &restore,
        "/gone",
        format!(r#"{{"created":false,"vault":"{id}"}}"#),
    );
    group.world.jobs.put_notes(&[note]).unwrap();
    // What has gone out may still come to its end.
    group.lead(1, Duration::ZERO).await;
    let told = group.ended(1, &restore).await;
    assert_eq!(
        (told.status, told.message.as_deref()),
        (JobState::Failed, Some("interrupted"))
    );
    // The notes are read right after the job was failed.
    let known = async { while group.engine(1).health().await.unfinished_znodes != 1 {} };
    tokio::time::timeout(Duration::from_secs(60), known)
        .await
        .unwrap();
    drop(go);
    let next = group.engine(1).backup(BackupRequest::default()).await.unwrap();
    assert!(next > id);
    assert_eq!(group.ended(1, &next).await.status, JobState::Successful);
    assert_eq!(job(group.engine(0), &restore).await.status, JobState::Failed);
}

/// One that another leader has made is not made again, and one that was due when nobody led is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_scheduled_run_is_made_by_one() {
    let group = Group::of(2);
    group.lead(0, Duration::ZERO).await;
    // The first leader has read the schedule when it has done a job, and then sleeps for seconds at least: it begins no run that is cut off.
    let by_hand = group.engine(0).backup(BackupRequest::default()).await.unwrap();
    assert_eq!(group.ended(0, &by_hand).await.status, JobState::Successful);
    group.world.pass(HOUR);
    let runs = || async { group.engine(0).list().await.unwrap() };
    let wait_for = |count: usize| async move {
        let all = async {
            loop {
                let all = runs().await;
                if all.len() == count {
                    return all;
                }
                // The schedule sleeps at most so long that a backup by hand shows that it was looked at.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), all)
            .await
            .expect("it is made")
    };
    // The next leader looks at once.
    group.lead(1, Duration::ZERO).await;
    assert_eq!(wait_for(2).await, [&*by_hand, "20261121T010000"]);
    group.lead(0, Duration::ZERO).await;
    let id = group.engine(0).backup(BackupRequest::default()).await.unwrap();
    assert_eq!(id, "20261121T010001");
    assert_eq!(group.ended(0, &id).await.status, JobState::Successful);
    assert_eq!(group.engine(0).health().await.schedule.unwrap().missed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_backups_that_fail_in_a_row_let_another_one_lead() {
    let group = Group::of(2);
    group.world.ensemble.deny("/");
    group.lead(0, Duration::ZERO).await;
    let (seat, running, _) = &group.seats[0];
    for call in 1..=6 {
        running.vaults.plan(VaultCall::Stage, call, VaultFault::Fail);
    }
    let mut role = seat.role();
    for _ in 0..3 {
        assert!(matches!(*role.borrow(), Role::Leader { .. }));
        let id = group.engine(0).backup(BackupRequest::default()).await.unwrap();
        assert_eq!(group.ended(0, &id).await.status, JobState::Failed);
    }
    let left = role.wait_for(|role| *role == Role::Standby);
    tokio::time::timeout(Duration::from_secs(60), left)
        .await
        .expect("it leaves")
        .unwrap();
    assert_eq!(group.chair.0.load(Ordering::SeqCst), NOBODY);
}

/// Three engines, of which now this one and now that one leads, and hears late that it does no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leads_no_accepted_job_is_lost_and_no_backup_is_made_twice() {
    for seed in 1..=4_u64 {
        let group = Group::of(3);
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut below = |end: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % end
        };
        let mut accepted = Vec::new();
        for _ in 0..40 {
            let number = usize::try_from(below(3)).unwrap();
            match below(4) {
                0 => group.lead(number, Duration::from_millis(below(30))).await,
                1 => {
                    let delay = Duration::from_millis(below(20));
                    let late = VaultFault::Delay(Box::new(move || std::thread::sleep(delay)));
                    group.seats[number].1.vaults.plan(VaultCall::Commit, 1, late);
                }
                _ => {
                    // Refused where another engine has given that id out: nothing is queued then.
                    if let Ok(id) = group.engine(number).backup(BackupRequest::default()).await {
                        accepted.push(id);
                    }
                    tokio::time::sleep(Duration::from_millis(below(15))).await;
                }
            }
        }
        group.lead(0, Duration::ZERO).await;
        let mut ids = accepted.clone();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), accepted.len(), "seed {seed}: an id was given twice");
        for id in &accepted {
            let job = group.ended_or_left(0, id).await;
            let is_told = job.status == JobState::Successful || job.message.as_deref() == Some("interrupted");
            assert!(is_told, "seed {seed}: {job:?}");
        }
        // What policies left is whole, and was asked for.
        for id in group.engine(0).list().await.unwrap() {
            assert!(accepted.contains(&id), "seed {seed}: {id}");
            let described = group.engine(0).describe(&id).await.unwrap().unwrap();
            assert!(described.is_valid(), "seed {seed}: {described:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_one_that_leads_makes_second_copies() {
    let group = Group::of(2);
    let at = VaultId::from_time(group.world.now()).unwrap();
    let stage = group.world.vaults.stage(&at).unwrap();
    let failed = Outcome::Failed {
        reason: "nothing is in it".to_owned(),
    };
    stage
        .commit(&Manifest::new(&at, Mode::Hierarchical, at.time(), failed))
        .unwrap();
    for number in [0, 1] {
        group.engine(number).copy_vaults().await.unwrap();
    }
    assert_eq!(group.copies.ids().unwrap(), []);
    group.lead(1, Duration::ZERO).await;
    group.engine(0).copy_vaults().await.unwrap();
    group.engine(1).copy_vaults().await.unwrap();
    assert_eq!(group.copies.ids().unwrap(), [at]);
}

/// A reading of a standby that takes long is not taken for what is so once it leads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_before_it_led_does_not_come_after_what_it_has_read_since() {
    let (mut gate, delay) = gate();
    let delay = std::sync::Mutex::new(Some(delay));
    let group = Group::with(1, |running| {
        let delay = delay.lock().unwrap().take().unwrap();
        running.jobs.plan(JobCall::Notes, 1, JobFault::DelayAnswer(delay));
    });
    gate.reached().await;
    let note = Note::new(
        "before",
        "/gone",
        r#"{"created":false,"vault":"20261121T000000"}"#,
    );
    group.world.jobs.put_notes(&[note]).unwrap();
    group.lead(0, Duration::ZERO).await;
    let id = group.engine(0).backup(BackupRequest::default()).await.unwrap();
    // Where it did not wait for that reading it would work by now.
    let _ = tokio::time::timeout(Duration::from_millis(500), group.engine(0).wait(&id)).await;
    drop(gate);
    assert_eq!(group.ended(0, &id).await.status, JobState::Successful);
    for _ in 0..20 {
        assert_eq!(group.engine(0).health().await.unfinished_znodes, 1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
