//! Notes, as a log: what is new is in the document, what is older in objects beside it that never change.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::document::{Change, Document};
use crate::{Note, QueueError};

/// Where the older entries are, beside the document.
const FOLDER: &str = "notes";

/// All notes, as a log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct NoteLog {
    /// The objects with what comes before `last`, in order.
    chunks: Vec<String>,
    last: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// Job, key, value.
    Put(Vec<(String, String, String)>),
    /// Job, and keys.
    Drop(String, Vec<String>),
}

type ByKey = BTreeMap<(String, String), String>;

impl Entry {
    fn of(notes: ByKey) -> Self {
        let flat = |((job, key), value)| (job, key, value);
        Self::Put(notes.into_iter().map(flat).collect())
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Put(notes) => notes
                .iter()
                .map(|(job, key, value)| job.len() + key.len() + value.len() + 12)
                .sum(),
            Self::Drop(job, keys) => job.len() + keys.iter().map(|key| key.len() + 3).sum::<usize>(),
        }
    }

    fn apply(&self, to: &mut ByKey) {
        match self {
            Self::Put(notes) => to.extend(
                notes
                    .iter()
                    .map(|(job, key, value)| ((job.clone(), key.clone()), value.clone())),
            ),
            Self::Drop(job, keys) => {
                for key in keys {
                    to.remove(&(job.clone(), key.clone()));
                }
            }
        }
    }
}

fn bytes(entries: &[Entry]) -> usize {
    entries.iter().map(Entry::bytes).sum()
}

/// What is known of the chunks. They never change, and each is read once.
pub(super) struct Chunks {
    known: Mutex<HashMap<String, Vec<Entry>>>,
    /// Entries are moved when they take more than this in the document, in bytes.
    most: usize,
}

impl Chunks {
    pub(super) fn new(most: usize) -> Self {
        Self {
            known: Mutex::default(),
            most,
        }
    }

    pub(super) async fn put(&self, document: &Document<NoteLog>, notes: &[Note]) -> Result<(), QueueError> {
        if notes.is_empty() {
            return Ok(());
        }
        let flat = |note: &Note| (note.job.clone(), note.key.clone(), note.value.clone());
        self.append(document, Entry::Put(notes.iter().map(flat).collect()))
            .await
    }

    async fn append(&self, document: &Document<NoteLog>, entry: Entry) -> Result<(), QueueError> {
        let fits = document.change(|log| {
            if bytes(&log.last) + entry.bytes() > self.most {
                return Ok(Change::Keep(false));
            }
            log.last.push(entry.clone());
            Ok(Change::Write(true))
        });
        if fits.await? {
            return Ok(());
        }
        loop {
            let before = document.last_known().await?;
            let mut moved = before.last.clone();
            moved.push(entry.clone());
            let mut after = before.clone();
            after.last.clear();
            after.chunks.push(self.write(document, moved).await?);
            if self.replace(document, &before, &after).await? {
                return Ok(());
            }
        }
    }

    pub(super) async fn drop(
        &self,
        document: &Document<NoteLog>,
        job: &str,
        keys: &[String],
    ) -> Result<(), QueueError> {
        loop {
            let (before, mut notes) = self.folded(document).await?;
            let had = notes.len();
            let entry = Entry::Drop(job.to_owned(), keys.to_vec());
            entry.apply(&mut notes);
            if notes.len() == had {
                return Ok(());
            }
            let left = Entry::of(notes);
            let mut after = NoteLog::default();
            if left.bytes() <= self.most {
                after.last.push(left);
            } else if left.bytes() < entry.bytes() || bytes(&before.last) + entry.bytes() > self.most {
                after.chunks.push(self.write(document, vec![left]).await?);
            } else {
                after = before.clone();
                after.last.push(entry);
            }
            if self.replace(document, &before, &after).await? {
                return Ok(());
            }
        }
    }

    /// Puts `after` in the place of `before`, and removes the chunks that nobody needs then. `false` if somebody else has
    /// written meanwhile.
    async fn replace(
        &self,
        document: &Document<NoteLog>,
        before: &NoteLog,
        after: &NoteLog,
    ) -> Result<bool, QueueError> {
        // After an error, `after` may be there all the same.
        let replaced = document.swap(before, after).await?;
        let (stay, go) = if replaced {
            (after, before)
        } else {
            (before, after)
        };
        let unnamed = |name: &&String| !stay.chunks.contains(name);
        let unnamed: Vec<_> = go.chunks.iter().filter(unnamed).cloned().collect();
        document.remove_beside(FOLDER, &unnamed).await;
        Ok(replaced)
    }

    pub(super) async fn all(&self, document: &Document<NoteLog>) -> Result<Vec<Note>, QueueError> {
        let (_, notes) = self.folded(document).await?;
        let note = |((job, key), value)| Note::new(job, key, value);
        Ok(notes.into_iter().map(note).collect())
    }

    async fn write(&self, document: &Document<NoteLog>, entries: Vec<Entry>) -> Result<String, QueueError> {
        let bytes = serde_json::to_vec(&entries).map_err(QueueError::storage)?;
        let name = document.put_beside(FOLDER, bytes).await?;
        self.known.lock().await.insert(name.clone(), entries);
        Ok(name)
    }

    /// The log, and what it comes to.
    async fn folded(&self, document: &Document<NoteLog>) -> Result<(NoteLog, ByKey), QueueError> {
        let mut log = document.read().await?;
        loop {
            if let Some(notes) = self.fold(document, &log).await? {
                return Ok((log, notes));
            }
            let fresh = document.read().await?;
            if fresh == log {
                return Err(QueueError::storage("notes are gone: somebody has deleted them"));
            }
            log = fresh;
        }
    }

    /// `None` if a chunk is gone.
    async fn fold(&self, document: &Document<NoteLog>, log: &NoteLog) -> Result<Option<ByKey>, QueueError> {
        let mut known = self.known.lock().await;
        let named: HashSet<&String> = log.chunks.iter().collect();
        known.retain(|name, _| named.contains(name));
        let mut notes = ByKey::new();
        for name in &log.chunks {
            if !known.contains_key(name) {
                let Some(bytes) = document.get_beside(FOLDER, name).await? else {
                    return Ok(None);
                };
                let entries = serde_json::from_slice(&bytes).map_err(QueueError::storage)?;
                known.insert(name.clone(), entries);
            }
            for entry in known.get(name).into_iter().flatten() {
                entry.apply(&mut notes);
            }
        }
        log.last.iter().for_each(|entry| entry.apply(&mut notes));
        Ok(Some(notes))
    }
}
