//! What is seen from outside, and what must be true of it.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use job_queue::JobState;
use serde_json::Value;

/// How often what has happened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    /// That another server led.
    pub(crate) leaders: u64,
    pub(crate) commits: u64,
    pub(crate) removals: u64,
    /// Requests to the ensemble that write.
    pub(crate) writes: u64,
    /// Restores that were done in the storm.
    pub(crate) restored: u64,
    /// Restores that others found cut off.
    pub(crate) cut_off: u64,
    /// Evictions that were refused, as another server leads.
    pub(crate) refused: u64,
    /// Requests that commit a backup, and would have come after it was removed again.
    pub(crate) too_late: u64,
}

impl AddAssign for Counted {
    fn add_assign(&mut self, other: Self) {
        self.leaders += other.leaders;
        self.commits += other.commits;
        self.removals += other.removals;
        self.writes += other.writes;
        self.restored += other.restored;
        self.cut_off += other.cut_off;
        self.refused += other.refused;
        self.too_late += other.too_late;
    }
}

/// A job, as it was written last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) state: JobState,
    pub(crate) kind: String,
    worker: Option<String>,
}

/// The lease, as it was written last.
#[derive(Debug, Default)]
struct Reign {
    /// `None` if it was given away.
    by: Option<String>,
    /// When it runs out for who holds it, in the time of the world.
    until: Duration,
}

#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) is_calm: bool,
    /// The first thing.
    pub(crate) wrong: Option<String>,
    /// Jobs whose client was told that they are accepted, and whether they are restores.
    pub(crate) accepted: BTreeMap<String, bool>,
    /// Backups, and whether they are there.
    pub(crate) vaults: BTreeMap<String, bool>,
    pub(crate) jobs: BTreeMap<String, Seen>,
    /// How jobs have ended.
    pub(crate) ends: BTreeMap<String, JobState>,
    reign: Reign,
    /// The last restore that wrote, and those that wrote before it.
    writing: Option<String>,
    written: Vec<String>,
    pub(crate) counted: Counted,
}

impl Facts {
    pub(crate) fn wrong(&mut self, at: Duration, why: impl std::fmt::Display) {
        self.wrong.get_or_insert(format!("after {at:?}: {why}"));
    }

    /// The lease was written by a request that went out such that it runs out at `until`.
    pub(crate) fn leads(&mut self, body: &[u8], until: Duration) {
        let body: Value = serde_json::from_slice(body).unwrap();
        let by = body["instance"]
            .as_str()
            .map(|_| body["name"].as_str().unwrap().to_owned());
        if by.is_some() && by != self.reign.by {
            self.counted.leaders += 1;
        }
        self.reign = Reign { by, until };
    }

    /// Whether `server` holds the lease.
    pub(crate) fn is_led_by(&self, server: &str, now: Duration) -> bool {
        self.reign.by.as_deref() == Some(server) && now < self.reign.until
    }

    fn unless_led_by(&mut self, server: &str, now: Duration, what: &str) {
        if !self.is_led_by(server, now) {
            let why = format!("{what} by {server}, while the lease is {:?}", self.reign);
            self.wrong(now, why);
        }
    }

    /// A manifest was written.
    pub(crate) fn committed(&mut self, id: &str, now: Duration) {
        self.counted.commits += 1;
        if self.vaults.insert(id.to_owned(), true).is_some() {
            self.wrong(now, format!("backup {id} was committed twice"));
        }
    }

    /// Whether a backup was there, and is not any more.
    pub(crate) fn is_removed(&self, id: &str) -> bool {
        self.vaults.get(id) == Some(&false)
    }

    /// A manifest was deleted that was there.
    pub(crate) fn removed(&mut self, id: &str, server: &str, now: Duration) {
        self.counted.removals += 1;
        self.vaults.insert(id.to_owned(), false);
        self.unless_led_by(server, now, &format!("backup {id} was removed"));
    }

    /// A request that writes has come to the ensemble.
    pub(crate) fn wrote(&mut self, server: &str, now: Duration) {
        self.counted.writes += 1;
        self.unless_led_by(server, now, "the ensemble was written to");
        let is_its = |job: &Seen| {
            job.state == JobState::Processing
                && job.kind == "restore"
                && job.worker.as_deref() == Some(server)
        };
        let job = self
            .jobs
            .iter()
            .find(|(_, job)| is_its(job))
            .map(|(id, _)| id.clone());
        let Some(job) = job else {
            return self.wrong(now, format!("{server} writes, and does no restore"));
        };
        if self.writing.as_ref() == Some(&job) {
            return;
        }
        if self.written.contains(&job) {
            self.wrong(
                now,
                format!("restore {job} goes on after another one has written"),
            );
        }
        self.written.extend(self.writing.replace(job));
    }

    /// The jobs were written. Each is a step from what was there before.
    pub(crate) fn queued(&mut self, body: &[u8], now: Duration) {
        let body: Value = serde_json::from_slice(body).unwrap();
        let told = body["value"]["table"]["jobs"].as_array().unwrap();
        let jobs: BTreeMap<_, _> = told.iter().map(seen).collect();
        let busy = jobs.values().filter(|job| job.state == JobState::Processing);
        if busy.count() > 1 {
            self.wrong(now, "two jobs of one lane are being done");
        }
        let before = std::mem::replace(&mut self.jobs, jobs.clone());
        for (id, was) in before {
            match jobs.get(&id) {
                None if was.state.is_final() => {}
                None => self.wrong(now, format!("job {id} was {was:?}, and is lost")),
                Some(is) => {
                    let may =
                        is.state == was.state || (!was.state.is_final() && is.state != JobState::Queued);
                    if !may || (was.worker.is_some() && was.worker != is.worker) {
                        self.wrong(now, format!("job {id} was {was:?}, and is {is:?}"));
                    }
                    if was.state == JobState::Processing
                        && is.state == JobState::Failed
                        && is.kind == "restore"
                    {
                        self.counted.cut_off += 1;
                    }
                }
            }
        }
        for (id, job) in jobs.iter().filter(|(_, job)| job.state.is_final()) {
            let before = self.ends.insert(id.clone(), job.state);
            if before.is_some_and(|before| before != job.state) {
                self.wrong(now, format!("job {id} ended as {before:?}, and as {}", job.state));
            }
            let is_new = before.is_none() && !self.is_calm;
            if is_new && job.kind == "restore" && job.state == JobState::Successful {
                self.counted.restored += 1;
            }
        }
    }
}

fn seen(job: &Value) -> (String, Seen) {
    let text = |name: &str| job[name].as_str().map(str::to_owned);
    let seen = Seen {
        state: JobState::from_name(&text("state").unwrap()).unwrap(),
        kind: text("kind").unwrap(),
        worker: text("worker"),
    };
    (text("id").unwrap(), seen)
}
