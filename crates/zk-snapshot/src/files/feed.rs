//! The bytes of a snapshot, unpacked and checked.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use simd_adler32::Adler32;

use super::Fault;
use super::again::Sum;
use super::jute::{Input, Persisted};
use super::names::OldNames;
use super::tree::digest;

const GZIP: &[u8] = &[0x1f, 0x8b];
/// The Java library's own framing of snappy, not the standard one.
const XERIAL: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEADER: usize = 16;
/// No block of snappy is longer.
const LONGEST_BLOCK: u32 = 1 << 30;
/// Three bytes of Snappy stand for 64 at most.
const MOST_PACKED: usize = 22;
const CHUNK: usize = 128 << 10;
/// Chunks that wait for their digests.
const AHEAD: usize = 6;
/// No more than this follows the last znode.
pub(super) const TAIL: usize = 128;

/// Where the bytes of a snapshot are. They can be read more than once, also after the file has been purged.
#[derive(Clone)]
pub(super) enum Source {
    File(Arc<Mutex<File>>),
    #[cfg(any(fuzzing, test))]
    Bytes(Arc<Vec<u8>>),
}

/// The Adler-32 of all bytes but the last ones, and these.
pub(super) struct Seals {
    adler: Adler32,
    tail: Vec<u8>,
    length: u64,
}

impl Seals {
    fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        // Only the end of a file is sealed, so its last bytes wait until it is known where it ends.
        let sure = bytes.len().saturating_sub(TAIL);
        let kept = if sure == 0 { TAIL - bytes.len() } else { 0 };
        let excess = self.tail.len().saturating_sub(kept);
        self.adler.write(&self.tail[..excess]);
        self.tail.drain(..excess);
        self.adler.write(&bytes[..sure]);
        self.tail.extend_from_slice(&bytes[sure..]);
    }

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
    /// Reads from the beginning.
    pub(super) fn open<T, E: From<io::Error>>(
        &self,
        read: impl FnOnce(Unpacked<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        match self {
            #[cfg(any(fuzzing, test))]
            Self::Bytes(bytes) => read(unpacked(&bytes[..])?),
            Self::File(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.rewind()?;
                read(unpacked(&*file)?)
            }
        }
    }
}

/// A snapshot's bytes.
pub(super) struct Unpacked<'a> {
    pub(super) input: Box<dyn Read + 'a>,
    /// Whether they were packed.
    packed: bool,
}

fn unpacked<'a>(mut input: impl Read + 'a) -> io::Result<Unpacked<'a>> {
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
        return Ok(Unpacked {
            input: Box::new(blocks),
            packed: true,
        });
    }
    let whole = Cursor::new(begin).chain(input);
    let input: Box<dyn Read + 'a> = if gzip {
        let packed = BufReader::with_capacity(64 << 10, whole);
        Box::new(flate2::bufread::MultiGzDecoder::new(packed))
    } else {
        Box::new(whole)
    };
    Ok(Unpacked { input, packed: gzip })
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
            // What it says to unpack to is reserved at once.
            let says = snap::raw::decompress_len(&self.packed).map_err(io::Error::other)?;
            if says > self.packed.len().saturating_mul(MOST_PACKED) {
                return Err(io::Error::other(format!(
                    "{length} bytes cannot unpack to {says}"
                )));
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

/// A chunk that has been read, and where znodes begin in it whose digests have been put off.
type Done = (Vec<u8>, Vec<usize>);

/// What has been put off of znodes.
#[derive(Default)]
pub(super) struct PutOff {
    /// The sum of their digests.
    pub(super) digest: u64,
    /// Names among theirs that no client can be sent.
    pub(super) old_names: OldNames,
}

/// Does what has been put off, and gives the chunks back.
fn do_put_off(done: &Receiver<Done>, empty: &Sender<Vec<u8>>) -> PutOff {
    let mut all = PutOff::default();
    for (chunk, znodes) in done {
        for at in znodes {
            // It has been read before, so it is there.
            let _ = all.add(&chunk[at..]);
        }
        // It is no matter if nobody fills it again.
        let _ = empty.send(chunk);
    }
    all
}

impl PutOff {
    /// Adds the znode that `bytes` begin with.
    fn add(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let mut input = Input::new(bytes);
        let (path, data, _) = (input.string()?, input.buffer()?, input.long()?);
        let digest = digest(path, data, &Persisted::read(&mut input)?);
        self.digest = self.digest.wrapping_add(digest);
        self.old_names.look_at(path);
        Ok(())
    }
}

/// Where an item is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Bytes before it.
    pub(super) at: u64,
    /// Whether it is all in one chunk, so that more of it can be [put off](Feed::put_off).
    pub(super) whole: bool,
}

/// Hands out a snapshot item by item, and computes its checksum on the way.
pub(super) struct Feed<'a> {
    input: Box<dyn Read + 'a>,
    packed: bool,
    done: SyncSender<Done>,
    used: Receiver<Vec<u8>>,
    sum: Receiver<PutOff>,
    chunk: Vec<u8>,
    taken: usize,
    /// Where the last item began that was whole.
    begun: usize,
    put_off: Vec<usize>,
    /// Bytes that were handed out so far.
    pub(super) at: u64,
    seals: Seals,
    ended: bool,
}

impl<'a> Feed<'a> {
    /// Over `input`. Digests that are put off are computed in a thread of `scope`.
    pub(super) fn new<'scope>(
        scope: &'scope Scope<'scope, '_>,
        Unpacked { input, packed }: Unpacked<'a>,
    ) -> Self {
        let ((done, rest), (empty, used)) = (sync_channel(AHEAD), channel());
        let (add, sum) = channel();
        scope.spawn(move || {
            let _ = add.send(do_put_off(&rest, &empty)); // nobody waits for it where the file is damaged
        });
        Self {
            input,
            packed,
            done,
            used,
            sum,
            chunk: Vec::new(),
            taken: 0,
            begun: 0,
            put_off: Vec::new(),
            at: 0,
            seals: Seals {
                adler: Adler32::new(),
                tail: Vec::new(),
                length: 0,
            },
            ended: false,
        }
    }

    /// Reads the next chunk, and says whether there was one.
    fn more(&mut self) -> Result<bool, Fault> {
        let mut chunk = self.used.try_recv().unwrap_or_default();
        chunk.resize(CHUNK, 0);
        let mut filled = 0;
        while filled < CHUNK && !self.ended {
            match self.input.read(&mut chunk[filled..]) {
                Ok(0) => self.ended = true,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if self.packed => return Err(Fault::Packed(error.to_string())),
                Err(error) => return Err(error.into()),
            }
        }
        if filled == 0 {
            return Ok(false);
        }
        chunk.truncate(filled);
        self.seals.add(&chunk);
        self.hand_over(chunk)?;
        Ok(true)
    }

    /// Begins with `chunk`, and leaves to the other thread what was put off in the one before.
    fn hand_over(&mut self, chunk: Vec<u8>) -> Result<(), Fault> {
        let old = std::mem::replace(&mut self.chunk, chunk);
        self.taken = 0;
        let put_off = std::mem::take(&mut self.put_off);
        self.done.send((old, put_off)).map_err(|_| Fault::Truncated)
    }

    /// Reads the next item by `read`, which may be called more than once, with more bytes each time, until it does not
    /// say any more that the item is truncated.
    pub(super) fn item<T>(
        &mut self,
        mut read: impl FnMut(&mut Input<'_>, Place) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut input = Input::new(&self.chunk[self.taken..]);
        let place = |at, whole| Place { at, whole };
        match read(&mut input, place(self.at, true)) {
            Err(Fault::Truncated) => {}
            item => {
                self.begun = self.taken;
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
            match read(&mut input, place(self.at, false)) {
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

    /// Leaves the digest of the last item, a znode that was whole, to another thread.
    pub(super) fn put_off(&mut self) {
        self.put_off.push(self.begun);
    }

    /// The checksums, when everything else has been read and passed over, and what became of what was put off.
    pub(super) fn end(mut self) -> Result<(Seals, PutOff), Fault> {
        while self.more()? {}
        self.hand_over(Vec::new())?;
        drop(self.done);
        let sum = self.sum.recv().map_err(|_| Fault::Truncated)?;
        Ok((self.seals, sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_cannot_claim_more_than_its_bytes_can_stand_for() {
        let packed = |block: &[u8]| {
            let mut file = XERIAL.to_vec();
            file.resize(XERIAL_HEADER, 0);
            file.extend_from_slice(&(block.len() as u32).to_be_bytes());
            file.extend_from_slice(block);
            let mut out = Vec::new();
            let mut unpacked = unpacked(Cursor::new(file)).unwrap();
            unpacked.input.read_to_end(&mut out).map(|_| out.len())
        };
        let zeros = snap::raw::Encoder::new().compress_vec(&[0; 1 << 20]).unwrap();
        assert_eq!(packed(&zeros).unwrap(), 1 << 20);
        let claims = packed(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]).unwrap_err();
        assert!(
            claims.to_string().contains("cannot unpack to 4294967295"),
            "{claims}"
        );
    }
}
