//! A restore for a test: to a place of its own, and compared with the backup znode by znode.

mod bounded;
mod compare;
mod scratch;

use std::sync::Arc;

use job_queue::JobStore;
use time::OffsetDateTime;
use vault_store::{Tested, VaultId};
use zk_snapshot::archive::RecordSource;
use zk_snapshot::restore::{RestoreOptions, RestoreReport, restore};
use zk_snapshot::tree::MemoryTree;

use self::bounded::Bounded;
use self::compare::{Compared, compare};
use self::scratch::{Scratch, sweep};
use super::context::JobContext;
use super::failure::{Cause, Failure};
use super::restore::{Depth, note_damage, open_sound};
use super::result::{JobResult, RestoreTestResult, SECOND_READ};
use super::stop::CheckStop;
use crate::ensemble::{Client, MemoryEnsemble};
use crate::requests::RestoreTestPayload;
use crate::site::Site;
use crate::vaults::Vaults;
use crate::vaults::records::Opened;
use crate::{InvalidRequest, RestoreTestPlace, TestEnsemble};

const IN_MEMORY: &str = "memory";

/// What was restored and compared.
struct Proof {
    report: RestoreReport,
    compared: Compared,
    place: String,
    /// Whether it has left nothing where it was restored to.
    removed: Result<(), Cause>,
}

impl Proof {
    /// What differs from the backup, or could not be written where nothing can be seen to differ.
    fn difference(&self) -> Option<String> {
        let (report, compared) = (&self.report, &self.compared);
        let behind = compared.counters_behind;
        let counters = (behind > report.counters_left).then(|| {
            format!("the counters of {behind} parents of sequential children are lower than in the backup")
        });
        let unwritten = || {
            let failure = report.failures.first()?;
            Some(format!("{}: {}", failure.path, failure.why))
        };
        compared.difference().or(counters).or_else(unwritten)
    }
}

/// Restores a vault for a test, and records what came of it.
pub(super) async fn run(
    vaults: &Arc<Vaults>,
    site: &Arc<Site>,
    jobs: &Arc<dyn JobStore>,
    context: &JobContext,
    stop: &Arc<CheckStop>,
) -> Result<JobResult, Failure> {
    let mut done = prove(vaults, site, jobs, context, stop).await;
    if let Err(failure) = done {
        done = Err(note_damage(vaults, context, failure).await);
    }
    if let Err(failure) = &done {
        context.log.error(&failure.cause.to_string());
    }
    if !done.as_ref().is_err_and(|failure| failure.cause.is_stopped()) {
        context.metrics.restore_test_ended(done.is_err());
    }
    done
}

async fn prove(
    vaults: &Arc<Vaults>,
    site: &Arc<Site>,
    jobs: &Arc<dyn JobStore>,
    context: &JobContext,
    stop: &Arc<CheckStop>,
) -> Result<JobResult, Failure> {
    let id: VaultId = crate::kind::vault(&context.job).parse()?;
    let payload: RestoreTestPayload = serde_json::from_value(context.job.payload.clone())?;
    let (kept, vault) = (Arc::clone(vaults), id.clone());
    let _held = tokio::task::spawn_blocking(move || kept.hold(&vault)).await?;
    let begun = context.now();
    let reads = vaults.reads_of_second(&id);
    context.progress.phase("verifying");
    let (kept, vault, asked) = (Arc::clone(vaults), id.clone(), Arc::clone(stop));
    let opening = tokio::task::spawn_blocking(move || {
        open_sound(&kept, &vault, Depth::Checksums, begun, &|| asked.check())
    });
    let (manifest, opened) = opening.await??;
    let test = Test {
        site,
        jobs,
        context,
        stop,
        opened: &opened,
    };
    let tests = &site.checks.tests;
    let proof = match (payload.place, &tests.ensemble) {
        (RestoreTestPlace::Ensemble, Some(ensemble)) => test.in_ensemble(ensemble).await?,
        (RestoreTestPlace::Ensemble, None) => {
            return Err(Cause::from("no ensemble is set for tests of restores").into());
        }
        (RestoreTestPlace::Memory, _) => {
            let fits = tests.check_memory(&manifest);
            fits.map_err(|error| error.to_string())?;
            test.in_memory(&id, tests.memory).await?
        }
    };
    record(vaults, context, &id, (begun, payload.by), (proof, reads)).await
}

/// Keeps with the vault what was found, and tells it. A test has a begin, and somebody who asked for it.
async fn record(
    vaults: &Arc<Vaults>,
    context: &JobContext,
    id: &VaultId,
    (begun, by): (OffsetDateTime, String),
    (proof, reads): (Proof, u64),
) -> Result<JobResult, Failure> {
    let (difference, now) = (proof.difference(), context.now());
    let Proof {
        report,
        compared,
        place,
        removed,
    } = proof;
    let tested = Tested {
        at: now,
        took_ms: u64::try_from((now - begun).whole_milliseconds()).unwrap_or_default(),
        place,
        job: context.job.id.clone(),
        by,
        znodes: compared.znodes,
        sha256: compared.sha256,
        difference: difference.clone(),
    };
    let (kept, vault, noted) = (Arc::clone(vaults), id.clone(), tested.clone());
    tokio::task::spawn_blocking(move || kept.record_test(&vault, noted)).await?;
    context.log.info(&format!(
        "{} znodes were restored to {} and compared, {} differ",
        tested.znodes, tested.place, compared.differing
    ));
    let copy = vaults.read_since(id, reads);
    if copy.is_some() {
        context.log.info(SECOND_READ);
    }
    let result = JobResult::RestoreTest(Box::new(RestoreTestResult {
        tested,
        differing: compared.differing,
        differences: compared.differences.into_iter().map(|(path, _)| path).collect(),
        gone_by_themselves: compared.gone_by_themselves,
        counters_left: report.counters_left,
        failures: report.failures,
        copy,
    }));
    let cause = match difference {
        None => removed.err(),
        Some(what) => Some(Cause::Said(format!(
            "the restore of backup {id} was not exact: {what}"
        ))),
    };
    match cause {
        None => Ok(result),
        Some(cause) => Err(Failure { cause, result }),
    }
}

struct Test<'a> {
    site: &'a Site,
    jobs: &'a Arc<dyn JobStore>,
    context: &'a JobContext,
    stop: &'a Arc<CheckStop>,
    opened: &'a Opened,
}

impl Test<'_> {
    /// The manifest said that it fits; what is read may say otherwise.
    async fn in_memory(&self, id: &VaultId, allowed: u64) -> Result<Proof, Failure> {
        let ensemble = MemoryEnsemble::new(Arc::new(MemoryTree::new()));
        let records = Arc::new(Bounded::new(Arc::clone(&self.opened.records), allowed));
        let restoring = self.restore(Arc::clone(&records) as _, &ensemble, self.options());
        let restored = self.unless_stopped(restoring).await;
        if let Some(needs) = records.above() {
            let id = id.clone();
            let error = InvalidRequest::TooLargeForMemory { id, needs, allowed };
            return Err(error.to_string().into());
        }
        let report = restored?;
        let comparing = self.compare(&ensemble);
        let compared = self.unless_stopped(comparing).await?;
        Ok(Proof {
            report,
            compared,
            place: IN_MEMORY.to_owned(),
            removed: Ok(()),
        })
    }

    async fn in_ensemble(&self, to: &TestEnsemble) -> Result<Proof, Failure> {
        let JobContext {
            job, log, progress, ..
        } = self.context;
        let place = &*to.ensemble;
        progress.phase("sweeping");
        sweep(place, self.jobs, log).await?;
        let scratch = Scratch::make(place, &job.id, to.never.as_deref()).await?;
        let done = self.unless_stopped(self.in_scratch(&scratch, to.is_live)).await;
        progress.phase("removing");
        let removed = scratch.remove().await;
        if let Err(why) = &removed {
            log.error(&why.to_string());
        }
        let (report, compared) = done?;
        Ok(Proof {
            report,
            compared,
            place: place.name(),
            removed,
        })
    }

    async fn in_scratch(
        &self,
        scratch: &Scratch<'_>,
        is_live: bool,
    ) -> Result<(RestoreReport, Compared), Cause> {
        let mut options = self.options();
        if is_live {
            options.permit = self.context.permit();
        }
        let client = scratch.connect().await?;
        let records = Arc::clone(&self.opened.records);
        let report = self.restore(records, &client, options).await;
        Box::new(client).close().await;
        let report = report?;
        let client = scratch.connect().await?;
        let compared = self.compare(&client).await;
        Box::new(client).close().await;
        Ok((report, compared?))
    }

    fn options(&self) -> RestoreOptions {
        RestoreOptions {
            sequence_limit: self.site.sequence_limit,
            counters_known: self.opened.counters_known,
            znodes: self.opened.znodes,
            now: self.context.now().unix_timestamp() * 1_000,
            ..RestoreOptions::default()
        }
    }

    async fn restore(
        &self,
        records: Arc<dyn RecordSource>,
        client: &dyn Client,
        options: RestoreOptions,
    ) -> Result<RestoreReport, Cause> {
        self.context.progress.phase("restoring");
        Ok(restore(records, client, &options).await?)
    }

    async fn compare(&self, client: &dyn Client) -> Result<Compared, Cause> {
        self.context.progress.phase("comparing");
        compare(&self.opened.records, client, self.opened.counters_known).await
    }

    async fn unless_stopped<T>(&self, work: impl Future<Output = Result<T, Cause>>) -> Result<T, Cause> {
        tokio::select! {
            done = work => done,
            stopped = self.stop.asked() => Err(stopped.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use zk_snapshot::tree::ZnodePath;

    use super::*;

    /// A test after which so many counters are behind, of so many that were left.
    fn proof(behind: u64, left: u64) -> Proof {
        Proof {
            report: RestoreReport {
                counters_left: left,
                ..RestoreReport::default()
            },
            compared: Compared {
                counters_behind: behind,
                ..Compared::default()
            },
            place: IN_MEMORY.to_owned(),
            removed: Ok(()),
        }
    }

    #[test]
    fn counters_differ_that_are_behind_and_were_not_said_to_be_left() {
        assert_eq!(proof(0, 0).difference(), None);
        assert_eq!(proof(2, 2).difference(), None, "the report tells them");
        assert_eq!(
            proof(3, 2).difference().as_deref(),
            Some("the counters of 3 parents of sequential children are lower than in the backup")
        );
    }

    #[test]
    fn what_can_be_seen_to_differ_is_told_before_counters_and_these_before_what_was_not_written() {
        let path = ZnodePath::parse("/a").unwrap();
        let mut proof = proof(0, 0);
        proof.report.failures.push(zk_snapshot::restore::Failure {
            path: path.clone(),
            why: "it may not be written".to_owned(),
        });
        assert_eq!(proof.difference().as_deref(), Some("/a: it may not be written"));
        proof.compared.counters_behind = 1;
        assert!(proof.difference().unwrap().starts_with("the counters of 1 "));
        proof.compared.differing = 1;
        proof
            .compared
            .differences
            .push((path, "it is not there".to_owned()));
        assert_eq!(
            proof.difference().as_deref(),
            Some("1 znodes are not as in the backup: /a: it is not there")
        );
    }
}
