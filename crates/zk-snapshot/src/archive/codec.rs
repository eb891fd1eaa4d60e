//! Frames: records packed and hashed, and unpacked and checked.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Amendment, ArchiveError, Outline, Record, RecordSource};
use crate::tree::{Acl, ZnodePath};

/// A frame is closed once it holds this many bytes of records.
const FRAME_BYTES: usize = 1 << 20;
/// No line is longer: that of a znode of 1 MiB, in base64 and with its ACL, fits many times. Both sides hold to it.
const MAX_LINE_BYTES: usize = 64 << 20;
/// No frame unpacks to more: it is closed by the line that fills it.
pub(super) const MAX_FRAME_BYTES: usize = FRAME_BYTES + MAX_LINE_BYTES;
/// So much of a frame is read at once.
const PIECE: usize = 4 << 20;
/// The level that keeps up with what a server can send; higher ones make backups slower, and hardly smaller.
const LEVEL: i32 = 1;

/// Where a frame lies in the file, and what it must hash to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// First byte, from the start of the file.
    pub offset: u64,
    /// Compressed length in bytes.
    pub length: u64,
    /// Number of records.
    pub records: u64,
    /// SHA-256 of the compressed bytes, in lower-case hex.
    pub sha256: String,
}

/// Writes records, or amendments, into frames. Blocks; memory is bounded by one frame.
pub struct ArchiveWriter<W> {
    out: W,
    raw: Vec<u8>,
    records: u64,
    frames: Vec<Frame>,
    last_acl: (Acl, Vec<u8>),
}

impl<W> std::fmt::Debug for ArchiveWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveWriter")
            .field("frames", &self.frames.len())
            .finish_non_exhaustive()
    }
}

impl<W: Write> ArchiveWriter<W> {
    /// Starts an archive in `out`, which is empty.
    pub fn new(out: W) -> Self {
        Self {
            out,
            raw: Vec::new(),
            records: 0,
            frames: Vec::new(),
            last_acl: (Acl::default(), Vec::new()),
        }
    }

    /// The index of the frame that the next record comes into.
    pub fn frame(&self) -> usize {
        self.frames.len()
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`ArchiveError::TooLarge`]: nothing was added, and others can be. When `out` fails the archive is of no use.
    pub fn push(&mut self, record: &Record) -> Result<(), ArchiveError> {
        let begin = self.raw.len();
        record
            .write_line(&mut self.last_acl, &mut self.raw)
            .map_err(std::io::Error::from)?;
        self.pushed(begin, &record.path)
    }

    /// Adds an amendment. An archive holds either records or amendments.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn amend(&mut self, amendment: &Amendment) -> Result<(), ArchiveError> {
        let begin = self.raw.len();
        serde_json::to_writer(&mut self.raw, amendment).map_err(std::io::Error::from)?;
        self.raw.push(b'\n');
        self.pushed(begin, &amendment.path)
    }

    fn pushed(&mut self, begin: usize, path: &ZnodePath) -> Result<(), ArchiveError> {
        if self.raw.len() - begin > MAX_LINE_BYTES {
            self.raw.truncate(begin);
            return Err(ArchiveError::TooLarge(path.clone()));
        }
        self.records += 1;
        if self.raw.len() >= FRAME_BYTES {
            self.close_frame()?;
        }
        Ok(())
    }

    /// Writes what is left, and gives `out` back with where the frames are. Flushes `out`; syncing it is the owner's part.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn finish(mut self) -> Result<(W, Vec<Frame>), ArchiveError> {
        if self.records > 0 {
            self.close_frame()?;
        }
        self.out.flush()?;
        Ok((self.out, self.frames))
    }

    fn close_frame(&mut self) -> Result<(), ArchiveError> {
        let packed = pack(&self.raw, self.records)?;
        write_frame(&mut self.out, packed, &mut self.frames)?;
        self.records = 0;
        self.raw.clear();
        Ok(())
    }
}

/// The bytes of a frame that holds `raw`, and what is told of it but for its place.
pub(super) fn pack(raw: &[u8], records: u64) -> std::io::Result<(Vec<u8>, Frame)> {
    let packed = zstd::bulk::compress(raw, LEVEL)?;
    let frame = Frame {
        offset: 0,
        length: packed.len() as u64,
        records,
        sha256: hex_sha256(&packed),
    };
    Ok((packed, frame))
}

/// Writes a frame behind the others.
pub(super) fn write_frame(
    out: &mut impl Write,
    (packed, frame): (Vec<u8>, Frame),
    frames: &mut Vec<Frame>,
) -> std::io::Result<()> {
    out.write_all(&packed)?;
    let offset = frames.last().map_or(0, |last| last.offset + last.length);
    frames.push(Frame { offset, ..frame });
    Ok(())
}

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

fn hex_sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}"); // writing to a String cannot fail
            hex
        })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::archive::Role;
    use crate::tree::{Stat, ZnodePath};

    fn archive(sizes: &[usize]) -> (Vec<Record>, Vec<u8>, Vec<Frame>) {
        let records: Vec<_> = sizes
            .iter()
            .enumerate()
            .map(|(i, size)| Record {
                path: ZnodePath::parse(&format!("/n{i}")).unwrap(),
                role: Role::Captured,
                data: (0..*size).map(|b| ((b * 31 + i) % 256) as u8).collect(),
                acl: Acl::open(),
                stat: Stat::default(),
            })
            .collect();
        let mut bytes = Vec::new();
        let mut writer = ArchiveWriter::new(&mut bytes);
        records.iter().for_each(|record| writer.push(record).unwrap());
        let (_, frames) = writer.finish().unwrap();
        (records, bytes, frames)
    }

    #[test]
    fn what_is_written_is_read_again_frame_by_frame() {
        let (records, bytes, frames) = archive(&[0, 256, 700_000, 700_000, 1_000_000, 3]);
        assert!(frames.len() >= 3, "{frames:?}");
        assert_eq!(frames.iter().map(|f| f.length).sum::<u64>(), bytes.len() as u64);
        let file = ArchiveFile::new(Cursor::new(bytes), frames);
        let back: Vec<_> = (0..file.frames()).flat_map(|i| file.frame(i).unwrap()).collect();
        assert_eq!(back, records);
    }

    #[test]
    fn the_whole_file_is_one_zstd_stream_of_json_lines() {
        let (records, bytes, _) = archive(&[10, 900_000, 900_000, 10]);
        let text = String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap();
        let back: Vec<Record> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(back, records);
    }

    #[test]
    fn a_flipped_byte_is_named_and_costs_only_its_frame() {
        let (_, bytes, frames) = archive(&[900_000, 900_000, 900_000]);
        for (index, frame) in frames.iter().enumerate() {
            let mut broken = bytes.clone();
            broken[(frame.offset + frame.length / 2) as usize] ^= 1;
            let file = ArchiveFile::new(Cursor::new(broken), frames.clone());
            for other in 0..frames.len() {
                let read = file.frame(other);
                if other == index {
                    let text = read.unwrap_err().to_string();
                    assert!(text.contains(&format!("frame {index} ")), "{text}");
                } else {
                    assert!(read.is_ok());
                }
            }
        }
    }

    #[test]
    fn whatever_is_written_can_be_read_and_what_cannot_is_named() {
        let lines = |data: usize| {
            let mut bytes = Vec::new();
            let mut writer = ArchiveWriter::new(&mut bytes);
            let (small, _, _) = archive(&[700_000]);
            let mut large = small[0].clone();
            (large.path, large.data) = (ZnodePath::parse("/large").unwrap(), vec![7; data]);
            writer.push(&small[0]).unwrap();
            let pushed = writer.push(&large);
            let amendment = |record| Amendment {
                path: large.path.clone(),
                supersedes: true,
                record: Some(record),
            };
            let amended = ArchiveWriter::new(Vec::new()).amend(&amendment(large.clone()));
            writer.push(&small[0]).unwrap();
            let (_, frames) = writer.finish().unwrap();
            let file = ArchiveFile::new(Cursor::new(bytes), frames);
            let back: Vec<_> = (0..file.frames()).flat_map(|i| file.frame(i).unwrap()).collect();
            (pushed, amended, back.len(), back.contains(&large))
        };
        let room = MAX_LINE_BYTES / 4 * 3;
        assert!(matches!(lines(room - 1_000), (Ok(()), Ok(()), 3, true)));
        let (pushed, amended, kept, has) = lines(room);
        assert!(matches!(pushed, Err(ArchiveError::TooLarge(path)) if path.as_str() == "/large"));
        assert!(matches!(amended, Err(ArchiveError::TooLarge(_))));
        assert_eq!((kept, has), (2, false));
    }

    /// A manifest may claim anything, and a file may be all hole.
    #[test]
    fn what_is_claimed_is_neither_reserved_nor_read() {
        let (_, bytes, frames) = archive(&[10]);
        let mut claims = frames.clone();
        claims[0].records = 1 << 50;
        claims.push(Frame {
            records: u64::MAX,
            ..frames[0].clone()
        });
        let source = || ArchiveFile::new(Cursor::new(bytes.clone()), claims.clone());
        assert!(super::super::compare(&source(), &source(), |_| true, (0, 10)).is_err());
        assert!(super::super::Catalog::new(std::sync::Arc::new(source())).is_err());

        let file = tempfile::tempfile().unwrap();
        file.set_len(30 << 30).unwrap();
        let frame = Frame {
            offset: 0,
            length: 30 << 30,
            records: 1,
            sha256: String::new(),
        };
        let text = ArchiveFile::new(file.try_clone().unwrap(), vec![frame.clone()])
            .frame(0)
            .unwrap_err()
            .to_string();
        assert!(text.contains("no frame has so many"), "{text}");
        let opened = crate::files::SnapshotRecords::open(file, vec![frame]).map(drop);
        assert!(opened.unwrap_err().to_string().contains("no frame has so many"));
    }

    /// However much it packs: what is made of a line is larger than the line.
    #[test]
    fn a_frame_with_more_records_than_are_ever_written_is_refused_before_they_are_held() {
        let (records, _, _) = archive(&[0]);
        let mut line = Vec::new();
        records[0]
            .write_line(&mut (Acl::default(), Vec::new()), &mut line)
            .unwrap();
        for (lines, claimed) in [(3, 2), (FRAME_BYTES / line.len() + 2, u64::MAX)] {
            let packed = zstd::bulk::compress(&line.repeat(lines), LEVEL).unwrap();
            let frame = Frame {
                offset: 0,
                length: packed.len() as u64,
                records: claimed,
                sha256: hex_sha256(&packed),
            };
            let file = ArchiveFile::new(Cursor::new(packed), vec![frame]);
            let text = file.outline(0).unwrap_err().to_string();
            assert!(text.contains("more records"), "{lines}: {text}");
        }
    }

    #[test]
    fn a_truncated_file_is_damage() {
        let (_, mut bytes, frames) = archive(&[900_000, 900_000]);
        bytes.truncate(bytes.len() - 1);
        let file = ArchiveFile::new(Cursor::new(bytes), frames);
        assert!(matches!(
            file.frame(file.frames() - 1),
            Err(ArchiveError::Damaged { .. })
        ));
    }
}
