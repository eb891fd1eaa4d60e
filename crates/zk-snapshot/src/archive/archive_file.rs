//! How an archive is read: frame by frame, each checked before anything of it is believed.

use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;

use super::codec::{FRAME_BYTES, Frame, MAX_FRAME_BYTES, hex_sha256};
use super::{ArchiveError, Outline, Record, RecordSource};

/// So much of a frame is read at once.
const PIECE: usize = 4 << 20;

/// An archive that is read frame by frame, each checked against its checksum first.
pub struct ArchiveFile<R> {
    file: Mutex<R>,
    frames: Vec<Frame>,
    longest: u64,
}

impl<R> std::fmt::Debug for ArchiveFile<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveFile")
            .field("frames", &self.frames.len())
            .finish_non_exhaustive()
    }
}

impl<R: Read + Seek> ArchiveFile<R> {
    /// Opens `file`, whose frames are where `frames` says.
    pub fn new(file: R, frames: Vec<Frame>) -> Self {
        let longest = zstd::zstd_safe::compress_bound(MAX_FRAME_BYTES) as u64;
        Self::with_longest(file, frames, longest)
    }

    /// The same, of frames that take `longest` bytes of the file at most.
    pub(crate) fn with_longest(file: R, frames: Vec<Frame>, longest: u64) -> Self {
        Self {
            file: Mutex::new(file),
            frames,
            longest,
        }
    }

    fn packed(&self, frame: &Frame) -> std::io::Result<Vec<u8>> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(frame.offset))?;
        let mut packed = Vec::new();
        // In large pieces, each of which may be a request over a network.
        while (packed.len() as u64) < frame.length {
            let begin = packed.len();
            let left = frame.length - begin as u64;
            let piece = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            packed.resize(begin + piece, 0);
            let count = match file.read(&mut packed[begin..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => 0,
                Ok(0) => return Ok(packed[..begin].to_vec()),
                count => count?,
            };
            packed.truncate(begin + count);
        }
        Ok(packed)
    }
}

impl<R: Read + Seek + Send> ArchiveFile<R> {
    /// The number of frames.
    pub fn frame_count(&self) -> usize {
        self.frames.len()
    }

    /// The number of records in one frame.
    pub(crate) fn records_in(&self, index: usize) -> u64 {
        self.frames.get(index).map_or(0, |frame| frame.records)
    }

    /// One frame as it is in the file, checked.
    pub(crate) fn bytes(&self, index: usize) -> Result<Vec<u8>, ArchiveError> {
        let frame = self.frames.get(index).ok_or(ArchiveError::NoSuchFrame(index))?;
        let damaged = |why: String| ArchiveError::Damaged { frame: index, why };
        if frame.length > self.longest {
            let why = format!(
                "{} bytes are said to be there, and no frame has so many",
                frame.length
            );
            return Err(damaged(why));
        }
        let bytes = self.packed(frame).map_err(|error| match error.kind() {
            // What it comes from tells damage by itself, as of a chunk that was sealed.
            ErrorKind::InvalidData => damaged(error.to_string()),
            _ => error.into(),
        })?;
        if bytes.len() as u64 != frame.length {
            return Err(damaged(format!(
                "{} bytes of {} are there",
                bytes.len(),
                frame.length
            )));
        }
        if hex_sha256(&bytes) != frame.sha256 {
            return Err(damaged("its SHA-256 differs from the one recorded".to_owned()));
        }
        Ok(bytes)
    }

    /// One frame unpacked, checked before. It has `most` bytes, or less.
    pub(super) fn unpacked(&self, index: usize, most: usize) -> Result<Vec<u8>, ArchiveError> {
        let packed = self.bytes(index)?;
        let damaged = |why: String| ArchiveError::Damaged { frame: index, why };
        let mut raw = Vec::new();
        zstd::Decoder::with_buffer(&packed[..])
            .and_then(|decoder| decoder.take(most as u64 + 1).read_to_end(&mut raw))
            .map_err(|error| damaged(format!("it does not unpack: {error}")))?;
        match raw.len() > most {
            true => Err(damaged(format!("it unpacks to more than {most} bytes"))),
            false => Ok(raw),
        }
    }

    /// Everything in one frame. Blocks.
    ///
    /// # Errors
    /// [`ArchiveError`], naming the frame.
    pub fn items<T: DeserializeOwned>(&self, index: usize) -> Result<Vec<T>, ArchiveError> {
        let damaged = |why: String| ArchiveError::Damaged { frame: index, why };
        let raw = self.unpacked(index, MAX_FRAME_BYTES)?;
        let (mut items, mut lines) = (Vec::new(), serde_json::Deserializer::from_slice(&raw).into_iter());
        loop {
            let begin = lines.byte_offset();
            let Some(item) = lines.next() else { break };
            if begin >= FRAME_BYTES || items.len() as u64 == self.records_in(index) {
                return Err(damaged(
                    "more records are there than were written, or than in any frame".to_owned(),
                ));
            }
            items.push(item.map_err(|error| damaged(format!("a record cannot be read: {error}")))?);
        }
        if items.len() as u64 != self.records_in(index) {
            return Err(damaged(format!(
                "{} records of {} are there",
                items.len(),
                self.records_in(index)
            )));
        }
        Ok(items)
    }
}

impl<R: Read + Seek + Send> RecordSource for ArchiveFile<R> {
    fn frames(&self) -> usize {
        self.frame_count()
    }

    fn records(&self) -> usize {
        let records = self.frames.iter().map(|frame| frame.records);
        usize::try_from(records.fold(0, u64::saturating_add)).unwrap_or(usize::MAX)
    }

    fn frame(&self, index: usize) -> Result<Vec<Record>, ArchiveError> {
        self.items(index)
    }

    fn outline(&self, index: usize) -> Result<Vec<Outline>, ArchiveError> {
        self.items(index)
    }
}
