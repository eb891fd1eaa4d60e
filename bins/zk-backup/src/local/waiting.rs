//! Jobs that wait in a storage whose server is gone.

use backup_engine::{Engine, EngineError, JobInfo, JobKind, JobState, Page};

use super::warn;
use crate::api::Api;
use crate::exit::{Exit, Failure};
use crate::jobs;

/// How many jobs are looked at at once.
const AT_ONCE: usize = 1_000;

/// Refuses where jobs wait.
pub(super) fn check_none(waiting: &[JobInfo]) -> Result<(), Failure> {
    match waiting.len() {
        0 => Ok(()),
        some => Err(Failure::new(
            Exit::InUse,
            format!(
                "{some} jobs of the server wait in this storage: start the server, or add --do-waiting to have them done first"
            ),
        )),
    }
}

/// Refuses where jobs that wait need an ensemble which nobody has named: the server's may be another than the usual one.
pub(super) fn check_hosts(waiting: &[JobInfo], zookeeper: Option<&str>) -> Result<(), Failure> {
    let needs = |job: &&JobInfo| matches!(job.kind, JobKind::Backup | JobKind::Restore);
    match (zookeeper, waiting.iter().find(needs)) {
        (None, Some(job)) => Err(Failure::usage(format!(
            "{} jobs wait in this storage, and {} needs ZooKeeper: add --zookeeper HOSTS, as the server's ZOOKEEPER_HOST has them",
            waiting.len(),
            job.id
        ))),
        _ => Ok(()),
    }
}

/// Waits until all of these have ended, and says how.
pub(super) fn do_first(api: &Api, waiting: &[JobInfo], quiet: bool) -> Result<(), Failure> {
    for job in waiting {
        let job = jobs::follow(api, &job.id, quiet, None)?.view;
        let why = job
            .message
            .as_deref()
            .map_or_else(String::new, |why| format!(": {why}"));
        let state = job.status.to_lowercase();
        warn(&format!(
            "{} {}, which waited, has ended: {state}{why}",
            job.what(),
            job.task_id
        ));
    }
    Ok(())
}

/// The jobs that wait, the first to be done first.
pub(super) async fn of(engine: &Engine) -> Result<Vec<JobInfo>, EngineError> {
    let (mut waiting, mut offset) = (Vec::new(), 0);
    loop {
        let page = engine
            .jobs(Page {
                offset,
                limit: AT_ONCE,
            })
            .await?;
        offset += page.jobs.len();
        let is_last = page.jobs.is_empty() || offset >= page.total;
        let queued = |job: &JobInfo| job.status == JobState::Queued;
        waiting.extend(page.jobs.into_iter().filter(queued));
        if is_last {
            waiting.reverse();
            return Ok(waiting);
        }
    }
}
