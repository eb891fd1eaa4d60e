//! The bytes of a snapshot, unpacked and checked, from a thread of their own.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use simd_adler32::Adler32;

use super::Fault;
use super::again::Sum;
use super::jute::Input;

const GZIP: &[u8] = &[0x1f, 0x8b];
/// The Java library's own framing of snappy, not the standard one.
const XERIAL: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEADER: usize = 16;
/// No block of snappy is longer.
const LONGEST_BLOCK: u32 = 1 << 30;
const CHUNK: usize = 128 << 10;
/// Chunks that are read ahead.
const AHEAD: usize = 6;
/// No more than this follows the last znode.
pub(super) const TAIL: usize = 128;

/// Where the bytes of a snapshot are. They can be read more than once, also after the file has been purged.
#[derive(Clone)]
pub(super) enum Source {
    File(Arc<Mutex<File>>),
    Bytes(Arc<[u8]>),
}

enum Message {
    Chunk(Vec<u8>),
    /// Everything has been sent.
    End(Seals),
    Fail(Fault),
}

/// The Adler-32 of all bytes but the last ones, and these.
pub(super) struct Seals {
    adler: Adler32,
    tail: Vec<u8>,
    length: u64,
}

impl Seals {
    /// The checksum of the first `bytes`, which must be nearly all.
    pub(super) fn up_to(&self, bytes: u64) -> Option<u64> {
        let kept = self.length - self.tail.len() as u64;
        let more = usize::try_from(bytes.checked_sub(kept)?).ok()?;
        Some(self.with(self.tail.get(..more)?).adler())
    }

    /// Of all bytes.
    pub(super) fn whole(&self) -> Sum {
        self.with(&self.tail)
    }

    fn with(&self, tail: &[u8]) -> Sum {
        let before = Sum::new(self.adler.finish(), self.length - self.tail.len() as u64);
        before.and(Sum::of(tail))
    }
}

impl Source {
    /// Reads ahead in a thread of `scope`.
    pub(super) fn feed<'scope>(&self, scope: &'scope Scope<'scope, '_>) -> Feed {
        let ((send, chunks), (empty, used)) = (sync_channel(AHEAD), channel());
        let source = self.clone();
        scope.spawn(move || match source.send(&send, &used) {
            Ok(Some(seals)) => drop(send.send(Message::End(seals))),
            Ok(None) => {} // nobody listens any more
            Err(fault) => drop(send.send(Message::Fail(fault))),
        });
        Feed {
            chunks,
            empty,
            chunk: Vec::new(),
            taken: 0,
            at: 0,
            seals: None,
        }
    }

    fn send(&self, send: &SyncSender<Message>, used: &Receiver<Vec<u8>>) -> Result<Option<Seals>, Fault> {
        let io = |error: io::Error| Fault::Io(error.to_string());
        match self {
            Self::Bytes(bytes) => pump(unpacked(Cursor::new(bytes)).map_err(io)?, send, used),
            Self::File(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.rewind().map_err(io)?;
                pump(unpacked(&*file).map_err(io)?, send, used)
            }
        }
    }
}

/// A snapshot's bytes, and whether they were packed.
pub(super) type Unpacked<'a> = (Box<dyn Read + 'a>, bool);

pub(super) fn unpacked<'a>(mut input: impl Read + 'a) -> io::Result<Unpacked<'a>> {
    let mut begin = Vec::new();
    input
        .by_ref()
        .take(XERIAL_HEADER as u64)
        .read_to_end(&mut begin)?;
    let gzip = begin.starts_with(GZIP);
    if begin.starts_with(XERIAL) {
        let blocks = Xerial {
            input: BufReader::new(input),
            packed: Vec::new(),
            block: Vec::new(),
            taken: 0,
        };
        return Ok((Box::new(blocks), true));
    }
    let whole = Cursor::new(begin).chain(input);
    Ok(if gzip {
        let input = BufReader::with_capacity(64 << 10, whole);
        (Box::new(flate2::bufread::MultiGzDecoder::new(input)), true)
    } else {
        (Box::new(whole), false)
    })
}

struct Xerial<R> {
    input: BufReader<R>,
    packed: Vec<u8>,
    block: Vec<u8>,
    taken: usize,
}

impl<R: Read> Read for Xerial<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.block.len() {
            let mut length = Vec::new();
            match self.input.by_ref().take(4).read_to_end(&mut length)? {
                0 => return Ok(0),
                4 => {}
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
            let length = u32::from_be_bytes(length.try_into().unwrap_or_default());
            if length > LONGEST_BLOCK {
                return Err(io::Error::other(format!("a block of {length} bytes cannot be")));
            }
            self.packed.clear();
            let wanted = u64::from(length);
            if self.input.by_ref().take(wanted).read_to_end(&mut self.packed)? as u64 != wanted {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.block = snap::raw::Decoder::new()
                .decompress_vec(&self.packed)
                .map_err(io::Error::other)?;
            self.taken = 0;
        }
        let count = (&self.block[self.taken..]).read(buffer)?;
        self.taken += count;
        Ok(count)
    }
}

/// Sends everything, and computes the checksum on the way. `None` if nobody listens any more.
fn pump(
    (mut input, packed): Unpacked<'_>,
    send: &SyncSender<Message>,
    used: &Receiver<Vec<u8>>,
) -> Result<Option<Seals>, Fault> {
    let mut seals = Seals {
        adler: Adler32::new(),
        tail: Vec::new(),
        length: 0,
    };
    loop {
        let mut chunk = used.try_recv().unwrap_or_else(|_| vec![0; CHUNK]);
        chunk.resize(CHUNK, 0);
        let mut filled = 0;
        while filled < CHUNK {
            match input.read(&mut chunk[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if packed => return Err(Fault::Packed(error.to_string())),
                Err(error) => return Err(Fault::Io(error.to_string())),
            }
        }
        if filled == 0 {
            return Ok(Some(seals));
        }
        chunk.truncate(filled);
        seals.length += filled as u64;
        // Only the end of a file is sealed, so its last bytes wait until it is known where it ends.
        let sure = filled.saturating_sub(TAIL);
        let kept = if sure == 0 { TAIL - filled } else { 0 };
        let excess = seals.tail.len().saturating_sub(kept);
        seals.adler.write(&seals.tail[..excess]);
        seals.tail.drain(..excess);
        seals.adler.write(&chunk[..sure]);
        seals.tail.extend_from_slice(&chunk[sure..]);
        if send.send(Message::Chunk(chunk)).is_err() {
            return Ok(None);
        }
    }
}

/// Hands out what was read ahead, item by item.
pub(super) struct Feed {
    chunks: Receiver<Message>,
    empty: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    taken: usize,
    /// Bytes that were handed out so far.
    pub(super) at: u64,
    seals: Option<Seals>,
}

impl Feed {
    /// Gets the next chunk, and says whether there was one.
    fn more(&mut self) -> Result<bool, Fault> {
        if self.seals.is_some() {
            return Ok(false);
        }
        match self.chunks.recv() {
            Ok(Message::Chunk(chunk)) => {
                // It is no matter if nobody fills the old one again.
                let _ = self.empty.send(std::mem::replace(&mut self.chunk, chunk));
                self.taken = 0;
                Ok(true)
            }
            Ok(Message::End(seals)) => {
                self.seals = Some(seals);
                Ok(false)
            }
            Ok(Message::Fail(fault)) => Err(fault),
            Err(_) => Err(Fault::Truncated),
        }
    }

    /// Reads the next item by `read`, which may be called more than once, with more bytes each time, until it does not
    /// say any more that the item is truncated.
    pub(super) fn item<T>(
        &mut self,
        mut read: impl FnMut(&mut Input<'_>, u64) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut input = Input::new(&self.chunk[self.taken..]);
        match read(&mut input, self.at) {
            Err(Fault::Truncated) => {}
            item => {
                self.taken += input.at();
                self.at += input.at() as u64;
                return item;
            }
        }
        let mut split = self.chunk[self.taken..].to_vec();
        self.taken = self.chunk.len();
        loop {
            if self.taken == self.chunk.len() && !self.more()? {
                return Err(Fault::Truncated);
            }
            let before = split.len();
            let count = (self.chunk.len() - self.taken).min(before.max(1 << 10));
            split.extend_from_slice(&self.chunk[self.taken..self.taken + count]);
            let mut input = Input::new(&split);
            match read(&mut input, self.at) {
                Err(Fault::Truncated) => self.taken += count,
                item => {
                    // What was read before did not suffice, so it ends in what was added.
                    self.taken += input.at().saturating_sub(before);
                    self.at += input.at() as u64;
                    return item;
                }
            }
        }
    }

    /// The checksums, when everything else has been read and passed over.
    pub(super) fn seals(&mut self) -> Result<&Seals, Fault> {
        while self.more()? {}
        self.seals.as_ref().ok_or(Fault::Truncated)
    }
}
