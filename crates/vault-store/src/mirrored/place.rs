//! Whether the second store is the one that was used before: two notes, one in each, have the same random text.

use uuid::Uuid;

use super::MirroredStore;
use super::shared::Shared;
use crate::{FileName, StoreError};

/// The note in the first store.
const PLACE: FileName = FileName::from_static("second-place");
/// The note in the second store.
const MARK: FileName = FileName::from_static("copies-of");
/// Stands in the first store where whatever the second is will do.
const ANY: &[u8] = b"any";

impl Shared {
    /// Looks whether the second store is to be relied on, and says whether it is to be marked.
    pub(super) fn recognise(&self) -> Result<bool, StoreError> {
        let known = self.first.note(&PLACE);
        if matches!(known, Ok(None)) {
            self.is_new()?; // before the second is waited for, and backups are made meanwhile
        }
        let marked = self.second.note(&MARK)?;
        let other = self.second.note(&PLACE)?.filter(|note| !is_any(note));
        let remembered = self.lock().place.clone();
        let known = match (known, &remembered) {
            (Ok(Some(known)), _) => {
                self.lock().place = Some(known.clone());
                Some(known)
            }
            // The note was lost while this process runs.
            (Ok(None), Some(_)) if remembered == marked => return Ok(true),
            (Ok(None), _) => None,
            // What cannot be asked cannot be harmed either: nothing is copied or removed.
            (Err(_), None) => return Ok(false),
            (Err(_), Some(known)) => Some(known.clone()),
        };
        if other.is_some() {
            return Err(refused(match other == known {
                true => "it is where backups are kept",
                false => "backups are kept there that have second copies elsewhere",
            }));
        }
        match (known, marked) {
            (Some(known), _) if is_any(&known) => Ok(true),
            (Some(known), Some(marked)) if known == marked => Ok(false),
            (None, None) => Ok(true),
            // A disk that was replaced. Whoever used the place before is told that it is not his any more.
            (None, Some(_)) if self.is_new()? => Ok(true),
            (None, Some(_)) => Err(unlike("it has the copies of another service")),
            (Some(_), None) => Err(unlike(
                "it is not the place that was used before: it may not be mounted",
            )),
            (Some(_), Some(_)) => Err(unlike(
                "it is another place than before, or another service uses it",
            )),
        }
    }

    /// Whether the first store was empty when that was looked at first.
    fn is_new(&self) -> Result<bool, StoreError> {
        let known = self.lock().was_empty;
        let was_empty = match known {
            Some(was_empty) => was_empty,
            None => self.first.ids()?.is_empty(),
        };
        self.lock().was_empty = Some(was_empty);
        Ok(was_empty)
    }
}

impl MirroredStore {
    /// Marks the second store as that of the first, where [`refresh`](Self::refresh) has found that it is to be. Where it has found nothing, as the
    /// second does not answer, and the first is empty, it notes that whatever answers there later is right.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn mark(&self) -> Result<(), StoreError> {
        let shared = &self.0;
        let (is_due, answers) = {
            let state = shared.lock();
            (state.is_to_be_marked, state.answers)
        };
        if !is_due {
            // What was found and refused is not what will be found later.
            if answers || shared.second.note(&MARK).is_ok() {
                return Ok(());
            }
            return match shared.first.note(&PLACE)?.is_none() && shared.is_new()? {
                true => shared.first.keep_note(&PLACE, ANY),
                false => Ok(()),
            };
        }
        if shared.first.note(&PLACE)?.is_none() {
            if shared.is_new()? && shared.second.note(&MARK)?.is_none() {
                log::warn!(
                    "neither where backups are kept nor where second copies go were used before: they belong together from now on. \
                     If there were backups, end this, and see whether both disks are mounted"
                );
            }
            // If the second fails now, this is remembered when there are backups.
            shared.first.keep_note(&PLACE, ANY)?;
        }
        let mark = Uuid::new_v4().to_string();
        shared.second.keep_note(&MARK, mark.as_bytes())?;
        shared.first.keep_note(&PLACE, mark.as_bytes())?;
        let mut state = shared.lock();
        state.is_to_be_marked = false;
        state.place = Some(mark.into_bytes());
        Ok(())
    }
}

fn is_any(note: &[u8]) -> bool {
    note.trim_ascii() == ANY
}

fn refused(why: &str) -> StoreError {
    StoreError::failed("the place of second copies", true, why)
}

/// Where the operator may say that it is right.
fn unlike(why: &str) -> StoreError {
    refused(&format!(
        "{why}. To use it all the same, write `any` to the note {PLACE} where backups are kept"
    ))
}
