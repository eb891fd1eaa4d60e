//! What becomes of what was being done when another one leads, or the same one anew.

use std::sync::atomic::Ordering;
use std::time::Duration;

use backup_engine::{BackupRequest, JobInfo, JobState, RestoreRequest, Role};
use health_metrics::Problem;
use job_queue::{JobCall, JobFault, JobStore, NewJob};
use tokio::sync::oneshot;
use zk_snapshot::tree::Acl;

use super::group::Group;
use crate::support::{HOUR, gate, job};

/// A restore that engine `number` does, and that waits in the middle until what is returned second is dropped.
async fn restoring(group: &Group, number: usize) -> (String, oneshot::Sender<()>) {
    let engine = group.engine(number);
    let backup = engine.backup(BackupRequest::default()).await.unwrap();
    assert_eq!(group.ended(number, &backup).await.status, JobState::Successful);
    group.world.tree.put("/a", b"changed", Acl::open()).unwrap();
    let (reached, go) = group.world.ensemble.hold_writes(0);
    let restore = engine.restore(RestoreRequest::of(&backup)).await.unwrap();
    reached.await.unwrap();
    (restore, go)
}

fn is_interrupted(job: &JobInfo) -> bool {
    job.status == JobState::Failed && job.message.as_deref() == Some("interrupted")
}

/// The process that takes over stands still for so long that another one leads when it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_the_lead_while_it_takes_over_fails_nothing_of_the_next_one() {
    type Delays = fn(Box<dyn FnOnce() + Send>) -> JobFault;
    let cases: [(JobCall, Delays); 3] = [
        (JobCall::CutOff, JobFault::Delay),
        (JobCall::CutOff, JobFault::DelayAnswer),
        (JobCall::Finish, JobFault::Delay),
    ];
    for (call, delayed) in cases {
        let group = Group::of(2);
        let (left, now) = ("left", group.world.now());
        let check = NewJob::new(left, "verify").in_lane("checks");
        group.world.jobs.enqueue(check, now, 9).unwrap();
        group.world.jobs.claim("before", "checks", now).unwrap();
        let (seat, running, _) = &group.seats[0];
        let (mut gate, delay) = gate();
        running.jobs.plan(call, 1, delayed(delay));
        group.lead(0, Duration::ZERO).await;
        gate.reached().await;
        group.lead(1, Duration::ZERO).await;
        let (restore, go) = restoring(&group, 1).await;

        let heard = || seat.asked.load(Ordering::SeqCst) + seat.released.load(Ordering::SeqCst);
        let before = heard();
        drop(gate);
        let goes_on = async {
            while heard() == before && job(group.engine(1), &restore).await.status == JobState::Processing {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), goes_on)
            .await
            .expect("it goes on");
        drop(go);
        let done = group.ended(1, &restore).await;
        assert_eq!(done.status, JobState::Successful, "{call:?}: {done:?}");
        assert!(is_interrupted(&job(group.engine(1), left).await));
    }
}

/// Its lease had run out, and it took it again before it had ended what it did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leads_anew_before_its_work_has_ended_does_not_give_that_away() {
    let group = Group::of(1);
    group.lead(0, Duration::ZERO).await;
    let (restore, go) = restoring(&group, 0).await;
    group.lead(0, Duration::ZERO).await;
    drop(go);
    assert!(is_interrupted(&group.ended(0, &restore).await));
    let backup = group.engine(0).backup(BackupRequest::default()).await.unwrap();
    assert_eq!(group.ended(0, &backup).await.status, JobState::Successful);
    assert_eq!(group.seats[0].0.released.load(Ordering::SeqCst), 0);
}

/// It stood still, and knows nothing of that yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leads_no_more_makes_no_scheduled_run_though_it_was_not_told() {
    let group = Group::of(1);
    group.world.pass(HOUR);
    let (seat, running, _) = &group.seats[0];
    seat.is_told(Role::Leader { term: 1 });
    let jobs = || running.jobs.list(0, 9).unwrap().jobs;
    let looked = async {
        while seat.asked.load(Ordering::SeqCst) == 0 && jobs().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looked)
        .await
        .expect("it looks what is due");
    assert_eq!(jobs(), []);
    // The same is made where it leads.
    group.lead(0, Duration::ZERO).await;
    let made = async {
        while group.engine(0).list().await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), made)
        .await
        .expect("it is made");
}

/// The answer is lost that what was left has been noted as ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_take_over_has_noted_is_known_as_noted() {
    let group = Group::of(1);
    let (left, now) = ("left", group.world.now());
    let check = NewJob::new(left, "verify").in_lane("checks");
    group.world.jobs.enqueue(check, now, 9).unwrap();
    group.world.jobs.claim("before", "checks", now).unwrap();
    let running = &group.seats[0].1;
    running.jobs.plan(JobCall::Finish, 1, JobFault::LoseAnswer);
    group.lead(0, Duration::ZERO).await;
    let backup = group.engine(0).backup(BackupRequest::default()).await.unwrap();
    assert_eq!(group.ended(0, &backup).await.status, JobState::Successful);
    assert_eq!(running.jobs.left(), 0);
    let problems = group.engine(0).health().await.problems;
    let unnoted = problems
        .iter()
        .find(|problem| matches!(problem, Problem::JobsUnavailable(_)));
    assert_eq!(unnoted, None);
}
