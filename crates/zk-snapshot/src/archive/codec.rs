//! Frames: what they are, how large they may be, and how they are packed and hashed.

use std::fmt::Write as _;
use std::io::Write;

use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;

/// A frame is closed once it holds this many bytes of records.
pub(super) const FRAME_BYTES: usize = 1 << 20;
/// No line is longer: that of a znode of 1 MiB, in base64 and with its ACL, fits many times. Both sides hold to it.
pub(super) const MAX_LINE_BYTES: usize = 64 << 20;
/// No frame unpacks to more: it is closed by the line that fills it.
pub(super) const MAX_FRAME_BYTES: usize = FRAME_BYTES + MAX_LINE_BYTES;
/// The level that keeps up with what a server can send; higher ones make backups slower, and hardly smaller.
const LEVEL: i32 = 1;

/// Where a frame lies in the file, and what it must hash to.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// Packs frames and writes them one behind the other, each with the tables and the room of the one before.
#[derive(Default)]
pub(super) struct FrameWriter {
    frames: Vec<Frame>,
    compressor: Option<Compressor<'static>>,
    packed: Vec<u8>,
}

impl FrameWriter {
    /// Writes a frame that holds `raw`, which is so many records.
    pub(super) fn write(&mut self, raw: &[u8], records: u64, out: &mut impl Write) -> std::io::Result<()> {
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            none => none.insert(Compressor::new(LEVEL)?),
        };
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        compressor.compress_to_buffer(raw, &mut self.packed)?;
        out.write_all(&self.packed)?;
        self.frames.push(Frame {
            offset: self.frames.last().map_or(0, |last| last.offset + last.length),
            length: self.packed.len() as u64,
            records,
            sha256: hex_sha256(&self.packed),
        });
        Ok(())
    }

    /// How many were written.
    pub(super) fn count(&self) -> usize {
        self.frames.len()
    }

    /// Where they lie.
    pub(super) fn finish(self) -> Vec<Frame> {
        self.frames
    }
}

/// SHA-256 of `bytes`, in lower-case hex.
pub(super) fn hex_sha256(bytes: &[u8]) -> String {
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
    use crate::archive::{
        Amendment, ArchiveError, ArchiveFile, ArchiveWriter, Catalog, Record, RecordSource, Role, compare,
    };
    use crate::tree::{Acl, Stat, ZnodePath};

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
        assert!(compare(&source(), &source(), None, (0, 10)).is_err());
        assert!(Catalog::new(std::sync::Arc::new(source())).is_err());

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
