//! What became of znodes after the walk had passed them, worked in while reading.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{ArchiveError, Outline, Record, RecordSource};
use crate::tree::ZnodePath;

/// Records in one part of what [`Amended`] adds.
const PART: usize = 1_000;

/// What became of a znode after the walk had passed it; one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amendment {
    /// Where it is.
    pub path: ZnodePath,
    /// Whether the walk's records have it.
    pub supersedes: bool,
    /// What it is now; `None` if it is gone.
    pub record: Option<Record>,
}

/// Records with their amendments worked in: each in the place of the record that it supersedes, the others last.
///
/// Holds the amendments in memory.
pub struct Amended<S> {
    source: S,
    superseding: HashMap<ZnodePath, Option<Record>>,
    added: Vec<Vec<Record>>,
}

impl<S> std::fmt::Debug for Amended<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Amended")
            .field("amended", &(self.superseding.len() + self.added.len()))
            .finish_non_exhaustive()
    }
}

impl<S: RecordSource> Amended<S> {
    /// Works `amendments`, parents before children, into `source`.
    pub fn new(source: S, amendments: Vec<Amendment>) -> Self {
        let mut superseding = HashMap::new();
        let mut added: Vec<Vec<Record>> = Vec::new();
        for amendment in amendments {
            if amendment.supersedes {
                superseding.insert(amendment.path, amendment.record);
            } else if let Some(record) = amendment.record {
                match added.last_mut() {
                    Some(part) if part.len() < PART => part.push(record),
                    _ => added.push(vec![record]),
                }
            }
        }
        Self {
            source,
            superseding,
            added,
        }
    }

    fn part(&self, index: usize) -> Option<&Vec<Record>> {
        self.added.get(index.checked_sub(self.source.frames())?)
    }
}

impl<S: RecordSource> RecordSource for Amended<S> {
    fn frames(&self) -> usize {
        self.source.frames() + self.added.len()
    }

    fn records(&self) -> usize {
        self.source.records() + self.added.iter().map(Vec::len).sum::<usize>()
    }

    fn frame(&self, index: usize) -> Result<Vec<Record>, ArchiveError> {
        if let Some(part) = self.part(index) {
            return Ok(part.clone());
        }
        let records = self.source.frame(index)?;
        if self.superseding.is_empty() {
            return Ok(records);
        }
        let amend = |record: Record| match self.superseding.get(&record.path) {
            Some(now) => now.clone(),
            None => Some(record),
        };
        Ok(records.into_iter().filter_map(amend).collect())
    }

    fn outline(&self, index: usize) -> Result<Vec<Outline>, ArchiveError> {
        if let Some(part) = self.part(index) {
            return Ok(part.iter().map(Outline::of).collect());
        }
        let outlines = self.source.outline(index)?;
        let amend = |outline: Outline| match self.superseding.get(&outline.path) {
            Some(now) => now.as_ref().map(Outline::of),
            None => Some(outline),
        };
        Ok(outlines.into_iter().filter_map(amend).collect())
    }
}
