//! A verification: of one vault, or of those that were not verified for longest, by bytes.

use std::sync::Arc;

use time::OffsetDateTime;
use vault_store::{StoredCopy, VaultId, Verification};

use super::context::JobContext;
use super::failure::{Cause, Failure};
use super::result::{DamagedVault, JobResult, VerifyResult};
use super::stop::{Stop, Stopped};
use crate::requests::VerifyPayload;
use crate::vaults::Vaults;
use crate::vaults::records;
use crate::vaults::thorough::{Extent, Step, thorough};
use crate::{EngineError, Share};

/// Damaged vaults whose damage a result has, and the damage of each.
const SHOWN: usize = 100;

/// Reads vaults and compares them with what was committed. Damage is recorded, and makes the job fail.
pub(super) async fn run(
    vaults: &Arc<Vaults>,
    context: &Arc<JobContext>,
    stop: &Arc<Stop>,
) -> Result<JobResult, Failure> {
    let payload: VerifyPayload = serde_json::from_value(context.job.payload.clone())?;
    let named = context
        .job
        .needs
        .first()
        .map(|id| id.parse::<VaultId>())
        .transpose()?;
    let (vaults, stop, job) = (Arc::clone(vaults), Arc::clone(stop), Arc::clone(context));
    let work = move || {
        let mut run = Run {
            vaults,
            context: job,
            stop,
            done: VerifyResult::default(),
        };
        let ended = match named {
            Some(id) => run.verify_one(&id),
            None => run.some(payload.share),
        };
        (ended, run.done)
    };
    let (ended, done) = tokio::task::spawn_blocking(work).await?;
    let log = &context.log;
    log.info(&format!(
        "{} backups were verified, {} bytes",
        done.vaults, done.bytes
    ));
    let cause = match ended {
        Err(cause) => Some(cause),
        Ok(()) => damage_found(&done).map(Cause::Said),
    };
    context.metrics.verification_ended(cause.is_some());
    let result = JobResult::Verify(Box::new(done));
    match cause {
        None => Ok(result),
        Some(cause) => {
            log.error(&cause.to_string());
            Err(Failure { cause, result })
        }
    }
}

/// What keeps the job from being a success.
fn damage_found(done: &VerifyResult) -> Option<String> {
    let vault = done.damaged.first()?;
    let damage = vault.damage.first()?;
    let place = damage
        .frame
        .map_or(String::new(), |frame| format!(", frame {frame}"));
    let more = match done.damaged_vaults {
        1 => String::new(),
        many => format!("; and {} more are", many - 1),
    };
    let copy = vault
        .copy
        .map_or("", |_| "; its second copy is sound, and is read instead");
    Some(format!(
        "backup {} is damaged: {}{place}: {}{copy}{more}",
        vault.id, damage.file, damage.what
    ))
}

struct Run {
    vaults: Arc<Vaults>,
    context: Arc<JobContext>,
    stop: Arc<Stop>,
    done: VerifyResult,
}

impl Run {
    /// Those that were not verified for longest, until `share` of all bytes is done. What could not be read counts as done, but one at least is
    /// verified: one that can never be read keeps none of the others from it.
    fn some(&mut self, share: Share) -> Result<(), Cause> {
        let mut all = self.vaults.all_anew().map_err(EngineError::from)?;
        all.retain(|stored| stored.manifest.is_ok() || stored.damage.is_some());
        let bytes: u64 = all.iter().map(|stored| stored.bytes).sum();
        let wanted = share.of(bytes);
        all.sort_by_key(|stored| (stored.verified_at(), stored.date()));
        let mut gone_through = 0;
        let mut passing = None;
        for stored in all {
            if gone_through >= wanted && self.done.vaults > 0 {
                break;
            }
            match self.verify_one(&stored.id) {
                Ok(()) => gone_through += stored.bytes,
                Err(Cause::Engine(EngineError::BackupNotFound(_))) => {} // evicted meanwhile
                Err(stopped @ Cause::Stopped(_)) => return Err(stopped),
                Err(cause) => {
                    let why = format!("backup {} could not be verified: {cause}", stored.id);
                    self.context.log.error(&why);
                    passing.get_or_insert(why);
                    gone_through += stored.bytes;
                }
            }
        }
        passing.map_or(Ok(()), |why| Err(Cause::Said(why)))
    }

    fn verify_one(&mut self, id: &VaultId) -> Result<(), Cause> {
        let _held = self.vaults.hold(id);
        let JobContext {
            log,
            progress,
            metrics,
            ..
        } = &*self.context;
        let now: OffsetDateTime = self.context.now();
        let (mut stopped, mut bytes) = (None, 0);
        let mut go_on = |step: Step| {
            match step {
                Step::Read(read) => {
                    progress.phase("verifying");
                    progress.add(0, usize::try_from(read).unwrap_or(usize::MAX));
                    bytes += read;
                }
                Step::Decoded(znodes) => {
                    progress.phase("decoding");
                    progress.add(znodes, 0);
                }
            }
            stopped = self.stop.check().err();
            stopped.is_none()
        };
        self.vaults.look_at_first(id);
        let reads = self.vaults.reads_of_second(id);
        let found = thorough(&*self.vaults.store, id, now, Extent::Whole, &mut go_on);
        self.done.bytes += bytes;
        self.done.copy = self.done.copy.or(self.vaults.read_since(id, reads));
        metrics.verified(bytes);
        let Some(found) = found? else {
            return Err(stopped.unwrap_or(Stopped::Ending).into());
        };
        self.vaults.record_verification(id, &found);
        self.done.vaults += 1;
        if !found.is_sound() {
            for damage in found.damage.iter().take(SHOWN) {
                let place = damage
                    .frame
                    .map_or(String::new(), |frame| format!(", frame {frame}"));
                log.error(&format!("backup {id}: {}{place}: {}", damage.file, damage.what));
            }
            self.done.note(id, &found, None);
        } else if let Some(replaced) = self.vaults.replaced(id) {
            log.error(&format!("backup {id} is damaged, and its second copy is sound"));
            let found = Verification::new(now, replaced);
            self.done.note(id, &found, Some(StoredCopy::Second));
        }
        Ok(())
    }
}

impl VerifyResult {
    fn note(&mut self, id: &VaultId, found: &Verification, copy: Option<StoredCopy>) {
        self.damaged_vaults += 1;
        if self.damaged.len() < SHOWN {
            self.damaged.push(DamagedVault {
                id: id.clone(),
                restorable: copy.is_some() || records::spoiling(found).is_none(),
                damage: found.damage.iter().take(SHOWN).cloned().collect(),
                copy,
            });
        }
    }
}
