//! What somebody elsewhere is to be told of, until that was done.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use job_queue::{Job, JobStore, Note, QueueError};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use vault_store::VaultId;

use crate::blocking::blocking;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::info::JobInfo;
use crate::leadership::Role;
use crate::owed::{Debt, JOB};
use crate::plain::plain;
use crate::vaults::Vaults;
use crate::work::Running;

/// Notes of backups whose damage was told.
const DAMAGE: &str = "news-damage";
/// Notes of how often backups were sound again after that.
const SOUND: &str = "news-sound";
/// The note of the term in which it was told last who leads.
const LEADER: &str = "news-leader";
/// Damage that nobody looked for is told so late at most.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// So long the storage has to tell what is damaged.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many jobs are read at once.
const AT_ONCE: usize = 100;

/// What is worth telling somebody who does not ask.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum News {
    /// A job has ended, well or not. One that was canceled while it waited is not told.
    JobEnded(Box<JobInfo>),
    /// A backup is known to be damaged now.
    DamageFound {
        /// The backup.
        backup: VaultId,
        /// What is damaged.
        damage: String,
        /// How often damage of it was told before, after which it was sound.
        before: u64,
    },
    /// This engine leads, where there are several.
    LeadershipGained {
        /// How often the lead was taken until then.
        term: u64,
    },
    /// It leads no more.
    LeadershipLost {
        /// That in which it led.
        term: u64,
    },
}

impl News {
    /// The same each time that one and the same is told: what may come twice is known by it.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::JobEnded(job) => format!("job/{}", job.id),
            Self::DamageFound {
                backup, before: 0, ..
            } => format!("damage/{backup}"),
            Self::DamageFound { backup, before, .. } => format!("damage/{backup}/{before}"),
            Self::LeadershipGained { term } => format!("leadership/{term}/gained"),
            Self::LeadershipLost { term } => format!("leadership/{term}/lost"),
        }
    }
}

/// What is to be told, kept with the jobs until it [was](Self::delivered): whatever ends the process meanwhile, it is told at least once. Kept in memory alone are
/// that the lead was lost, as whoever leads next tells its own term, and what cannot be noted while the storage of the jobs fails. Made by [`Engine::outbox`].
#[derive(Debug)]
#[must_use]
pub struct Outbox {
    engine: Engine,
    ended: [watch::Receiver<u64>; 2],
    role: Option<watch::Receiver<Role>>,
    /// The term in which this engine was seen to lead, until its loss is told.
    led: Option<u64>,
    /// What was read and not told: it is not read again each time that nobody hears it.
    read: Vec<News>,
    /// Jobs that were noted, are not done any more, and were not read.
    unread: usize,
    /// What was [owed](Self::owed) last, and not told.
    untold: Vec<News>,
    /// Since when something is owed that does not tell when it happened.
    undated_since: Option<OffsetDateTime>,
    /// Looks for damage, and has not ended yet.
    looking: Option<JoinHandle<Result<Vec<News>, EngineError>>>,
}

impl Engine {
    /// What is to be told. Jobs are told of that begin with [`EngineBuilder::keep_news`](crate::EngineBuilder::keep_news); there is to be one outbox of an engine.
    pub fn outbox(&self) -> Outbox {
        Outbox {
            engine: self.clone(),
            ended: [self.runner.ended(), self.checker.ended()],
            role: self.leadership.as_ref().map(|leadership| leadership.role()),
            led: None,
            read: Vec::new(),
            unread: 0,
            untold: Vec::new(),
            undated_since: None,
            looking: None,
        }
    }
}

impl Outbox {
    /// What is to be told now: some of it, and more once that was [delivered](Self::delivered). Jobs and the lead come first, up to a hundred jobs in the order in
    /// which they ended, and damage when nothing else is left. Where several engines share their jobs, whoever leads tells of them.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn owed(&mut self) -> Result<Vec<News>, EngineError> {
        for ended in &mut self.ended {
            ended.borrow_and_update();
        }
        let role = self.role.as_mut().map(|role| *role.borrow_and_update());
        let leads = match role {
            Some(Role::Leader { term }) => Some(term),
            _ => None,
        };
        let mut news = Vec::new();
        match self.led {
            Some(term) if leads != Some(term) => {
                self.read.clear(); // it may tell of that term
                news.push(News::LeadershipLost { term });
            }
            _ => self.led = leads,
        }
        if role.is_none_or(|role| role != Role::Standby) {
            if self.read.is_empty() {
                let (owed, (.., requests)) = (Arc::clone(&self.engine.owed), self.engine.rooms());
                let ends = Arc::clone(&self.engine.ends);
                let running = Arc::clone(&self.engine.running);
                let kept = blocking(move || {
                    owed.note()?;
                    let mut notes = requests.jobs.notes()?;
                    // What is not noted may become another end with this process.
                    notes.retain(|note| !ends.is_unnoted(&note.job));
                    let read = kept(&*requests.jobs, &notes, leads)?;
                    let unread = unread(&notes, &running, &read);
                    Ok((read, unread))
                });
                (self.read, self.unread) = kept.await.inspect_err(|_| self.cannot_look())?;
            }
            news.extend(self.read.iter().cloned());
            if news.is_empty() {
                news = self.damage().await?;
            }
        } else {
            self.read.clear();
            self.unread = 0;
        }
        self.untold.clone_from(&news);
        self.tally();
        Ok(news)
    }

    /// Looks how much is owed by now, for the metrics of the engine: to be called after [`changed`](Self::changed) while nobody hears what is owed.
    ///
    /// # Errors
    /// [`EngineError::Storage`].
    pub async fn count(&mut self) -> Result<(), EngineError> {
        if self
            .role
            .as_ref()
            .is_some_and(|role| *role.borrow() == Role::Standby)
        {
            // Whoever leads owes it, but for what became of this one.
            self.unread = 0;
            self.untold
                .retain(|news| matches!(news, News::LeadershipLost { .. }));
            self.tally();
            return Ok(());
        }
        let (.., requests) = self.engine.rooms();
        let (running, read) = (Arc::clone(&self.engine.running), self.read.clone());
        let count = blocking(move || Ok(unread(&requests.jobs.notes()?, &running, &read)));
        self.unread = count.await?;
        self.tally();
        Ok(())
    }

    /// Something may be owed, and it is not known what.
    fn cannot_look(&mut self) {
        let since = *self.undated_since.get_or_insert_with(|| self.engine.now());
        self.engine.owed.set_debt(Debt {
            events: self.untold.len() + self.unread,
            since: Some(since),
        });
    }

    /// Tells the engine how much is owed.
    fn tally(&mut self) {
        let ended = |news: &News| match news {
            News::JobEnded(job) => job.finished_at,
            _ => None,
        };
        let dated = self.untold.iter().filter_map(ended).min();
        // What was not read does not tell either. Where something was read, that is older.
        let is_undated = self.untold.iter().any(|news| ended(news).is_none())
            || (self.untold.is_empty() && self.unread > 0);
        self.undated_since = is_undated.then(|| self.undated_since.unwrap_or_else(|| self.engine.now()));
        self.engine.owed.set_debt(Debt {
            events: self.untold.len() + self.unread,
            since: dated.into_iter().chain(self.undated_since).min(),
        });
    }

    /// What is damaged and was not told. A storage that does not answer keeps nothing else waiting.
    async fn damage(&mut self) -> Result<Vec<News>, EngineError> {
        let (vaults, _, requests) = self.engine.rooms();
        let looking = self
            .looking
            .get_or_insert_with(|| tokio::spawn(blocking(move || damage(&*requests.jobs, &vaults))));
        let Ok(found) = timeout(PATIENCE, &mut *looking).await else {
            log::warn!(
                "whether backups are damaged is not known for news: the storage has not answered for {PATIENCE:?}"
            );
            return Ok(Vec::new());
        };
        self.looking = None;
        found.unwrap_or_else(|error| Err(EngineError::Internal(error.into())))
    }

    /// It was told: it is not owed any more.
    ///
    /// # Errors
    /// [`EngineError::Storage`]: it is told again then.
    pub async fn delivered(&mut self, news: &News) -> Result<(), EngineError> {
        let (.., requests) = self.engine.rooms();
        let put = |note| blocking(move || Ok(requests.jobs.put_notes(&[note])?));
        match news {
            News::LeadershipLost { .. } => {
                // What was handed out with it may be heard, whatever is known of that, and be lost by now.
                self.led = self.untold.iter().find_map(|news| match news {
                    News::LeadershipGained { term } => Some(*term),
                    _ => None,
                });
            }
            News::JobEnded(job) => {
                let (id, (.., requests)) = (job.id.clone(), self.engine.rooms());
                blocking(move || Ok(requests.jobs.drop_notes(&id, &[JOB.to_owned()])?)).await?;
            }
            News::DamageFound { backup, damage, .. } => {
                put(Note::new(backup.to_string(), DAMAGE, damage.clone())).await?;
            }
            News::LeadershipGained { term } => {
                put(Note::new(LEADER, LEADER, term.to_string())).await?;
            }
        }
        // As long as that is not noted it is owed.
        self.read.retain(|read| read != news);
        self.untold.retain(|untold| untold != news);
        self.tally();
        Ok(())
    }

    /// Waits until there may be more. May be dropped while it waits.
    pub async fn changed(&mut self) {
        let [work, checks] = &mut self.ended;
        let role = async {
            let changed = match &mut self.role {
                Some(role) => role.changed().await.is_ok(),
                None => false,
            };
            // Nobody can say any more that it is another one.
            if !changed {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            _ = work.changed() => {}
            _ = checks.changed() => {}
            () = role => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// What the notes say: whether it is to be told who leads, and some of the jobs that have ended.
fn kept(jobs: &dyn JobStore, notes: &[Note], leads: Option<u64>) -> Result<Vec<News>, EngineError> {
    let mut news = Vec::new();
    if let Some(term) = leads {
        let told = notes.iter().find(|note| note.key == LEADER);
        if told.is_none_or(|note| note.value != term.to_string()) {
            news.push(News::LeadershipGained { term });
        }
    }
    let mut ended = Vec::new();
    for note in notes.iter().filter(|note| note.key == JOB) {
        let job = match &*note.value {
            "" => jobs.get(&note.job)?,
            // It was done before jobs were kept here.
            moved => readable(note, Job::from_json(moved)),
        };
        match job {
            // Nobody remembers it any more.
            None => {
                log::warn!(
                    "nobody remembers job {}, whose end was not told",
                    plain(&note.job)
                );
                jobs.drop_notes(&note.job, &[JOB.to_owned()])?;
            }
            Some(job) if job.state.is_final() => ended.push(JobInfo::new(job, None)),
            Some(_) => {}
        }
        if ended.len() == AT_ONCE {
            break;
        }
    }
    ended.sort_by_key(|job| job.finished_at);
    news.extend(ended.into_iter().map(|job| News::JobEnded(Box::new(job))));
    Ok(news)
}

/// The job of a note, unless that is damaged.
fn readable(note: &Note, job: Result<Job, QueueError>) -> Option<Job> {
    job.inspect_err(|error| log::warn!("the note of job {} cannot be read: {error}", plain(&note.job)))
        .ok()
}

/// How many more jobs have ended, by the notes, than those that were read.
fn unread(notes: &[Note], running: &Running, read: &[News]) -> usize {
    // A job that is noted is among these until its work is done. What comes after that, such as a hook, is counted as owed already.
    let running = running.all();
    let read: HashSet<_> = read.iter().map(News::id).collect();
    let owed = notes.iter().filter(|note| note.key == JOB);
    let unread =
        owed.filter(|note| !running.contains_key(&note.job) && !read.contains(&format!("job/{}", note.job)));
    unread.count()
}

/// What is damaged and was not told. That it was told is forgotten once the backup is gone, or sound again.
fn damage(jobs: &dyn JobStore, vaults: &Vaults) -> Result<Vec<News>, EngineError> {
    let notes = jobs.notes()?;
    let (all, trouble) = vaults.all_soon();
    let told = notes.iter().filter(|note| note.key == DAMAGE);
    let mut told: HashSet<_> = told.map(|note| &*note.job).collect();
    let times = notes.iter().filter(|note| note.key == SOUND);
    let mut times: HashMap<_, u64> = times
        .map(|note| (&*note.job, note.value.parse().unwrap_or(1)))
        .collect();
    let (mut news, mut sound) = (Vec::new(), Vec::new());
    for stored in &all {
        let id = stored.id.to_string();
        let was_told = told.remove(&*id);
        let before = times.remove(&*id).unwrap_or_default();
        let is_passing = matches!(&stored.manifest, Err(unreadable) if unreadable.is_passing);
        if let Some(damage) = stored.damage.clone().filter(|_| !is_passing) {
            if !was_told {
                let backup = stored.id.clone();
                news.push(News::DamageFound {
                    backup,
                    damage,
                    before,
                });
            }
        } else if was_told && !is_passing {
            sound.push((id, before + 1));
        }
    }
    // What could not be looked at may be damaged still.
    if trouble.is_none() && vaults.unread() == 0 {
        for (id, times) in &sound {
            jobs.put_notes(&[Note::new(id, SOUND, times.to_string())])?;
            jobs.drop_notes(id, &[DAMAGE.to_owned()])?;
        }
        // Of those that are gone nothing more is told.
        for id in told.into_iter().chain(times.into_keys()) {
            jobs.drop_notes(id, &[DAMAGE.to_owned(), SOUND.to_owned()])?;
        }
    }
    Ok(news)
}
