//! A file of a vault as `Read` and `Seek`.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::sync::Arc;

use crate::VaultRead;

/// So much is asked for at once: over a network a request takes about as long as the first bytes of it.
const AHEAD: usize = 1 << 20;
/// So many pieces are kept that were read last. Several threads that share a reader come to their places in any order, a little apart, and each byte
/// is asked for once all the same, from the front to the back. A restore has six frames at hand, and one of large znodes takes up to 2 MB.
const KEPT: usize = 16;
/// Of a file that is near one piece is kept, and so much or more is read without it.
const MUCH: usize = 16 << 10;

/// Reads an open file from one place to the next, in requests of 1 MiB. Of one that is [far](VaultRead::is_far) the last 16 MiB are kept, of another the
/// last one. Several may read one file.
///
/// ```
/// use std::io::{Read, Seek, SeekFrom};
/// use vault_store::{FileName, Manifest, MemoryStore, Mode, Outcome, Reader, VaultId, VaultStore};
///
/// let (store, id) = (MemoryStore::new(), "20261123T140000".parse::<VaultId>()?);
/// let name = FileName::from_static("archive.zst");
/// let mut stage = store.stage(&id)?;
/// let files = vec![stage.put(&name, b"two znodes")?];
/// let manifest = Manifest::new(&id, Mode::Hierarchical, id.time(), Outcome::Complete);
/// stage.commit(&Manifest { files, ..manifest })?;
///
/// let mut reader = Reader::new(store.open(&id, &name)?);
/// reader.seek(SeekFrom::Start(4))?;
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "znodes");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Reader {
    file: Arc<dyn VaultRead>,
    size: u64,
    at: u64,
    /// Pieces that were read one after another, and where each begins.
    kept: VecDeque<(u64, Vec<u8>)>,
    /// So many of them at most.
    most: usize,
    /// So many bytes, or more, are read without a piece.
    direct: usize,
}

impl Reader {
    /// At the beginning of `file`.
    #[must_use]
    pub fn new(file: Arc<dyn VaultRead>) -> Self {
        let size = file.size();
        let (most, direct) = match file.is_far() {
            true => (KEPT, usize::MAX),
            false => (1, MUCH),
        };
        Self {
            file,
            size,
            at: 0,
            kept: VecDeque::new(),
            most,
            direct,
        }
    }

    /// The same for who looks at single places: asks for no more than is to be read.
    #[must_use]
    pub fn sparing(file: Arc<dyn VaultRead>) -> Self {
        Self {
            direct: 0,
            ..Self::new(file)
        }
    }

    /// What is kept from the next byte on, if that is.
    fn within(&self) -> Option<&[u8]> {
        self.kept.iter().rev().find_map(|(begin, piece)| {
            let place = usize::try_from(self.at.checked_sub(*begin)?).ok()?;
            piece.get(place..).filter(|there| !there.is_empty())
        })
    }

    /// Where the last piece ends.
    fn end(&self) -> Option<u64> {
        self.kept.back().map(|(begin, piece)| begin + piece.len() as u64)
    }

    /// Reads until the next byte is kept, or there is none. Whoever has read on from piece to piece, and is a little further now, left what is between to
    /// another thread.
    fn fetch(&mut self) -> io::Result<()> {
        let near = |end: &u64| {
            let gap = self.at.checked_sub(*end);
            gap.is_some_and(|gap| gap == 0 || (self.kept.len() > 1 && gap < (KEPT * AHEAD) as u64))
        };
        let mut begin = match self.end().filter(near) {
            Some(end) => end,
            None => {
                self.kept.clear();
                self.at
            }
        };
        while begin <= self.at {
            let spent = match self.kept.len() < self.most {
                true => None,
                false => self.kept.pop_front(),
            };
            let mut piece = spent.map_or_else(Vec::new, |(_, piece)| piece);
            let left = usize::try_from(self.size - begin).unwrap_or(AHEAD);
            piece.resize(left.min(AHEAD), 0);
            let count = match self.file.read_at(begin, &mut piece) {
                // Whoever goes on behind what cannot be read begins there: it is not theirs.
                Err(_) if begin < self.at => {
                    self.kept.clear();
                    begin = self.at;
                    continue;
                }
                read => read.inspect_err(|_| self.kept.clear())?,
            };
            if count == 0 {
                break;
            }
            piece.truncate(count);
            self.kept.push_back((begin, piece));
            begin += count as u64;
        }
        Ok(())
    }
}

impl BufRead for Reader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at < self.size && self.within().is_none() {
            self.fetch()?;
        }
        Ok(self.within().unwrap_or_default())
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes as u64;
    }
}

impl Read for Reader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = if bytes.len() >= self.direct && self.within().is_none() && self.at < self.size {
            self.file.read_at(self.at, bytes)?
        } else {
            let mut there = self.fill_buf()?;
            there.read(bytes)?
        };
        self.consume(count);
        Ok(count)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::End(by) => (self.size, by),
            SeekFrom::Current(by) => (self.at, by),
        };
        self.at = from
            .checked_add_signed(by)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "before the beginning of the file"))?;
        Ok(self.at)
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::StoreError;

    /// Gives `most` bytes at once, and notes what it was asked for.
    struct Asked {
        bytes: Vec<u8>,
        most: usize,
        is_far: bool,
        asked: Mutex<Vec<(u64, usize)>>,
    }

    impl VaultRead for Asked {
        fn size(&self) -> u64 {
            self.bytes.len() as u64
        }

        fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, StoreError> {
            self.asked.lock().unwrap().push((offset, bytes.len()));
            let mut there = &self.bytes[(offset as usize).min(self.bytes.len())..];
            let most = bytes.len().min(self.most);
            Ok(there.read(&mut bytes[..most]).unwrap())
        }

        fn is_far(&self) -> bool {
            self.is_far
        }
    }

    fn asked(length: usize, most: usize) -> Arc<Asked> {
        Arc::new(Asked {
            bytes: (0..length).map(|i| (i * 31 % 251) as u8).collect(),
            most,
            is_far: true,
            asked: Mutex::default(),
        })
    }

    fn near(length: usize) -> Arc<Asked> {
        let file = Arc::into_inner(asked(length, usize::MAX));
        Arc::new(Asked {
            is_far: false,
            ..file.unwrap()
        })
    }

    #[test]
    fn of_a_file_that_is_near_much_is_read_as_it_is_asked_for_and_little_from_one_piece() {
        let file = near(AHEAD * 3);
        let mut reader = Reader::new(file.clone());
        let (mut little, mut much) = ([0; 1_000], vec![0; MUCH]);
        reader.read_exact(&mut little).unwrap();
        reader.read_exact(&mut much).unwrap();
        for at in [AHEAD, 2 * AHEAD] {
            reader.seek(SeekFrom::Start(at as u64)).unwrap();
            reader.read_exact(&mut much).unwrap();
            assert_eq!(much, file.bytes[at..at + MUCH]);
        }
        let begun = [(0, AHEAD), (AHEAD as u64, MUCH), (2 * AHEAD as u64, MUCH)];
        assert_eq!(std::mem::take(&mut *file.asked.lock().unwrap()), begun);
        while reader.read(&mut little).unwrap() > 0 {
            assert_eq!(reader.kept.len(), 1);
        }
    }

    #[test]
    fn reads_in_sequence_are_few_requests_and_single_places_are_no_more_than_they_are() {
        let file = asked(AHEAD * 5 / 2, usize::MAX);
        let mut reader = Reader::new(file.clone());
        let mut piece = [0; 1_000];
        while reader.read(&mut piece).unwrap() > 0 {}
        let ahead = AHEAD as u64;
        let requests = [(0, AHEAD), (ahead, AHEAD), (2 * ahead, AHEAD / 2)];
        assert_eq!(std::mem::take(&mut *file.asked.lock().unwrap()), requests);

        let mut large = vec![0; AHEAD * 2];
        for mut reader in [reader, Reader::sparing(file.clone())] {
            reader.seek(SeekFrom::Start(7)).unwrap();
            reader.read_exact(&mut large).unwrap();
            assert_eq!(large, file.bytes[7..7 + AHEAD * 2]);
        }
        assert_eq!(*file.asked.lock().unwrap(), [(7, AHEAD * 2)]);
    }

    /// Threads that each take the next frame come to it in no order.
    #[test]
    fn places_a_little_apart_are_asked_for_in_order_and_once() {
        const FRAME: usize = 1_900_000;
        let file = asked(40 * FRAME, usize::MAX);
        let mut reader = Reader::new(file.clone());
        let mut order: Vec<_> = (0..40).collect();
        order[2..].chunks_mut(6).for_each(<[_]>::reverse);
        let mut frame = vec![0; FRAME];
        for index in order {
            reader.seek(SeekFrom::Start((index * FRAME) as u64)).unwrap();
            reader.read_exact(&mut frame).unwrap();
            assert_eq!(frame, file.bytes[index * FRAME..(index + 1) * FRAME]);
        }
        let asked = file.asked.lock().unwrap();
        let expected = (0..40 * FRAME).step_by(AHEAD);
        let expected = expected.map(|begin| (begin as u64, AHEAD.min(40 * FRAME - begin)));
        assert_eq!(*asked, expected.collect::<Vec<_>>());
    }

    /// Whoever comes to what is behind it is not told of it.
    #[test]
    fn what_cannot_be_read_is_told_to_who_reads_it() {
        struct Torn(Arc<Asked>, std::ops::Range<u64>);
        impl VaultRead for Torn {
            fn size(&self) -> u64 {
                self.0.size()
            }

            fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, StoreError> {
                match offset < self.1.end && offset + bytes.len() as u64 > self.1.start {
                    true => Err(StoreError::io("torn", io::Error::other("torn"))),
                    false => self.0.read_at(offset, bytes),
                }
            }
        }
        let ahead = AHEAD as u64;
        let whole = asked(8 * AHEAD, usize::MAX);
        let mut reader = Reader::new(Arc::new(Torn(whole.clone(), 2 * ahead + 5..2 * ahead + 6)));
        let mut piece = vec![0; AHEAD];
        reader.read_exact(&mut piece).unwrap();
        reader.read_exact(&mut piece).unwrap();
        reader.seek(SeekFrom::Start(4 * ahead)).unwrap();
        reader.read_exact(&mut piece).unwrap();
        assert_eq!(piece, whole.bytes[4 * AHEAD..5 * AHEAD]);
        reader.seek(SeekFrom::Start(2 * ahead)).unwrap();
        assert!(reader.read_exact(&mut piece).is_err());
    }

    #[test]
    fn whatever_comes_at_once_and_wherever_it_is_begun_the_bytes_are_those_of_the_file() {
        let far = [1, 7, usize::MAX].map(|most| asked(1_000, most));
        for file in far.into_iter().chain([near(1_000)]) {
            let most = file.most;
            let mut reader = Reader::new(file.clone());
            for (to, at) in [
                (SeekFrom::Start(10), 10),
                (SeekFrom::End(-3), 997),
                (SeekFrom::Start(990), 990),
                (SeekFrom::Current(-5), 995),
                (SeekFrom::Start(1_000), 1_000),
                (SeekFrom::Start(u64::MAX), u64::MAX),
                (SeekFrom::Start(0), 0),
            ] {
                assert_eq!(reader.seek(to).unwrap(), at);
                let mut bytes = Vec::new();
                reader.by_ref().take(600).read_to_end(&mut bytes).unwrap();
                let begin = usize::try_from(at).unwrap().min(1_000);
                assert_eq!(
                    bytes,
                    file.bytes[begin..(begin + 600).min(1_000)],
                    "{most} {to:?}"
                );
            }
            assert!(reader.seek(SeekFrom::End(-1_001)).is_err());
        }
    }
}
