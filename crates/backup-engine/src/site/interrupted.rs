//! Which restores were cut off by the end of a process: each notes that it writes, until it has ended.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use job_queue::{JobState, JobStore, Note, QueueError};
use serde::{Deserialize, Serialize};
use zk_snapshot::restore::Policy;
use zk_snapshot::tree::ZnodePath;
use zk_snapshot::tree::reserved::is_reserved;

use crate::EngineError;
use crate::lock::lock;
use crate::plain::plain;

/// What the notes are about. Those about a znode begin with a slash.
pub(super) const KEY: &str = "restore";

/// What a restore was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// The backup that it was of.
    pub(crate) vault: String,
    /// The subtrees that were asked for; none means everything.
    pub(crate) roots: Vec<ZnodePath>,
    /// Those that it writes to; none means everything.
    pub(crate) targets: Vec<ZnodePath>,
    /// What it does with what is there.
    #[serde(default)]
    pub(crate) policy: Policy,
    /// What it brings back in other places. `None` in the notes of earlier versions, which do not tell.
    #[serde(default)]
    pub(crate) renames: Option<BTreeMap<ZnodePath, ZnodePath>>,
    /// Whether it replaces all that there is, and `/zookeeper` with it.
    #[serde(default)]
    pub(crate) by_files: bool,
}

impl Asked {
    /// Whether it writes wherever `other` did, and all that it did.
    fn covers(&self, other: &Self) -> bool {
        let everywhere = match other.targets.is_empty() {
            true => self.targets.is_empty(),
            false => {
                let mut written = other.targets.iter().filter(|path| other.reaches(path));
                written.all(|path| self.reaches(path) && !self.leaves(path))
            }
        };
        let mut renamed = self.renames.iter().flat_map(BTreeMap::keys);
        let mut brought_to = other.renames.iter().flat_map(BTreeMap::values);
        let brings_all = brought_to.all(|to| self.reaches(to) && !self.leaves(to));
        let leaves_some = other.renames.is_some()
            && renamed.any(|from| self.leaves(from) && other.reaches(from) && !other.leaves(from));
        everywhere && brings_all && !leaves_some && does(self.policy) >= does(other.policy)
    }

    /// Whether `path` is where it was to write. What is the servers' own it only touches where that is asked for, or by files.
    fn reaches(&self, path: &ZnodePath) -> bool {
        let is_target = self.targets.is_empty() || self.targets.iter().any(|target| path.is_within(target));
        is_target && (!is_reserved(path) || !self.roots.is_empty() || self.by_files)
    }

    /// Whether it leaves what is at `path` as it is, since it brings that back elsewhere.
    fn leaves(&self, path: &ZnodePath) -> bool {
        let mut renames = self.renames.iter().flatten();
        let is_taken_away = renames.clone().any(|(from, _)| path.is_within(from));
        is_taken_away && !renames.any(|(_, to)| path.is_within(to))
    }
}

/// How much of a difference a policy does away with.
fn does(policy: Policy) -> u8 {
    match policy {
        Policy::Missing => 0,
        Policy::Merge => 1,
        Policy::Replace => 2,
    }
}

/// The job of a restore, and what it was asked for.
type Interrupted = (String, Asked);

/// The restores that were cut off, and that none has made up for since.
pub(crate) struct InterruptedRestores {
    jobs: Arc<dyn JobStore>,
    /// As they were noted when that was read last.
    known: Mutex<Vec<Interrupted>>,
}

impl InterruptedRestores {
    /// None yet: they are [taken from notes](Self::take).
    pub(crate) fn new(jobs: Arc<dyn JobStore>) -> Self {
        Self {
            jobs,
            known: Mutex::default(),
        }
    }

    /// Keeps those of all `notes` that are of restores which nobody does any more. Blocks.
    pub(crate) fn take(&self, notes: &[Note]) -> Result<(), EngineError> {
        let mut known = Vec::new();
        for note in notes.iter().filter(|note| note.key == KEY) {
            match self.jobs.get(&note.job)?.map(|job| job.state) {
                // That could not be noted when it ended.
                Some(JobState::Successful) => {
                    if let Err(error) = self.jobs.drop_notes(&note.job, &[KEY.to_owned()]) {
                        log::warn!("a note of job {} stays for now: {error}", plain(&note.job));
                    }
                    continue;
                }
                Some(JobState::Failed | JobState::Canceled) | None => {}
                Some(_) => continue,
            }
            known.extend(readable(note));
        }
        *lock(&self.known) = known;
        Ok(())
    }

    /// Keeps what is noted of these restores, too: they were cut off, and this process goes on. Blocks.
    pub(crate) fn cut_off(&self, restores: &[String]) -> Result<(), QueueError> {
        if restores.is_empty() {
            return Ok(());
        }
        let notes = self.jobs.notes()?;
        let cut = notes
            .iter()
            .filter(|note| note.key == KEY && restores.contains(&note.job));
        let cut: Vec<_> = cut.filter_map(readable).collect();
        let mut known = lock(&self.known);
        known.retain(|(job, _)| !restores.contains(job));
        known.extend(cut);
        Ok(())
    }

    /// Those that none has made up for.
    pub(crate) fn list(&self) -> Vec<Interrupted> {
        lock(&self.known).clone()
    }

    /// Notes that the restore `job` begins to write. Blocks.
    pub(crate) fn begin(&self, job: &str, asked: &Asked) -> Result<(), EngineError> {
        let value = serde_json::to_string(asked).map_err(io::Error::from);
        let value = value.map_err(|error| EngineError::Internal(error.into()))?;
        Ok(self.jobs.put_notes(&[Note::new(job, KEY, value)])?)
    }

    /// Notes that `job` has ended by itself. If it was `successful`, it makes up for those that were cut off where it wrote. Blocks.
    pub(crate) fn end(&self, job: &str, asked: &Asked, successful: bool) -> Result<(), EngineError> {
        let key = [KEY.to_owned()];
        self.jobs.drop_notes(job, &key)?;
        if !successful {
            return Ok(());
        }
        for earlier in self.made_up_for_by(asked) {
            self.jobs.drop_notes(&earlier, &key)?;
            lock(&self.known).retain(|(job, _)| *job != earlier);
        }
        Ok(())
    }

    /// The jobs of those that one of this makes up for, once it has succeeded.
    pub(crate) fn made_up_for_by(&self, asked: &Asked) -> Vec<String> {
        let all = self.list().into_iter();
        all.filter(|(_, was_asked)| asked.covers(was_asked))
            .map(|(job, _)| job)
            .collect()
    }
}

/// What a note says, unless it is damaged.
fn readable(note: &Note) -> Option<Interrupted> {
    let asked = serde_json::from_str(&note.value).inspect_err(|error| {
        let (job, value) = (plain(&note.job), plain(&note.value));
        log::warn!("the note {value} of job {job} cannot be read: {error}");
    });
    Some((note.job.clone(), asked.ok()?))
}

#[cfg(test)]
mod tests {
    use job_queue::{MAIN_LANE, MemoryJobs, NewJob};
    use time::OffsetDateTime;

    use super::*;

    fn of(targets: &[&str]) -> Asked {
        let targets: Vec<_> = targets
            .iter()
            .map(|path| ZnodePath::parse(path).unwrap())
            .collect();
        Asked {
            vault: "20260101T000000".to_owned(),
            roots: targets.clone(),
            targets,
            policy: Policy::Replace,
            renames: Some(BTreeMap::new()),
            by_files: false,
        }
    }

    /// One that renames, by what it writes to and what it was asked for.
    fn renamed(targets: &[&str], roots: &[&str], renames: &[(&str, &str)]) -> Asked {
        let path = |text: &str| ZnodePath::parse(text).unwrap();
        Asked {
            roots: roots.iter().map(|root| path(root)).collect(),
            renames: Some(renames.iter().map(|(from, to)| (path(from), path(to))).collect()),
            ..of(targets)
        }
    }

    /// What a process knows that is started over these jobs.
    fn started(jobs: &Arc<dyn JobStore>) -> InterruptedRestores {
        let now = OffsetDateTime::UNIX_EPOCH;
        jobs.recover("engine", None, now).unwrap();
        let all = InterruptedRestores::new(Arc::clone(jobs));
        all.take(&jobs.notes().unwrap()).unwrap();
        all
    }

    #[test]
    fn what_was_cut_off_is_known_until_a_restore_of_as_much_succeeds() {
        let jobs: Arc<dyn JobStore> = Arc::new(MemoryJobs::new());
        let now = OffsetDateTime::UNIX_EPOCH;
        let cut = of(&["/a/b", "/c"]);
        jobs.enqueue(NewJob::new("r1", "restore"), now, 9).unwrap();
        jobs.claim("engine", MAIN_LANE, now).unwrap();
        let all = started(&(Arc::new(MemoryJobs::new()) as Arc<dyn JobStore>));
        assert!(all.list().is_empty());
        let running = InterruptedRestores::new(Arc::clone(&jobs));
        running.begin("r1", &cut).unwrap();
        running.take(&jobs.notes().unwrap()).unwrap();
        assert!(running.list().is_empty(), "it is being done");

        let all = started(&jobs);
        assert_eq!(all.list(), [("r1".to_owned(), cut.clone())]);
        assert_eq!(all.made_up_for_by(&of(&["/a"])), [""; 0]);
        assert_eq!(all.made_up_for_by(&of(&["/a", "/c"])), ["r1"]);
        for (asked, successful) in [(of(&["/a"]), true), (of(&["/a", "/c"]), false), (of(&[]), false)] {
            all.begin("r2", &asked).unwrap();
            all.end("r2", &asked, successful).unwrap();
            assert_eq!(all.list(), [("r1".to_owned(), cut.clone())]);
        }
        all.end("r3", &of(&["/c", "/a"]), true).unwrap();
        assert!(all.list().is_empty());
        assert!(started(&jobs).list().is_empty());
    }

    #[test]
    fn only_all_makes_up_for_all() {
        assert!(of(&[]).covers(&of(&[])) && of(&[]).covers(&of(&["/a"])));
        assert!(!of(&["/a"]).covers(&of(&[])) && !of(&["/ab"]).covers(&of(&["/a"])));
        let merged = Asked {
            policy: Policy::Merge,
            ..of(&[])
        };
        assert!(
            !merged.covers(&of(&["/a"])) && of(&[]).covers(&merged),
            "it deletes nothing"
        );
    }

    #[test]
    fn what_the_servers_keep_themselves_is_only_made_up_for_where_that_is_asked_for() {
        let (all, quotas) = (of(&[]), of(&["/zookeeper/quota"]));
        let by_files = Asked {
            by_files: true,
            ..of(&[])
        };
        assert!(!all.covers(&quotas) && quotas.covers(&quotas) && by_files.covers(&quotas));
        assert!(all.covers(&all) && by_files.covers(&all) && !quotas.covers(&all));
        // All of a backup of these alone.
        let nothing = renamed(&["/zookeeper/quota"], &[], &[]);
        assert!(!nothing.covers(&quotas) && nothing.covers(&nothing));
    }

    #[test]
    fn what_is_brought_back_elsewhere_is_not_made_up_for() {
        let (a, b) = (of(&["/a"]), of(&["/b"]));
        let moved = renamed(&[], &[], &[("/a", "/b")]);
        assert!(!moved.covers(&a) && !moved.covers(&of(&["/a/x"])) && moved.covers(&b));
        assert!(!moved.covers(&of(&[])) && of(&[]).covers(&moved) && moved.covers(&moved));
        let of_some = renamed(&["/x", "/y"], &["/x"], &[("/x/a", "/y")]);
        assert!(!of_some.covers(&of(&["/x/a"])) && !of_some.covers(&of(&["/x"])));
        assert!(of_some.covers(&of(&["/x/b"])) && of_some.covers(&of(&["/y"])) && of_some.covers(&of_some));
        let swapped = renamed(&[], &[], &[("/a", "/b"), ("/b", "/a")]);
        let below = renamed(&[], &[], &[("/a", "/b"), ("/c", "/a/x")]);
        assert!(!moved.covers(&below) && below.covers(&below));
        assert!(swapped.covers(&a) && swapped.covers(&b) && swapped.covers(&of(&[])));
        let kept = renamed(&["/a/b", "/z"], &["/a"], &[("/a", "/z"), ("/a/b", "/a/b")]);
        assert!(kept.covers(&of(&["/a/b"])) && !kept.covers(&a) && kept.covers(&kept));
    }

    #[test]
    fn a_note_of_an_earlier_version_does_not_tell_what_was_brought_back_elsewhere() {
        let earlier: Asked =
            serde_json::from_str(r#"{"vault":"20260101T000000","roots":[],"targets":[]}"#).unwrap();
        assert_eq!((&earlier.renames, earlier.by_files), (&None, false));
        let moved = renamed(&[], &[], &[("/a", "/b")]);
        assert!(
            of(&[]).covers(&earlier) && moved.covers(&earlier),
            "it may be the same one"
        );
    }
}
