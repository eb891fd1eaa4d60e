//! What restores have begun and not finished: the notes of their jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use job_queue::{JobStore, Note, QueueError};
use serde::{Deserialize, Serialize};
use zk_snapshot::restore::{Ledger, Opened, Unfinished};
use zk_snapshot::tree::ZnodePath;

use self::earlier::Earlier;
use super::interrupted::KEY;
use crate::EngineError;
use crate::lock::lock;
use crate::plain::plain;

mod earlier;
#[cfg(test)]
mod tests;

/// Which restore began a znode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The restore's task id.
    pub(crate) restore: String,
    /// The backup that it was of.
    pub(crate) vault: String,
}

/// What the note of a restore says about a path. Those of earlier versions have the first two.
#[derive(Serialize, Deserialize)]
struct Begun {
    created: bool,
    vault: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    czxid: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ctime: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aversions: Option<(i32, i32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opened: Option<Opened>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    acl_unknown: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    anonymous: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    above: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    renamed_from: Option<ZnodePath>,
}

/// What is open, and since which restore.
type Open = BTreeMap<ZnodePath, (Unfinished, Origin)>;

/// Notes are kept before the znodes are written that they speak of, and each path is noted by one restore.
pub(crate) struct UnfinishedZnodes {
    jobs: Arc<dyn JobStore>,
    open: Mutex<Open>,
    /// Restores of this process that have not ended.
    under_way: Mutex<BTreeSet<String>>,
    /// Those of other processes that had not when the notes were read last.
    elsewhere: Mutex<BTreeSet<String>>,
    is_incomplete: AtomicBool,
    /// Whether what is open is what was noted when it was read last.
    was_read: AtomicBool,
}

impl UnfinishedZnodes {
    /// Those that are noted in `jobs`, once they are [read](Self::reload). Those of the file `earlier`, which earlier versions kept, are taken over, and
    /// the file is renamed. `lost` says that notes may be missing.
    pub(crate) fn unread(
        jobs: Arc<dyn JobStore>,
        earlier: Option<&Path>,
        lost: bool,
    ) -> Result<Self, EngineError> {
        let mut is_incomplete = lost;
        if let Some(path) = earlier {
            let named =
                |error: io::Error| EngineError::Storage(format!("{}: {error}", path.display()).into());
            if let Some((open, unreadable)) = earlier::read(path).map_err(named)? {
                if unreadable > 0 {
                    log::warn!("{unreadable} lines of {} cannot be read", path.display());
                    is_incomplete = true;
                }
                let notes: io::Result<Vec<_>> = open.into_values().map(Earlier::into_note).collect();
                jobs.put_notes(&notes.map_err(named)?)?;
                earlier::move_aside(path).map_err(named)?;
            }
        }
        Ok(Self {
            jobs,
            open: Mutex::default(),
            under_way: Mutex::default(),
            elsewhere: Mutex::default(),
            is_incomplete: AtomicBool::new(is_incomplete),
            was_read: AtomicBool::new(false),
        })
    }

    /// Reads the notes anew, and returns those of restores that are over: other processes may have written some. Not while a restore of this one runs.
    pub(crate) fn reload(&self) -> Result<Vec<Note>, EngineError> {
        let read = self.read();
        self.was_read.store(read.is_ok(), Ordering::Relaxed);
        let (mut open, (mut notes, elsewhere)) = (BTreeMap::new(), read?);
        for note in &notes {
            let (path, begun) = (ZnodePath::parse(&note.key), serde_json::from_str(&note.value));
            let (Ok(path), Ok::<Begun, _>(begun)) = (path, begun) else {
                // Others may keep notes there, too: only what is about a znode was ours, or a later version's.
                if note.key.starts_with('/') {
                    let (job, key, value) = (plain(&note.job), plain(&note.key), plain(&note.value));
                    log::warn!("the note {value} of job {job} about {key} cannot be read");
                    self.is_incomplete.store(true, Ordering::Relaxed);
                }
                continue;
            };
            let origin = Origin {
                restore: note.job.clone(),
                vault: begun.vault,
            };
            let znode = Unfinished {
                path: path.clone(),
                created: begun.created,
                czxid: begun.czxid,
                ctime: begun.ctime,
                aversions: begun.aversions,
                opened: begun.opened,
                acl_unknown: begun.acl_unknown,
                anonymous: begun.anonymous,
                above: begun.above,
                renamed_from: begun.renamed_from,
            };
            open.entry(path).or_insert((znode, origin));
        }
        notes.retain(|note| !elsewhere.contains(&note.job));
        *lock(&self.elsewhere) = elsewhere;
        *lock(&self.open) = open;
        Ok(notes)
    }

    /// All notes, and which restores have some and have not ended.
    fn read(&self) -> Result<(Vec<Note>, BTreeSet<String>), QueueError> {
        let mut ended = BTreeSet::new();
        loop {
            let notes = self.jobs.notes()?;
            let of_restores = notes
                .iter()
                .filter(|note| note.key.starts_with('/') || note.key == KEY);
            let (mut elsewhere, known) = (BTreeSet::new(), ended.len());
            for Note { job: id, .. } in of_restores {
                if elsewhere.contains(id) || ended.contains(id) {
                    continue;
                }
                match self.jobs.get(id)? {
                    Some(job) if !job.state.is_final() => elsewhere.insert(id.clone()),
                    _ => ended.insert(id.clone()),
                };
            }
            // One that has ended may have done so since its notes were read, and have dropped them.
            if ended.len() == known {
                return Ok((notes, elsewhere));
            }
        }
    }

    /// What restores have left open that have ended, and which ones. That of a restore which is under way is its work, and no trouble.
    pub(crate) fn left(&self) -> Vec<(Unfinished, Origin)> {
        let elsewhere = lock(&self.elsewhere).clone();
        let (open, under_way) = (lock(&self.open), lock(&self.under_way));
        let left = open.values().filter(|(_, Origin { restore, .. })| {
            !under_way.contains(restore) && !elsewhere.contains(restore)
        });
        left.cloned().collect()
    }

    /// What these have begun is left: they were another process's, and are failed now.
    pub(crate) fn cut_off(&self, jobs: &[String]) {
        lock(&self.elsewhere).retain(|restore| !jobs.contains(restore));
    }

    /// Whether notes were lost, or could not be read: one of them, or all when they were asked for last.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.is_incomplete.load(Ordering::Relaxed) || !self.was_read.load(Ordering::Relaxed)
    }

    /// The ledger of one restore, which is under way for as long as it has that.
    pub(crate) fn of(self: &Arc<Self>, restore: &str, vault: &str) -> Arc<dyn Ledger> {
        lock(&self.under_way).insert(restore.to_owned());
        Arc::new(OfRestore {
            all: Arc::clone(self),
            origin: Origin {
                restore: restore.to_owned(),
                vault: vault.to_owned(),
            },
        })
    }

    fn begin(&self, znodes: Vec<Unfinished>, origin: &Origin) -> io::Result<()> {
        let mut open = lock(&self.open);
        // Who begins a znode again, or knows more of it, is not who began it.
        let mut begun = Open::new();
        for znode in znodes {
            let known = open.get(&znode.path);
            if known.is_none_or(|(known, _)| *known != znode) {
                let origin = known.map_or(origin, |(_, first)| first);
                begun.insert(znode.path.clone(), (znode, origin.clone()));
            }
        }
        if begun.is_empty() {
            return Ok(());
        }
        let notes: io::Result<Vec<_>> = begun
            .values()
            .map(|(znode, origin)| note(znode, origin))
            .collect();
        self.jobs.put_notes(&notes?).map_err(io::Error::other)?;
        open.extend(begun);
        Ok(())
    }

    fn end(&self, finished: &[ZnodePath]) -> io::Result<()> {
        let mut open = lock(&self.open);
        let mut of_restores: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for path in finished {
            if let Some((_, origin)) = open.get(path) {
                let paths = of_restores.entry(origin.restore.clone()).or_default();
                paths.push(path.as_str().to_owned());
            }
        }
        for (restore, paths) in &of_restores {
            self.jobs.drop_notes(restore, paths).map_err(io::Error::other)?;
        }
        finished.iter().for_each(|path| {
            open.remove(path);
        });
        Ok(())
    }
}

impl Earlier {
    fn into_note(self) -> io::Result<Note> {
        let Self {
            znode,
            restore,
            vault,
        } = self;
        note(&znode, &Origin { restore, vault })
    }
}

impl std::fmt::Debug for UnfinishedZnodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnfinishedZnodes")
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

fn note(znode: &Unfinished, origin: &Origin) -> io::Result<Note> {
    let begun = Begun {
        created: znode.created,
        vault: origin.vault.clone(),
        czxid: znode.czxid,
        ctime: znode.ctime,
        aversions: znode.aversions,
        opened: znode.opened.clone(),
        acl_unknown: znode.acl_unknown,
        anonymous: znode.anonymous,
        above: znode.above,
        renamed_from: znode.renamed_from.clone(),
    };
    let value = serde_json::to_string(&begun)?;
    Ok(Note::new(&origin.restore, znode.path.as_str(), value))
}

#[derive(Debug)]
struct OfRestore {
    all: Arc<UnfinishedZnodes>,
    origin: Origin,
}

impl Drop for OfRestore {
    fn drop(&mut self) {
        lock(&self.all.under_way).remove(&self.origin.restore);
    }
}

#[async_trait]
impl Ledger for OfRestore {
    async fn begin(&self, znodes: &[Unfinished]) -> io::Result<()> {
        let (all, origin, znodes) = (Arc::clone(&self.all), self.origin.clone(), znodes.to_vec());
        tokio::task::spawn_blocking(move || all.begin(znodes, &origin))
            .await
            .map_err(io::Error::other)?
    }

    async fn end(&self, finished: &[ZnodePath]) -> io::Result<()> {
        let (all, finished) = (Arc::clone(&self.all), finished.to_vec());
        tokio::task::spawn_blocking(move || all.end(&finished))
            .await
            .map_err(io::Error::other)?
    }

    fn unfinished(&self) -> io::Result<Vec<Unfinished>> {
        Ok(lock(&self.all.open)
            .values()
            .map(|(znode, _)| znode.clone())
            .collect())
    }
}
