//! Where vaults and jobs are kept.

#[cfg(feature = "sqlite")]
use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "sqlite")]
use health_metrics::FsProbe;
#[cfg(feature = "sqlite")]
use job_queue::SqliteJobs;
use job_queue::{JobStore, Note};
use time::PrimitiveDateTime;
#[cfg(feature = "object-store")]
use vault_store::ObjectVaults;
#[cfg(feature = "sqlite")]
use vault_store::{FileName, PredecessorStore, StoreError, VaultId};
use vault_store::{FsStore, VaultStore};

use super::EngineBuilder;
use crate::error::EngineError;
#[cfg(feature = "sqlite")]
use crate::health::HeldDirectory;
use crate::owed::{JOB, Owed};

/// What lies in a directory of [`EngineBuilder::local_state`], so that nobody takes it for one with vaults.
#[cfg(feature = "sqlite")]
pub const VAULTS_ELSEWHERE: &str = "vaults-elsewhere";

impl EngineBuilder {
    /// Keeps vaults, jobs with what restores leave unfinished (`jobs.db`) and the last time that was relied on (`clock`)
    /// in the directory `root`, which no other process may hold. What the Qubership backup daemon left there is shown beside them, and neither
    /// copied to a second store nor sealed.
    ///
    /// # Errors
    /// [`EngineError::Storage`] if it is held, missing and cannot be made, or cannot be written.
    #[cfg(feature = "sqlite")]
    pub fn storage(mut self, root: &Path) -> Result<Self, EngineError> {
        let vaults = open(root)?;
        // The predecessor's have none of our manifests. Where they cannot be listed, health tells.
        let has_ours = |id: &VaultId| vaults.manifest(id).is_ok();
        let has_any = || vaults.ids().is_ok_and(|ids| ids.iter().rev().any(has_ours));
        self.open_jobs(root, has_any)?;
        self.keep_in(root, vaults)
    }

    /// The same, with jobs in memory: for who needs none of those that are kept there, as their database cannot be used.
    ///
    /// # Errors
    /// As [`storage`](Self::storage).
    #[cfg(feature = "sqlite")]
    pub fn storage_without_jobs(self, root: &Path) -> Result<Self, EngineError> {
        let vaults = open(root)?;
        self.keep_in(root, vaults)
    }

    #[cfg(feature = "sqlite")]
    fn keep_in(mut self, root: &Path, vaults: FsStore) -> Result<Self, EngineError> {
        let elsewhere = root.join(VAULTS_ELSEWHERE);
        match std::fs::remove_file(&elsewhere) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io(elsewhere.display(), error).into());
            }
            _ => {} // they were elsewhere before, or never
        }
        let directory = Arc::new(vaults);
        self.storage_probe = Arc::new(HeldDirectory {
            filesystem: FsProbe::new(root),
            held: Arc::clone(&directory),
            has_vaults: true,
        });
        let vaults = Arc::clone(&directory) as _;
        Ok(self.at(vaults, Some(directory)))
    }

    /// The same without vaults, which are elsewhere: [`vaults`](Self::vaults), `objects`.
    ///
    /// # Errors
    /// As [`storage`](Self::storage).
    #[cfg(feature = "sqlite")]
    pub fn local_state(mut self, root: &Path) -> Result<Self, EngineError> {
        let state = Arc::new(open(root)?);
        self.open_jobs(root, || root.join(VAULTS_ELSEWHERE).exists())?;
        let listed = PredecessorStore::new(Arc::clone(&state) as _, Arc::clone(&state)).ids()?;
        match listed.len() {
            0 => {}
            count => log::warn!(
                "{count} backups in {} are not listed, since backups are kept elsewhere now",
                root.display()
            ),
        }
        state.keep_note(&FileName::from_static(VAULTS_ELSEWHERE), b"")?;
        self.storage_probe = Arc::new(HeldDirectory {
            filesystem: FsProbe::new(root),
            held: Arc::clone(&state),
            has_vaults: false,
        });
        self.local_state = Some(state);
        Ok(self)
    }

    #[cfg(feature = "sqlite")]
    fn open_jobs(&mut self, root: &Path, had_jobs: impl FnOnce() -> bool) -> Result<(), EngineError> {
        let place = root.join("jobs.db");
        let opened = SqliteJobs::open(&place)?;
        self.notes_lost = opened.notes_lost;
        if opened.is_new && had_jobs() {
            self.notes_lost = true;
            log::warn!(
                "{} was not there though there are backups, and a new one is begun: which jobs waited, and what restores left unfinished, is not known",
                place.display()
            );
        }
        if let Some(path) = opened.moved_aside {
            log::warn!(
                "the job database was damaged: moved to {}, and a new one begun",
                path.display()
            );
        }
        self.noted_earlier = Some(root.join("unfinished.jsonl"));
        self.jobs = Arc::new(opened.jobs);
        Ok(())
    }

    /// Where vaults are kept. Health and every list ask it all that they tell: for a store that is asked over a network call [`remote_vaults`](Self::remote_vaults).
    pub fn vaults(self, vaults: Arc<dyn VaultStore>) -> Self {
        self.at(vaults, None)
    }

    /// The same of a store that is asked over a network, which `place` names for people, such as `https://vaults.example`. Nobody waits for it who can do without: health and lists tell what is
    /// known of it, which is asked for beside; what other processes write is told seconds later, and what they recorded of older vaults in turns.
    pub fn remote_vaults(mut self, vaults: Arc<dyn VaultStore>, place: impl Into<String>) -> Self {
        self = self.vaults(vaults);
        (self.is_remote, self.place) = (true, Some(place.into()));
        self
    }

    /// In `vaults`, and nowhere that was said before.
    fn at(mut self, vaults: Arc<dyn VaultStore>, directory: Option<Arc<FsStore>>) -> Self {
        (self.vaults, self.directory) = (vaults, directory);
        (self.is_remote, self.place) = (false, None);
        #[cfg(feature = "object-store")]
        {
            self.objects = None;
        }
        self
    }

    /// Keeps vaults in an object store, which `place` names for people, such as `s3://backups/zookeeper`. It is asked for as little as
    /// [`remote_vaults`](Self::remote_vaults). What was never committed is [swept](ObjectVaults::sweep) at the start and once a day.
    ///
    /// For a store around this one call [`around_vaults`](Self::around_vaults).
    #[cfg(feature = "object-store")]
    pub fn objects(mut self, objects: ObjectVaults, place: impl Into<String>) -> Self {
        self = self.remote_vaults(Arc::new(objects.clone()), place);
        self.objects = Some(objects);
        self
    }

    /// What is put around that store, whether it was given before or is given later: one that seals vaults, for example
    /// (`vault_store::SealedStore`, feature `encryption`). With second copies it is also put around each of the two alone, to tell whether
    /// what is there was sealed under its id; and around what comes [in from elsewhere](crate::Engine::import), before it is anywhere else.
    pub fn around_vaults(
        mut self,
        around: impl Fn(Arc<dyn VaultStore>) -> Arc<dyn VaultStore> + Send + Sync + 'static,
    ) -> Self {
        self.around_vaults = Some(Arc::new(around));
        self
    }

    /// Where jobs are kept.
    pub fn jobs(mut self, jobs: Arc<dyn JobStore>) -> Self {
        self.jobs = jobs;
        self
    }

    /// Where several engines keep jobs together. What restores left unfinished, as the store noted that was set so far, is noted there from
    /// now on, and so are jobs whose end is to be [told](Self::keep_news), which was said before; jobs that wait in it are not done any more, and are told in the log.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub fn shared_jobs(mut self, jobs: Arc<dyn JobStore>) -> Result<Self, EngineError> {
        let (owed, now) = (Owed::new(Arc::clone(&self.jobs), self.keeps_news), (self.clock)());
        let whenever = PrimitiveDateTime::MAX.assume_utc();
        for job in owed.recover(&self.worker, Some(whenever), now)? {
            log::warn!("job {} was interrupted", job.id);
        }
        let mut notes = self.jobs.notes()?;
        for note in notes
            .iter_mut()
            .filter(|note| note.key == JOB && note.value.is_empty())
        {
            if let Some(job) = self.jobs.get(&note.job)? {
                note.value = job.to_json()?;
            }
        }
        // Where there are none nobody is asked: it may be away.
        if !notes.is_empty() {
            take_over(&notes, &*jobs)?;
        }
        for note in notes {
            self.jobs.drop_notes(&note.job, &[note.key])?;
        }
        match self.jobs.counts()?.queued {
            0 => {}
            queued => log::warn!("{queued} jobs that were queued on this server alone are not done"),
        }
        self.jobs = jobs;
        Ok(self)
    }
}

#[cfg(feature = "sqlite")]
fn open(root: &Path) -> Result<FsStore, EngineError> {
    let vaults = FsStore::open(root)?;
    for name in vaults.swept() {
        log::warn!("swept what was never finished: {name}");
    }
    let tightened = vaults.tightened();
    if tightened.closed > 0 {
        let (closed, root) = (tightened.closed, root.display());
        log::warn!(
            "{closed} files and directories of {root} could be read by other users: they are closed to them now"
        );
    }
    for left in &tightened.left_open {
        log::warn!("other users may have access, and it cannot be taken from them: {left}");
    }
    Ok(vaults)
}

/// Puts notes where several engines keep them. Ids are times: others may owe the end of a job of that name as well, and it is theirs that is told.
fn take_over(notes: &[Note], jobs: &dyn JobStore) -> Result<(), EngineError> {
    let (lost, kept) = apart(notes, &jobs.notes()?);
    for note in lost {
        log::warn!(
            "that job {} has ended is not told: another of that name is",
            note.job
        );
    }
    Ok(jobs.put_notes(&kept)?)
}

/// Those of `notes` that others have of another job of that name, and those that they have not. The very same one was put there by a start that ended before it
/// was dropped here, and is in neither.
fn apart(notes: &[Note], theirs: &[Note]) -> (Vec<Note>, Vec<Note>) {
    let (mut lost, mut kept) = (Vec::new(), Vec::new());
    for note in notes {
        let is_same = |other: &&Note| (&other.job, &other.key) == (&note.job, &note.key);
        match theirs.iter().find(is_same) {
            Some(other) if other == note => {}
            Some(_) if note.key == JOB => lost.push(note.clone()),
            Some(_) | None => kept.push(note.clone()),
        }
    }
    (lost, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_ends_of_one_job_that_of_others_counts_and_ones_own_is_no_others() {
        let ours = [
            Note::new("a", JOB, "our a"),
            Note::new("b", JOB, "our b"),
            Note::new("c", JOB, "our c"),
            Note::new("c", "/c", "our znode"),
        ];
        let theirs = [
            Note::new("a", JOB, "their a"),
            ours[1].clone(),
            Note::new("c", "/c", "their znode"),
        ];
        let (lost, kept) = apart(&ours, &theirs);
        assert_eq!(lost, ours[..1]);
        assert_eq!(kept, ours[2..]);
    }
}
