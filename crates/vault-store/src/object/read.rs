//! A file of a vault in an object store.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use super::failures::{is_missing, store_error};
use super::place::{Pending, Place, locked};
use crate::{StoreError, VaultId, VaultRead};

/// So much is asked for ahead of whoever reads from one place to the next: a request takes long before its first byte.
const AHEAD: u64 = 8 << 20;
/// Whoever asks for less at once is not read ahead for.
const LEAST: u64 = 256 << 10;

/// It never changes: reading needs nothing but its key.
pub(super) struct ObjectRead {
    place: Arc<Place>,
    id: VaultId,
    key: Path,
    size: u64,
    ahead: Mutex<Ahead>,
}

/// What was asked for before it is read.
#[derive(Default)]
struct Ahead {
    /// Where the last read ended, once there was one.
    end: Option<u64>,
    pieces: VecDeque<(Range<u64>, Pending<Bytes>)>,
}

impl ObjectRead {
    /// `None` if there is no such object.
    pub(super) fn open(place: &Arc<Place>, id: &VaultId, key: Path) -> Result<Option<Self>, StoreError> {
        let (objects, asked) = (place.objects(), key.clone());
        let size = place.wait(async move {
            match objects.head(&asked).await {
                Ok(meta) => Ok(Some(meta.size)),
                Err(error) if is_missing(&error) => Ok(None),
                Err(error) => Err(store_error(&asked, &error)),
            }
        })?;
        Ok(size.map(|size| Self {
            place: Arc::clone(place),
            id: id.clone(),
            key,
            size,
            ahead: Mutex::default(),
        }))
    }

    fn ask(&self, range: Range<u64>) -> Result<Pending<Bytes>, StoreError> {
        let (objects, key, id) = (self.place.objects(), self.key.clone(), self.id.clone());
        self.place.start(async move {
            let found = objects.get_range(&key, range).await;
            found.map_err(|error| match is_missing(&error) {
                true => StoreError::NotFound(id),
                false => store_error(&key, &error),
            })
        })
    }

    /// The answer to come for `range`. Where it follows the last one, what follows it is asked for as well.
    fn next(&self, range: Range<u64>) -> Result<Pending<Bytes>, StoreError> {
        let mut ahead = locked(&self.ahead);
        let follows = ahead.end.replace(range.end) == Some(range.start);
        let pending = match ahead.pieces.pop_front() {
            Some((piece, pending)) if piece == range => pending,
            _ => {
                ahead.pieces.clear();
                self.ask(range.clone())?
            }
        };
        let length = range.end - range.start;
        if follows && length >= LEAST {
            let mut begin = ahead.pieces.back().map_or(range.end, |(last, _)| last.end);
            while begin < self.size && begin + length <= range.end + AHEAD {
                let piece = begin..self.size.min(begin + length);
                begin = piece.end;
                let pending = self.ask(piece.clone())?;
                ahead.pieces.push_back((piece, pending));
            }
        }
        Ok(pending)
    }
}

impl VaultRead for ObjectRead {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, StoreError> {
        let end = self.size.min(offset.saturating_add(bytes.len() as u64));
        if offset >= end {
            return Ok(0);
        }
        let found = self.next(offset..end)?.wait()?;
        let count = found.len().min(bytes.len());
        bytes[..count].copy_from_slice(&found[..count]);
        Ok(count)
    }
}
