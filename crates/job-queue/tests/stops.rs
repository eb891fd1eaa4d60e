//! Claims that are renewed while their jobs are done, and jobs that are told to stop.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use job_queue::{
    Clock, FaultyJobs, Job, JobCall, JobFault, JobHandler, JobState, JobStore, MAIN_LANE, MemoryJobs, NewJob,
    Outcome, QueueError, Runner, Stop, StopReason,
};
use time::OffsetDateTime;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const SOON: Duration = Duration::from_millis(2);
const NEVER: Duration = Duration::from_hours(1);

fn at(second: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_700_000_000 + second).unwrap()
}

/// Works until it is told to stop, or to end.
struct Patient {
    begun: mpsc::UnboundedSender<()>,
    end: Mutex<mpsc::UnboundedReceiver<()>>,
    stopped: mpsc::UnboundedSender<StopReason>,
}

#[async_trait]
impl JobHandler for Patient {
    async fn run(&self, _job: Job, stop: Stop) -> Outcome {
        self.begun.send(()).unwrap();
        let mut end = self.end.lock().await;
        tokio::select! {
            why = stop.asked() => {
                self.stopped.send(why).unwrap();
                Outcome::canceled()
            }
            _ = end.recv() => Outcome::success("done".into()),
        }
    }
}

struct World {
    below: Arc<MemoryJobs>,
    store: FaultyJobs,
    /// What the clock shows.
    second: Arc<AtomicI64>,
    runner: Arc<Runner>,
    begun: mpsc::UnboundedReceiver<()>,
    end: mpsc::UnboundedSender<()>,
    stopped: mpsc::UnboundedReceiver<StopReason>,
}

/// One job, and who does it.
fn world(every: Duration, lapse: Option<Duration>) -> World {
    let below = Arc::new(MemoryJobs::new());
    below.enqueue(NewJob::new("a", "kind"), at(0), 9).unwrap();
    let store = FaultyJobs::new(Arc::clone(&below) as Arc<dyn JobStore>);
    let (tell_begun, begun) = mpsc::unbounded_channel();
    let (end, wait) = mpsc::unbounded_channel();
    let (tell_stopped, stopped) = mpsc::unbounded_channel();
    let handler = Patient {
        begun: tell_begun,
        end: Mutex::new(wait),
        stopped: tell_stopped,
    };
    let second = Arc::new(AtomicI64::new(5));
    let times = Arc::clone(&second);
    let clock: Clock = Arc::new(move || at(times.load(Ordering::SeqCst)));
    let runner = Runner::new(Arc::new(store.clone()), Arc::new(handler), clock, "w", MAIN_LANE);
    World {
        below,
        store,
        second,
        runner: Arc::new(runner.renewing(every, lapse)),
        begun,
        end,
        stopped,
    }
}

impl World {
    async fn begin(&mut self) -> JoinHandle<Result<bool, QueueError>> {
        let runner = Arc::clone(&self.runner);
        let step = tokio::spawn(async move { runner.step().await });
        self.begun.recv().await.unwrap();
        step
    }

    fn job(&self) -> Job {
        self.below.get("a").unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_claim_is_renewed_while_its_job_is_done_and_another_try_follows_one_that_failed() {
    let mut world = world(SOON, None);
    world.store.plan(JobCall::Renew, 1, JobFault::Fail);
    world.store.plan(JobCall::Renew, 2, JobFault::LoseAnswer);
    let (tell, renewed) = std::sync::mpsc::channel();
    let told = move || tell.send(()).unwrap();
    world
        .store
        .plan(JobCall::Renew, 4, JobFault::Delay(Box::new(told)));
    let step = world.begin().await;
    tokio::task::spawn_blocking(move || renewed.recv().unwrap())
        .await
        .unwrap();
    assert_eq!(world.job().renewed_at, Some(at(5)));
    world.end.send(()).unwrap();
    assert!(step.await.unwrap().unwrap());
    assert_eq!(world.job().state, JobState::Successful);
    assert!(world.stopped.try_recv().is_err());
}

#[tokio::test]
async fn a_job_that_is_called_off_is_told_at_once_and_ends_as_canceled() {
    let mut world = world(NEVER, None);
    let mut ended = world.runner.ended();
    let step = world.begin().await;
    assert_eq!(world.runner.cancel("a").await.unwrap(), JobState::Processing);
    assert_eq!(world.stopped.recv().await, Some(StopReason::Canceled));
    assert!(step.await.unwrap().unwrap());
    assert_eq!(world.job().state, JobState::Canceled);
    assert!(ended.has_changed().unwrap());
    ended.mark_unchanged();

    world.below.enqueue(NewJob::new("b", "kind"), at(0), 9).unwrap();
    assert_eq!(world.runner.cancel("b").await.unwrap(), JobState::Canceled);
    assert!(ended.has_changed().unwrap(), "who waits for it is told");
    assert!(!world.runner.step().await.unwrap());
    assert!(matches!(
        world.runner.cancel("b").await,
        Err(QueueError::Illegal { .. })
    ));
    assert!(matches!(
        world.runner.cancel("c").await,
        Err(QueueError::NotFound(_))
    ));
}

#[tokio::test]
async fn one_that_somebody_else_called_off_is_told_when_its_claim_is_renewed() {
    let mut world = world(SOON, None);
    let step = world.begin().await;
    world.below.cancel("a", at(6)).unwrap();
    assert_eq!(world.stopped.recv().await, Some(StopReason::Canceled));
    assert!(step.await.unwrap().unwrap());
    assert_eq!(world.job().state, JobState::Canceled);
}

#[tokio::test]
async fn one_whose_claim_is_lost_is_told_and_its_end_is_not_recorded() {
    let mut world = world(SOON, None);
    let step = world.begin().await;
    world.below.recover("other", Some(at(100)), at(7)).unwrap();
    assert_eq!(world.stopped.recv().await, Some(StopReason::Lost));
    assert!(step.await.unwrap().unwrap());
    let job = world.job();
    assert_eq!(
        (job.state, job.message.as_deref()),
        (JobState::Failed, Some("interrupted"))
    );
    assert!(!world.runner.step().await.unwrap(), "the next one can be done");
}

#[tokio::test]
async fn a_claim_that_nobody_answers_for_is_lost_when_it_lapses() {
    for hangs in [false, true] {
        let mut world = world(SOON, Some(20 * SOON));
        let (release, wait) = std::sync::mpsc::channel::<()>();
        if hangs {
            let hang = move || {
                let _ = wait.recv(); // an error: it was released
            };
            world
                .store
                .plan(JobCall::Renew, 2, JobFault::Delay(Box::new(hang)));
        } else {
            for nth in 2..1_000 {
                world.store.plan(JobCall::Renew, nth, JobFault::Fail);
            }
        }
        let step = world.begin().await;
        assert_eq!(world.stopped.recv().await, Some(StopReason::Lost));
        assert!(step.await.unwrap().unwrap());
        assert_eq!(world.job().state, JobState::Processing, "it is for others to end");
        drop(release);
    }
}

#[tokio::test]
async fn what_somebody_else_has_begun_and_left_is_failed_and_the_next_job_done_without_being_woken() {
    let mut world = world(SOON, Some(Duration::from_secs(2)));
    world.below.claim("other", MAIN_LANE, at(3)).unwrap();
    world.below.enqueue(NewJob::new("b", "kind"), at(4), 9).unwrap();
    assert!(!world.runner.step().await.unwrap(), "it may be alive");
    let runner = Arc::clone(&world.runner);
    let running = tokio::spawn(async move { runner.run(std::future::pending()).await });
    world.second.store(7, Ordering::SeqCst);
    world.begun.recv().await.unwrap();
    let job = world.job();
    assert_eq!(
        (job.state, job.message.as_deref()),
        (JobState::Failed, Some("interrupted"))
    );
    assert_eq!(world.below.get("b").unwrap().unwrap().state, JobState::Processing);
    running.abort();
}

/// The time that another lane of this process shows by its own job, which it renews too seldom here.
#[tokio::test]
async fn a_clock_that_was_set_forward_fails_nothing_that_this_process_does() {
    let mut world = world(NEVER, Some(Duration::from_secs(30)));
    let step = world.begin().await;
    let (begun, _) = mpsc::unbounded_channel();
    let (stopped, _) = mpsc::unbounded_channel();
    let handler = Patient {
        begun,
        end: Mutex::new(mpsc::unbounded_channel().1),
        stopped,
    };
    let times = Arc::clone(&world.second);
    let clock: Clock = Arc::new(move || at(times.load(Ordering::SeqCst)));
    let checks = Runner::new(
        Arc::new(world.store.clone()),
        Arc::new(handler),
        clock,
        "w-checks",
        "checks",
    )
    .renewing(NEVER, Some(Duration::from_secs(30)))
    .beside(["w".to_owned()]);
    // That another process has left, and that it has left itself.
    for (id, worker, lane) in [("b", "other", "theirs"), ("c", "w-checks", "checks")] {
        let job = NewJob::new(id, "kind").in_lane(lane);
        world.below.enqueue(job, at(5), 9).unwrap();
        world.below.claim(worker, lane, at(5)).unwrap();
    }
    world.second.store(65, Ordering::SeqCst);
    assert!(!checks.step().await.unwrap());
    let state = |id: &str| world.below.get(id).unwrap().unwrap().state;
    assert_eq!(
        (state("a"), state("b"), state("c")),
        (JobState::Processing, JobState::Processing, JobState::Failed)
    );
    world.end.send(()).unwrap();
    assert!(step.await.unwrap().unwrap());
    assert_eq!(state("a"), JobState::Successful);
    assert!(!checks.step().await.unwrap());
    assert_eq!(
        state("b"),
        JobState::Failed,
        "the clock shows nothing to the contrary"
    );
}

#[tokio::test]
async fn work_is_called_off_though_that_cannot_be_noted() {
    let mut world = world(NEVER, None);
    let step = world.begin().await;
    world.store.plan(JobCall::Cancel, 1, JobFault::Fail);
    assert_eq!(world.runner.cancel("a").await.unwrap(), JobState::Processing);
    assert_eq!(world.stopped.recv().await, Some(StopReason::Canceled));
    assert!(step.await.unwrap().unwrap());
    assert_eq!(world.below.get("a").unwrap().unwrap().state, JobState::Canceled);

    // Of another one nobody but the store knows.
    world.below.enqueue(NewJob::new("b", "kind"), at(9), 9).unwrap();
    world.store.plan(JobCall::Cancel, 1, JobFault::Fail);
    assert!(world.runner.cancel("b").await.is_err());
    assert_eq!(world.below.get("b").unwrap().unwrap().state, JobState::Queued);
}

const ENOUGH: Duration = Duration::from_secs(60);

impl World {
    async fn is_told_that_it_is_lost(&mut self) {
        let told = timeout(ENOUGH, self.stopped.recv()).await;
        assert_eq!(told.unwrap(), Some(StopReason::Lost));
    }

    /// The step after one that was given up.
    async fn is_failed_by_the_next_step(&self) {
        assert_eq!(
            self.job().state,
            JobState::Processing,
            "how it ended is not recorded"
        );
        assert!(!self.runner.step().await.unwrap());
        let job = self.job();
        assert_eq!(
            (job.state, job.message.as_deref()),
            (JobState::Failed, Some("interrupted"))
        );
    }
}

#[tokio::test]
async fn a_job_that_is_given_up_is_told_and_failed_by_the_next_step() {
    let mut world = world(NEVER, None);
    let step = world.begin().await;
    world.runner.give_up();
    world.is_told_that_it_is_lost().await;
    assert!(step.await.unwrap().unwrap());
    world.is_failed_by_the_next_step().await;
}

#[tokio::test]
async fn so_is_one_that_is_given_up_while_it_is_claimed() {
    let mut world = world(NEVER, None);
    let ((tell, told), (go, wait)) = (oneshot::channel(), std::sync::mpsc::channel::<()>());
    let hold = move || {
        tell.send(()).unwrap();
        let _ = wait.recv(); // an error: it may go on
    };
    world
        .store
        .plan(JobCall::Claim, 1, JobFault::Delay(Box::new(hold)));
    let runner = Arc::clone(&world.runner);
    let step = tokio::spawn(async move { runner.step().await });
    told.await.unwrap();
    world.runner.give_up();
    drop(go);
    world.is_told_that_it_is_lost().await;
    assert!(step.await.unwrap().unwrap());
    world.is_failed_by_the_next_step().await;
}

/// Whoever asked for it does not wait for it any more.
#[tokio::test]
async fn a_step_that_is_given_up_while_it_waits_for_the_one_before_begins_nothing() {
    let mut world = world(NEVER, None);
    let first = world.begin().await;
    world.below.enqueue(NewJob::new("b", "kind"), at(0), 9).unwrap();
    let runner = Arc::clone(&world.runner);
    let mut second = Box::pin(runner.step());
    tokio::select! {
        biased;
        _ = &mut second => panic!("the first is not done"),
        () = std::future::ready(()) => {}
    }
    world.runner.give_up();
    world.is_told_that_it_is_lost().await;
    assert!(first.await.unwrap().unwrap());
    assert!(!timeout(ENOUGH, second).await.unwrap().unwrap());
    assert_eq!(world.below.get("b").unwrap().unwrap().state, JobState::Queued);
}
