//! Transaction logs (`FileTxnLog`), also while a server is writing them.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use simd_adler32::Adler32;

use super::data_dirs::{Unfit, file_name, open_file, opened};
use super::jute::Input;
use super::txn::Txn;
use super::{Fault, FileError};

const MAGIC: &[u8; 4] = b"ZKLG";
const HEADER: u64 = 16;
/// The end mark of a record.
const EOR: u8 = b'B';
/// No server writes a record as long as this: `jute.maxbuffer` bounds them.
const LONGEST: i32 = 1 << 30;

/// What follows in a log.
pub(super) enum Step {
    /// A record, in the reader's buffer.
    Record,
    /// Nothing (yet).
    End,
    /// A record that is not whole (yet).
    Torn,
}

/// What is wrong where a log ends.
pub(super) enum Amiss {
    /// Records follow what cannot be read.
    Within(FileError),
    /// A record is not whole, and nothing follows: as a rule a power cut, before it was committed.
    Tail(FileError),
}

/// Reads one log, record by record, and can go on where it ended when more was written.
pub(super) struct LogReader {
    name: String,
    input: BufReader<File>,
    /// After the last whole record.
    at: u64,
    /// Where the record at `at` would end if it were whole.
    claimed: u64,
    /// Whether what was looked at last is a record that is not whole.
    torn: bool,
    begun: bool,
    record: Vec<u8>,
}

impl LogReader {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            name: file_name(path),
            input: BufReader::with_capacity(1 << 20, open_file(path)?),
            at: HEADER,
            claimed: HEADER,
            torn: false,
            begun: false,
            record: Vec::new(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn fault(&self, fault: Fault) -> FileError {
        FileError {
            file: self.name.clone(),
            offset: self.at,
            fault,
        }
    }

    fn io(&self, error: &io::Error) -> FileError {
        self.fault(Fault::Io(error.to_string()))
    }

    /// Reads up to `bytes` into the record's buffer, and says whether all were there.
    fn fill(&mut self, bytes: u64) -> Result<bool, FileError> {
        self.record.clear();
        let read = self.input.by_ref().take(bytes).read_to_end(&mut self.record);
        read.map(|read| read as u64 == bytes)
            .map_err(|error| self.io(&error))
    }

    /// Reads on.
    pub(super) fn step(&mut self) -> Result<Step, FileError> {
        if !self.begun {
            if !self.fill(HEADER)? {
                self.back()?;
                return Ok(Step::End); // it was only just made
            }
            if !self.record.starts_with(MAGIC) {
                self.back()?;
                return Err(FileError::new(&self.name, 0, Fault::Magic("a transaction log")));
            }
            self.begun = true;
        }
        (self.claimed, self.torn) = (self.at, false);
        if !self.fill(12)? {
            let nothing = self.record.iter().all(|byte| *byte == 0);
            self.claimed = self.at + self.record.len() as u64;
            self.back()?;
            self.torn = !nothing;
            return Ok(if nothing { Step::End } else { Step::Torn });
        }
        let mut input = Input::new(&self.record);
        let read = |fault| FileError::new(&self.name, 0, fault);
        let expected = input.long().map_err(read)?.cast_unsigned();
        let length = input.int().map_err(read)?;
        if length == 0 {
            self.back()?;
            return Ok(Step::End);
        }
        if !(1..LONGEST).contains(&length) {
            let fault = self.fault(Fault::Length(length.into()));
            self.back()?;
            return Err(fault);
        }
        let length = u64::from(length.unsigned_abs());
        self.claimed = self.at + 12 + length + 1;
        if !self.fill(length + 1)? || self.record.pop() != Some(EOR) {
            self.back()?;
            self.torn = true;
            return Ok(Step::Torn);
        }
        let mut adler = Adler32::new();
        adler.write(&self.record);
        let found = u64::from(adler.finish());
        if expected != found {
            let fault = self.fault(Fault::Checksum { expected, found });
            self.back()?;
            return Err(fault);
        }
        self.at = self.claimed;
        Ok(Step::Record)
    }

    /// The record that was read last.
    pub(super) fn record(&self) -> Result<Txn<'_>, FileError> {
        let begin = self.at - self.record.len() as u64 - 1;
        Txn::decode(&self.record).map_err(|fault| FileError {
            offset: begin,
            ..self.fault(fault)
        })
    }

    /// Begins anew.
    pub(super) fn rewind(&mut self) -> Result<(), FileError> {
        (self.at, self.begun) = (HEADER, false);
        self.back()
    }

    fn back(&mut self) -> Result<(), FileError> {
        let at = if self.begun { self.at } else { 0 };
        self.input
            .seek(SeekFrom::Start(at))
            .map(drop)
            .map_err(|error| self.io(&error))
    }

    /// What is wrong where it ends, of one that others follow: more is written after it, or the last record is not whole.
    pub(super) fn amiss(&mut self) -> Result<Option<Amiss>, FileError> {
        Ok(match (self.more_follows()?, self.torn) {
            (true, _) => Some(Amiss::Within(self.fault(Fault::Gap))),
            (false, true) => Some(Amiss::Tail(self.fault(Fault::Gap))),
            (false, false) => None,
        })
    }

    /// Whether anything is written after what was read, and after what a torn record takes. Servers fill logs with
    /// zeros before they write to them.
    pub(super) fn more_follows(&mut self) -> Result<bool, FileError> {
        const ZEROS: [u8; 8 << 10] = [0; 8 << 10];
        let mut bytes = ZEROS;
        let follows = self.input.seek(SeekFrom::Start(self.claimed)).and_then(|_| {
            loop {
                match self.input.read(&mut bytes) {
                    Ok(0) => return Ok(false),
                    Ok(read) if bytes[..read] != ZEROS[..read] => return Ok(true),
                    Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                    _ => {}
                }
            }
        });
        self.back()?;
        follows.map_err(|error| self.io(&error))
    }
}

pub(super) fn open(path: &Path) -> Result<LogReader, Unfit> {
    opened(path, LogReader::open(path))
}
