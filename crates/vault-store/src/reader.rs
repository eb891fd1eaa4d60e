//! A file of a vault as `Read` and `Seek`.

use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::sync::Arc;

use crate::VaultRead;

/// So much is asked for at once: over a network a request takes about as long as the first bytes of it.
const AHEAD: usize = 1 << 20;

/// Reads an open file from one place to the next, in requests of 1 MiB or, where more is asked for at once, of that. Several may read one
/// file.
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
    /// What was read ahead: `filled` bytes of the file from `begin` on.
    ahead: Vec<u8>,
    begin: u64,
    filled: usize,
    is_sparing: bool,
}

impl Reader {
    /// At the beginning of `file`.
    #[must_use]
    pub fn new(file: Arc<dyn VaultRead>) -> Self {
        let size = file.size();
        Self {
            file,
            size,
            at: 0,
            ahead: Vec::new(),
            begin: 0,
            filled: 0,
            is_sparing: false,
        }
    }

    /// The same for who looks at single places: asks for no more than is to be read.
    #[must_use]
    pub fn sparing(file: Arc<dyn VaultRead>) -> Self {
        Self {
            is_sparing: true,
            ..Self::new(file)
        }
    }

    /// Where in `ahead` the next byte is, if it is there.
    fn within(&self) -> Option<usize> {
        let place = usize::try_from(self.at.checked_sub(self.begin)?).ok()?;
        (place < self.filled).then_some(place)
    }
}

impl BufRead for Reader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let place = match self.within() {
            Some(place) => place,
            None if self.at >= self.size => return Ok(&[]),
            None => {
                let room = usize::try_from(self.size).map_or(AHEAD, |size| size.min(AHEAD));
                self.ahead.resize(room, 0);
                (self.begin, self.filled) = (self.at, 0);
                self.filled = self.file.read_at(self.at, &mut self.ahead)?;
                0
            }
        };
        Ok(&self.ahead[place..self.filled])
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes as u64;
    }
}

impl Read for Reader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let is_direct = self.is_sparing || bytes.len() >= AHEAD;
        let count = if is_direct && self.within().is_none() && self.at < self.size {
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
    }

    fn asked(length: usize, most: usize) -> Arc<Asked> {
        Arc::new(Asked {
            bytes: (0..length).map(|i| (i * 31 % 251) as u8).collect(),
            most,
            asked: Mutex::default(),
        })
    }

    #[test]
    fn small_reads_in_sequence_are_few_requests_and_large_ones_are_one() {
        let file = asked(AHEAD * 5 / 2, usize::MAX);
        let mut reader = Reader::new(file.clone());
        let mut piece = [0; 1_000];
        while reader.read(&mut piece).unwrap() > 0 {}
        let ahead = AHEAD as u64;
        let requests = [(0, AHEAD), (ahead, AHEAD), (2 * ahead, AHEAD)];
        assert_eq!(*file.asked.lock().unwrap(), requests);

        file.asked.lock().unwrap().clear();
        reader.seek(SeekFrom::Start(7)).unwrap();
        let mut large = vec![0; AHEAD * 2];
        reader.read_exact(&mut large).unwrap();
        assert_eq!(*file.asked.lock().unwrap(), [(7, AHEAD * 2)]);
        assert_eq!(large, file.bytes[7..7 + AHEAD * 2]);
    }

    #[test]
    fn whatever_comes_at_once_and_wherever_it_is_begun_the_bytes_are_those_of_the_file() {
        for most in [1, 7, usize::MAX] {
            let file = asked(1_000, most);
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
