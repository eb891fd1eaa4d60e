//! A verification: of one vault, or of those that were not verified for longest, by bytes.

use std::sync::Arc;

use time::OffsetDateTime;
use vault_store::{StoreError, StoredCopy, VaultId, Verification};

use super::context::JobContext;
use super::failure::{Cause, Failure};
use super::result::{DamagedCopy, DamagedVault, JobResult, VerifyResult};
use super::stop::{CheckStop, Stopped};
use crate::requests::VerifyPayload;
use crate::vaults::records;
use crate::vaults::thorough::{Checked, Extent, Step, thorough};
use crate::vaults::{Stored, Vaults};
use crate::{EngineError, Share};

/// Damaged vaults whose damage a result has, and the damage of each.
const SHOWN: usize = 100;

/// Reads vaults and compares them with what was committed. Damage is recorded, and makes the job fail.
pub(super) async fn run(
    vaults: &Arc<Vaults>,
    context: &Arc<JobContext>,
    stop: &Arc<CheckStop>,
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
    if !cause.as_ref().is_some_and(Cause::is_stopped) {
        context.metrics.verification_ended(cause.is_some());
    }
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
    let Some(vault) = done.damaged.first() else {
        return copy_damaged(done);
    };
    let damage = vault.damage.first()?;
    let more = match done.damaged_vaults {
        1 => String::new(),
        many => format!("; and {} more are", many - 1),
    };
    let is_damaged_too = done.copies_damaged.iter().any(|copy| copy.id == vault.id);
    let copy = match (vault.copy, is_damaged_too) {
        (None, false) => "",
        (None, true) => "; so is its second copy",
        (Some(_), false) => "; its second copy is sound, and is read instead",
        (Some(_), true) => "; its second copy is damaged elsewhere, and is read instead where it is whole",
    };
    Some(format!("backup {} is damaged: {damage}{copy}{more}", vault.id))
}

fn copy_damaged(done: &VerifyResult) -> Option<String> {
    let copy = done.copies_damaged.first()?;
    let damage = copy.damage.first()?;
    let more = match done.damaged_copies {
        1 => String::new(),
        many => format!("; and {} more are", many - 1),
    };
    Some(format!(
        "the second copy of backup {} is damaged: {damage}; the backup is sound, and its copy is made anew{more}",
        copy.id
    ))
}

struct Run {
    vaults: Arc<Vaults>,
    context: Arc<JobContext>,
    stop: Arc<CheckStop>,
    done: VerifyResult,
}

impl Run {
    /// Those that were not verified for longest, until `share` of all bytes is done. What could not be read counts as done, but one at least is
    /// verified: one that can never be read keeps none of the others from it.
    fn some(&mut self, share: Share) -> Result<(), Cause> {
        let mut all = self.vaults.all_anew().map_err(EngineError::from)?;
        all.retain(|stored| stored.manifest.is_ok() || stored.damage.is_some());
        let copies = Arc::clone(&self.vaults);
        // With those of the copies that are read as well.
        let weight = |stored: &Stored| stored.bytes.saturating_mul(copies.copies(&stored.id));
        let bytes: u64 = all.iter().map(|stored| weight(stored)).sum();
        let wanted = share.of(bytes);
        let now = self.context.now();
        all.sort_by_key(|stored| (stored.verified_by(now), stored.date()));
        let mut gone_through = 0;
        let mut passing = None;
        for stored in all {
            let weight = weight(&stored);
            if gone_through >= wanted && self.done.vaults > 0 {
                break;
            }
            match self.verify_one(&stored.id) {
                Ok(()) => gone_through += weight,
                Err(Cause::Engine(EngineError::BackupNotFound(_))) => {} // evicted meanwhile
                Err(stopped @ Cause::Stopped(_)) => return Err(stopped),
                Err(cause) => {
                    let why = format!("backup {} could not be verified: {cause}", stored.id);
                    self.context.log.error(&why);
                    passing.get_or_insert(why);
                    gone_through += weight;
                }
            }
        }
        passing.map_or(Ok(()), |why| Err(Cause::Said(why)))
    }

    fn verify_one(&mut self, id: &VaultId) -> Result<(), Cause> {
        let _held = self.vaults.hold(id);
        let (context, stop) = (Arc::clone(&self.context), Arc::clone(&self.stop));
        let mut reading = Reading {
            context: &context,
            stop: &stop,
            stopped: None,
            bytes: 0,
        };
        let now: OffsetDateTime = context.now();
        self.vaults.look_at_first(id);
        let reads = self.vaults.reads_of_second(id);
        let checked = thorough(&*self.vaults.store, id, now, Extent::Whole, &mut |step| {
            reading.go_on(step)
        });
        self.done.copy = self.done.copy.or(self.vaults.read_since(id, reads));
        self.count(&mut reading);
        let Some(Checked { found, lacks }) = checked? else {
            return Err(reading.stopped.unwrap_or(Stopped::Ending).into());
        };
        if !found.is_sound() {
            self.vaults.record_verification(id, &found);
            self.done.vaults += 1;
            for damage in found.damage.iter().take(SHOWN) {
                context.log.error(&format!("backup {id}: {damage}"));
            }
            self.done.note(id, &found, None);
        }
        let copy = self
            .vaults
            .verify_second(id, now, &mut |read| reading.go_on(Step::Read(read)));
        self.count(&mut reading);
        // What is sound, and was not gone through to the end, is gone through again.
        if let Some(stopped) = reading.stopped {
            return Err(stopped.into());
        }
        self.note_copy(id, copy);
        if found.is_sound() {
            self.note_lacks(id, &lacks);
            self.vaults.record_verification(id, &found);
            if let Some(second) = &self.vaults.second {
                second.found_whole(id);
            }
            self.done.vaults += 1;
            if let Some(replaced) = self.vaults.replaced(id) {
                let log = &context.log;
                log.error(&format!("backup {id} is damaged, and read from its second copy"));
                let found = Verification::new(now, replaced);
                self.done.note(id, &found, Some(StoredCopy::Second));
            }
        }
        Ok(())
    }

    /// What a restore would tell of a backup that is sound.
    fn note_lacks(&mut self, id: &VaultId, lacks: &[String]) {
        for what in lacks {
            let note = format!("backup {id}: {what}");
            self.context.log.error(&note);
            if self.done.notes.len() < SHOWN {
                self.done.notes.push(note);
            }
        }
    }

    /// Counts what was read since it was counted last.
    fn count(&mut self, reading: &mut Reading<'_>) {
        let bytes = std::mem::take(&mut reading.bytes);
        self.done.bytes += bytes;
        self.context.metrics.verified(bytes);
    }

    /// Tells what was found of the second copy. One that cannot be read just now is no fault of the backup, and health tells.
    fn note_copy(&mut self, id: &VaultId, found: Result<Option<Verification>, StoreError>) {
        let log = &self.context.log;
        let found = match found {
            Ok(None) => return,
            Ok(Some(found)) => found,
            Err(error) => {
                return log.info(&format!(
                    "the second copy of backup {id} was not verified: {error}"
                ));
            }
        };
        self.done.copies += 1;
        if found.is_sound() {
            return;
        }
        for damage in found.damage.iter().take(SHOWN) {
            log.error(&format!("the second copy of backup {id}: {damage}"));
        }
        self.done.damaged_copies += 1;
        if self.done.copies_damaged.len() < SHOWN {
            self.done.copies_damaged.push(DamagedCopy {
                id: id.clone(),
                damage: found.damage.into_iter().take(SHOWN).collect(),
            });
        }
    }
}

/// How far reading has come, and what has ended it.
struct Reading<'a> {
    context: &'a JobContext,
    stop: &'a CheckStop,
    stopped: Option<Stopped>,
    bytes: u64,
}

impl Reading<'_> {
    fn go_on(&mut self, step: Step) -> bool {
        let progress = &self.context.progress;
        match step {
            Step::Read(read) => {
                progress.phase("verifying");
                progress.add(0, usize::try_from(read).unwrap_or(usize::MAX));
                self.bytes += read;
            }
            Step::Decoded(znodes) => {
                progress.phase("decoding");
                progress.add(znodes, 0);
            }
        }
        self.stopped = self.stop.check().err();
        self.stopped.is_none()
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
