//! A place in an ensemble that is there for one test, and gone afterwards.

use std::sync::Arc;

use job_queue::JobStore;
use zk_snapshot::archive::{Record, RecordSource, Role};
use zk_snapshot::restore::{RestoreOptions, RestoreReport, restore};
use zk_snapshot::tree::{Acl, ClientError, History, Kind, Reading, Stat, WriteError, WriteOp, ZnodePath};

use crate::EngineError;
use crate::blocking::blocking;
use crate::ensemble::{Below, Client, Ensemble};
use crate::work::failure::Cause;
use crate::work::job_log::JobLog;

/// What the names of scratch roots begin with; the id of the job follows.
const PREFIX: &str = "zk-backup-test-";

/// How often it is tried to empty a scratch root.
const ATTEMPTS: usize = 3;

/// The scratch root of one job.
pub(super) struct Scratch<'a> {
    place: &'a dyn Ensemble,
    root: ZnodePath,
}

impl<'a> Scratch<'a> {
    /// Makes it, empty, and sees to it that it is not seen in `live`.
    pub(super) async fn make(
        place: &'a dyn Ensemble,
        job: &str,
        live: Option<&dyn Ensemble>,
    ) -> Result<Self, Cause> {
        let root = ZnodePath::root().child(&format!("{PREFIX}{job}"));
        let root = root.map_err(|error| error.to_string())?;
        let client = place.connect().await?;
        let create = WriteOp::Create {
            path: root.clone(),
            data: Vec::new(),
            acl: client.working_acl(),
            kind: Kind::Persistent,
        };
        let created = write(&*client, create).await;
        client.close().await;
        created.map_err(|error| format!("{}{root} cannot be created: {error}", place.name()))?;
        let scratch = Self { place, root };
        if let Some(live) = live
            && let Err(why) = scratch.is_absent_in(live).await
        {
            scratch.remove().await?;
            return Err(why);
        }
        Ok(scratch)
    }

    /// Nothing is restored to the ensemble that is backed up, by whatever name it is reached.
    async fn is_absent_in(&self, live: &dyn Ensemble) -> Result<(), Cause> {
        let client = live.connect().await?;
        client.sync().await?;
        let path = match self.place.chroot() {
            Some(chroot) => self.root.below(&chroot),
            None => self.root.clone(),
        };
        let reading = client.read_many(std::slice::from_ref(&path), History::One).await;
        client.close().await;
        match reading?.pop() {
            None | Some(Reading::Missing) => Ok(()),
            Some(_) => Err(format!(
                "{} is the ensemble that is backed up: a test restores to it only where it, and a place in it, are named for that",
                self.place.name()
            )
            .into()),
        }
    }

    /// A new connection whose `/` it is.
    pub(super) async fn connect(&self) -> Result<Below, ClientError> {
        below(self.place, &self.root).await
    }

    /// Removes it with all that is in it.
    pub(super) async fn remove(self) -> Result<(), Cause> {
        remove(self.place, &self.root).await
    }
}

async fn below(place: &dyn Ensemble, root: &ZnodePath) -> Result<Below, ClientError> {
    Below::new(place.connect().await?, root.clone(), &place.name()).await
}

/// Removes what tests have left that ended without removing it: those of jobs that `jobs` knows to have ended. Another process may use
/// the same ensemble. What cannot be removed is logged, and left to the next test.
pub(super) async fn sweep(place: &dyn Ensemble, jobs: &Arc<dyn JobStore>, log: &JobLog) -> Result<(), Cause> {
    let client = place.connect().await?;
    let reading = client.read_many(&[ZnodePath::root()], History::One).await;
    client.close().await;
    let names = match reading?.pop() {
        Some(Reading::Found(found)) => found.children,
        _ => return Err(format!("{} does not show its root", place.name()).into()),
    };
    for name in names {
        let Some(job) = name.strip_prefix(PREFIX).map(str::to_owned) else {
            continue;
        };
        let jobs = Arc::clone(jobs);
        let known = blocking(move || jobs.get(&job).map_err(EngineError::from)).await?;
        if known.is_some_and(|job| job.state.is_final()) {
            let root = ZnodePath::root().child(&name);
            let root = root.map_err(|error| error.to_string())?;
            log.info(&format!("{root} is left of an earlier test, and is removed"));
            if let Err(why) = remove(place, &root).await {
                log.error(&why.to_string());
            }
        }
    }
    Ok(())
}

/// By restoring an empty backup, which deletes what that lacks, and opens what keeps us out.
async fn remove(place: &dyn Ensemble, root: &ZnodePath) -> Result<(), Cause> {
    let nothing: Arc<dyn RecordSource> = Arc::new(vec![vec![Record {
        path: ZnodePath::root(),
        role: Role::Captured,
        data: Vec::new(),
        acl: Acl::open(),
        stat: Stat::default(),
    }]]);
    let inside = below(place, root).await?;
    let mut emptied = Ok(RestoreReport::default());
    for _ in 0..ATTEMPTS {
        emptied = restore(Arc::clone(&nothing), &inside, &RestoreOptions::default()).await;
        let left = emptied.as_ref().map_or(&[][..], |report| &report.failures[..]);
        if left.is_empty() {
            break;
        }
        // What we may not read, such as what could only be begun, may let itself be deleted.
        for failure in left {
            let (path, version) = (failure.path.clone(), None);
            let _ = write(&inside, WriteOp::Delete { path, version }).await; // it is looked at again
        }
    }
    Box::new(inside).close().await;
    let client = place.connect().await?;
    let delete = WriteOp::Delete {
        path: root.clone(),
        version: None,
    };
    let deleted = write(&*client, delete).await;
    client.close().await;
    let why = match (emptied, deleted) {
        (_, Ok(()) | Err(WriteError::NoNode)) => return Ok(()),
        (Err(error), _) => error.to_string(),
        (Ok(report), Err(error)) => match report.failures.first() {
            Some(failure) => format!("{}: {}", failure.path, failure.why),
            None => error.to_string(),
        },
    };
    Err(format!("{}{root} could not be removed: {why}", place.name()).into())
}

async fn write(client: &dyn Client, op: WriteOp) -> Result<(), WriteError> {
    // Each operation has an outcome.
    client.write_many(&[op]).await.pop().unwrap_or(Ok(()))
}
