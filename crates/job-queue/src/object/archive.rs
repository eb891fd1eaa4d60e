//! Jobs that have ended, in objects of their own, so that the one that changes stays small.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::document::{Change, Document};
use crate::record::{Record, Records};
use crate::table::{Ended, JobTable};
use crate::{Job, Listed, QueueError};

/// Where they are, beside the document.
const FOLDER: &str = "ended";

/// What all servers share: the jobs that have not ended, those that ended last, and where the others are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    #[serde(with = "records")]
    pub(super) table: JobTable,
    pub(super) segments: Vec<Segment>,
}

mod records {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    use super::{JobTable, Records};

    pub(super) fn serialize<S: Serializer>(table: &JobTable, serializer: S) -> Result<S::Ok, S::Error> {
        Records::from(table.clone()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<JobTable, D::Error> {
        JobTable::try_from(Records::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Ended jobs in an object that is never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Segment {
    name: String,
    /// How many are in it.
    jobs: usize,
    /// The places of those that were pruned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pruned: Vec<u64>,
}

/// What is known of the segments: who is in which. They never change, and each is read once.
pub(super) struct Archive {
    known: Mutex<HashMap<String, Vec<Ended>>>,
    /// Ended jobs are moved when they take more than this in the document, in bytes.
    most: usize,
}

impl Archive {
    pub(super) fn new(most: usize) -> Self {
        Self {
            known: Mutex::default(),
            most,
        }
    }

    /// Those that have ended and are in segments, and in which, by the document as it was last known, if its segments are there
    /// still; and all of these.
    pub(super) async fn ended(
        &self,
        document: &Document<State>,
    ) -> Result<(Vec<Segment>, Vec<(Ended, String)>), QueueError> {
        let mut segments = document.last_known().await?.segments;
        loop {
            if let Some(ended) = self.in_segments(document, &segments).await? {
                return Ok((segments, ended));
            }
            let fresh = document.read().await?.segments;
            if fresh == segments {
                return Err(QueueError::storage(
                    "jobs that have ended are gone: somebody has deleted them",
                ));
            }
            segments = fresh;
        }
    }

    /// `None` if one of the segments is gone.
    async fn in_segments(
        &self,
        document: &Document<State>,
        segments: &[Segment],
    ) -> Result<Option<Vec<(Ended, String)>>, QueueError> {
        let mut known = self.known.lock().await;
        let named: HashSet<&str> = segments.iter().map(|segment| &*segment.name).collect();
        known.retain(|name, _| named.contains(&**name));
        let mut all = Vec::new();
        for segment in segments {
            if !known.contains_key(&segment.name) {
                let Some(records) = load(document, &segment.name).await? else {
                    return Ok(None);
                };
                known.insert(segment.name.clone(), records.iter().map(ended).collect());
            }
            let in_it = known.get(&segment.name).into_iter().flatten();
            let stays = in_it.filter(|ended| !segment.pruned.contains(&ended.place));
            all.extend(stays.map(|ended| (ended.clone(), segment.name.clone())));
        }
        Ok(Some(all))
    }

    /// The job `id`, if it has ended and is in a segment.
    pub(super) async fn get(&self, document: &Document<State>, id: &str) -> Result<Option<Job>, QueueError> {
        let (_, all) = self.ended(document).await?;
        let Some((_, name)) = all.into_iter().find(|(ended, _)| ended.id == id) else {
            return Ok(None);
        };
        // Where it is gone, it was pruned just now.
        let records = load(document, &name).await?.unwrap_or_default();
        let record = records.into_iter().find(|record| record.id == id);
        record
            .map(Record::into_job)
            .transpose()
            .map_err(QueueError::storage)
    }

    /// How many jobs there are, and `limit` of them after the first `offset`, from the one that was queued last to the first.
    pub(super) async fn list(
        &self,
        document: &Document<State>,
        offset: usize,
        limit: usize,
    ) -> Result<Listed, QueueError> {
        let (state, ended) = loop {
            let state = document.read().await?;
            let (segments, ended) = self.ended(document).await?;
            if segments == state.segments {
                break (state, ended);
            }
        };
        let mut places: Vec<_> = ended
            .iter()
            .map(|(ended, name)| (ended.place, Some(name)))
            .collect();
        places.extend(state.table.jobs.keys().map(|place| (*place, None)));
        places.sort_unstable_by(|a, b| b.cmp(a));
        let (mut loaded, mut jobs) = (HashMap::new(), Vec::new());
        for (place, segment) in places.iter().skip(offset).take(limit) {
            let Some(name) = segment else {
                jobs.extend(state.table.jobs.get(place).cloned());
                continue;
            };
            if !loaded.contains_key(name) {
                // Where it is gone, all of it was pruned just now.
                loaded.insert(*name, load(document, name).await?.unwrap_or_default());
            }
            let mut records = loaded.get(name).into_iter().flatten();
            if let Some(record) = records.find(|record| record.place == *place) {
                jobs.push(record.clone().into_job().map_err(QueueError::storage)?);
            }
        }
        Ok(Listed::new(places.len(), jobs))
    }

    /// Moves ended jobs out of the document, if they take much there.
    pub(super) async fn move_ended(&self, document: &Document<State>) -> Result<(), QueueError> {
        let state = document.last_known().await?;
        let ended: Vec<_> = state
            .table
            .jobs
            .iter()
            .filter(|(_, job)| job.state.is_final())
            .map(|(place, job)| Record::new(*place, job.clone()))
            .collect();
        let bytes = serde_json::to_vec(&ended).map_err(QueueError::storage)?;
        if bytes.len() <= self.most {
            return Ok(());
        }
        let name = document.put_beside(FOLDER, bytes).await?;
        let moved = document.change(|state| {
            let is_there = |record: &Record| {
                let here = state.table.jobs.get(&record.place);
                here.is_some_and(|job| job.id == record.id && job.state.is_final())
            };
            // Somebody else may have moved or pruned them.
            if !ended.iter().all(is_there) {
                return Ok(Change::Keep(false));
            }
            for record in &ended {
                state.table.jobs.remove(&record.place);
            }
            state.segments.push(Segment {
                name: name.clone(),
                jobs: ended.len(),
                pruned: Vec::new(),
            });
            Ok(Change::Write(true))
        });
        // After an error it may be named all the same.
        if !moved.await? {
            document.remove_beside(FOLDER, &[name]).await;
        }
        Ok(())
    }

    /// Drops what is beyond the newest `keep`, and returns how many.
    pub(super) async fn prune(&self, document: &Document<State>, keep: usize) -> Result<usize, QueueError> {
        loop {
            let before = document.read().await?;
            let (segments, elsewhere) = self.ended(document).await?;
            if segments != before.segments {
                continue;
            }
            let of_name: HashMap<u64, String> = elsewhere
                .iter()
                .map(|(ended, name)| (ended.place, name.clone()))
                .collect();
            let elsewhere: Vec<_> = elsewhere.into_iter().map(|(ended, _)| ended).collect();
            let passing = before.table.to_prune(&elsewhere, keep);
            if passing.is_empty() {
                return Ok(0);
            }
            let mut after = before.clone();
            for place in &passing {
                after.table.jobs.remove(place);
                let segment = of_name.get(place);
                let segment =
                    segment.and_then(|name| after.segments.iter_mut().find(|one| one.name == *name));
                if let Some(segment) = segment {
                    segment.pruned.push(*place);
                }
            }
            let is_empty = |segment: &Segment| segment.pruned.len() >= segment.jobs;
            let gone = after.segments.iter().filter(|segment| is_empty(segment));
            let gone: Vec<_> = gone.map(|segment| segment.name.clone()).collect();
            after.segments.retain(|segment| !is_empty(segment));
            if document.swap(&before, &after).await? {
                document.remove_beside(FOLDER, &gone).await;
                return Ok(passing.len());
            }
        }
    }
}

fn ended(record: &Record) -> Ended {
    Ended {
        place: record.place,
        id: record.id.clone(),
        kind: record.kind.clone(),
    }
}

/// `None` if it is gone.
async fn load(document: &Document<State>, name: &str) -> Result<Option<Vec<Record>>, QueueError> {
    let bytes = document.get_beside(FOLDER, name).await?;
    let records = bytes.map(|bytes| serde_json::from_slice(&bytes));
    records.transpose().map_err(QueueError::storage)
}
