//! Comparing servers with a backup that they have begun anew with.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use zk_snapshot::archive::RecordSource;
use zk_snapshot::restore::{RestoreError, RestoreOptions, RestoreReport, restore};

use crate::ensemble::Ensemble;
use crate::work::context::JobContext;
use crate::work::failure::Failure;

/// How often a member is looked at.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How often in vain, if it does not show everything.
const TRIES: usize = 6;

/// Compares members one after another.
pub(super) struct Comparing<'a> {
    context: &'a JobContext,
    records: &'a Arc<dyn RecordSource>,
    pub(super) deadline: Instant,
    /// Znodes that clients cannot be shown. Where there are any, nothing can be compared, and members are only waited for.
    old_names: u64,
    /// Those that hold what the backup holds.
    pub(super) verified: Vec<String>,
    /// How many znodes one of them has deleted by itself, at most.
    pub(super) gone: u64,
}

impl<'a> Comparing<'a> {
    pub(super) fn new(
        context: &'a JobContext,
        records: &'a Arc<dyn RecordSource>,
        deadline: Instant,
        old_names: u64,
    ) -> Self {
        Self {
            context,
            records,
            deadline,
            old_names,
            verified: Vec::new(),
            gone: 0,
        }
    }

    /// Waits until each of `members` holds what the backup holds, but for what it has deleted by itself.
    pub(super) async fn with(&mut self, members: Vec<Arc<dyn Ensemble>>) -> Result<(), Failure> {
        for member in members {
            self.gone = self.wait_for(&*member).await?.max(self.gone);
            let name = member.name();
            if self.old_names > 0 {
                self.context.log.info(&format!("{name} serves"));
                continue;
            }
            self.context
                .log
                .info(&format!("{name} holds what the backup holds"));
            self.verified.push(name);
        }
        Ok(())
    }

    /// What there is to know of it, which is told in the log as well.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.gone > 0 {
            notes.push(format!(
                "up to {} containers and TTL znodes of the backup had been deleted by the servers themselves by the time they \
                 were compared",
                self.gone
            ));
        }
        notes.iter().for_each(|note| self.context.log.info(note));
        if self.old_names > 0 {
            let note = format!(
                "the servers serve, and were not compared with the backup: {} znodes in it have names that no client is shown. Look \
                 whether `srvr` tells the same `Node count` on each, then remove the files",
                self.old_names
            );
            self.context.log.error(&note);
            notes.push(note);
        }
        notes
    }

    async fn wait_for(&self, member: &dyn Ensemble) -> Result<u64, Failure> {
        let (mut why, mut closed) = ("it does not serve".to_owned(), 0);
        // However late it is, each is looked at once.
        loop {
            if let Err(stopped) = self.context.check_stop() {
                return Err(format!("{stopped}: {} was not compared with the backup", member.name()).into());
            }
            if member.probe().await.reachable {
                if self.old_names > 0 {
                    return Ok(0);
                }
                match self.differences(member).await? {
                    Ok(report) => match difference(&report) {
                        None => return Ok(report.created_passing),
                        Some(differences) => {
                            // What we may not read does not become readable.
                            closed += usize::from(report.failed > 0 || report.unseen > 0);
                            why = differences;
                        }
                    },
                    Err(error) => why = error,
                }
            }
            if Instant::now() > self.deadline || closed == TRIES {
                break;
            }
            sleep(POLL_INTERVAL).await;
        }
        Err(format!("{}: {why}", member.name()).into())
    }

    /// What differs, or why that is not known yet.
    ///
    /// # Errors
    /// Where the backup itself cannot be read, and will not be.
    async fn differences(&self, member: &dyn Ensemble) -> Result<Result<RestoreReport, String>, Failure> {
        let client = match member.connect().await {
            Ok(client) => client,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let options = RestoreOptions {
            dry_run: true,
            compares_only: true,
            now: self.context.now().unix_timestamp() * 1_000,
            ..RestoreOptions::default()
        };
        let report = restore(Arc::clone(self.records), &*client, &options).await;
        client.close().await;
        match report {
            Err(RestoreError::Archive { cause, .. }) if !cause.may_pass() => Err(cause.into()),
            report => Ok(report.map_err(|error| error.to_string())),
        }
    }
}

/// What differs, if anything does that matters.
fn difference(report: &RestoreReport) -> Option<String> {
    let absent = report.created - report.created_passing;
    let differences = absent + report.deleted + report.data_changed + report.acl_changed;
    if let Some(failure) = report.failures.first() {
        let count = report.failed;
        return Some(format!(
            "{count} znodes cannot be compared, the first {}: {}",
            failure.path, failure.why
        ));
    }
    if report.unseen > 0 {
        return Some(format!(
            "{} znodes may not be read, and cannot be compared",
            report.unseen
        ));
    }
    (differences > 0).then(|| {
        let first = report.differences.first();
        let first = first.map_or(String::new(), |first| format!(", among them {}", first.path));
        format!(
            "{differences} znodes are not as in the backup ({absent} missing, {} in excess, {} with other data, {} with \
             another ACL{first})",
            report.deleted, report.data_changed, report.acl_changed
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_read_is_not_as_in_the_backup() {
        let unseen = RestoreReport {
            unseen: 2,
            ..RestoreReport::default()
        };
        let told = difference(&unseen).unwrap();
        assert!(told.starts_with("2 znodes may not be read"), "{told}");
        // Servers may have deleted these by themselves.
        let passed = RestoreReport {
            created: 3,
            created_passing: 3,
            ..RestoreReport::default()
        };
        assert_eq!(difference(&passed), None);
        let lacking = RestoreReport { created: 4, ..passed };
        assert!(difference(&lacking).unwrap().contains("1 missing"));
    }
}
