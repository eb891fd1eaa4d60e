//! Notes that both stores keep, so that who has lost one of them knows what was set.

use std::sync::PoisonError;

use super::MirroredStore;
use super::shared::{CopiedNote, Shared};
use crate::{FileName, StoreError};

impl Shared {
    /// Learns what the second store has. What is not as this process has left it is merged with what the first has.
    pub(super) fn learn_notes(&self) -> Result<(), StoreError> {
        for CopiedNote { name, .. } in &self.notes {
            let copied = self.second.note(name)?;
            let mut state = self.lock();
            if state.notes.get(name) != copied.as_ref() {
                state.settled.remove(name);
            }
            match copied {
                None => state.notes.remove(name),
                Some(copied) => state.notes.insert(name.clone(), copied),
            };
        }
        Ok(())
    }

    /// The note that counts: that of the second store where the first has none, and of both where it is not known which is newer.
    pub(super) fn note(&self, name: &FileName) -> Result<Option<Vec<u8>>, StoreError> {
        let first = self.first.note(name)?;
        let mut state = self.lock();
        let Some(copied) = state.notes.get(name) else {
            return Ok(first);
        };
        let Some(first) = first else {
            return Ok(Some(copied.clone()));
        };
        if first == *copied {
            state.settled.insert(name.clone());
        } else if let Some(note) = self.notes.iter().find(|note| note.name == *name) {
            if !state.settled.contains(name) {
                return Ok(Some((note.merge)(&first, copied).unwrap_or(first)));
            }
            if !(note.is_sound)(&first) && (note.is_sound)(copied) {
                return Ok(Some(copied.clone()));
            }
        }
        Ok(Some(first))
    }

    /// Keeps a note in the first store. Whoever keeps one that is copied has read [what counts](Self::note) before.
    pub(super) fn keep_note(&self, name: &FileName, bytes: &[u8]) -> Result<(), StoreError> {
        let _one_by_one = self.noting.lock().unwrap_or_else(PoisonError::into_inner);
        self.first.keep_note(name, bytes)?;
        self.lock().settled.insert(name.clone());
        Ok(())
    }

    /// Sees to it that the first store has the note that counts, and says what that is.
    fn settle(&self, name: &FileName) -> Result<Option<Vec<u8>>, StoreError> {
        let _one_by_one = self.noting.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = self.note(name)?;
        if let Some(counts) = &counts {
            if self.first.note(name)?.as_ref() != Some(counts) {
                self.first.keep_note(name, counts)?;
                log::warn!(
                    "the note {name} was lost, damaged, or older than its copy, and has what that says"
                );
            }
            self.lock().settled.insert(name.clone());
        }
        Ok(counts)
    }
}

impl MirroredStore {
    /// Takes back the notes that the first store has lost, and copies those that have changed.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn copy_notes(&self) -> Result<(), StoreError> {
        for CopiedNote { name, is_sound, .. } in &self.0.notes {
            let Some(note) = self.0.settle(name)?.filter(|note| is_sound(note)) else {
                continue;
            };
            if self.0.lock().notes.get(name) != Some(&note) {
                self.0.second.keep_note(name, &note)?;
                self.0.lock().notes.insert(name.clone(), note);
            }
        }
        Ok(())
    }
}
