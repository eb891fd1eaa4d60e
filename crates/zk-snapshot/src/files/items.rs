//! A snapshot item by item, with its checksum, and the digests of its znodes in another thread.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::Scope;

use super::Fault;
use super::digest::digest;
use super::jute::{Input, Persisted};
use super::old_names::OldNames;
use super::seals::Seals;
use super::source::Unpacked;

const CHUNK: usize = 128 << 10;
/// Chunks that wait for their digests.
const AHEAD: usize = 6;
/// A chunk that has been read, and where znodes begin in it whose digests have been put off.
type Done = (Vec<u8>, Vec<usize>);

/// What has been put off of znodes.
#[derive(Default)]
pub(super) struct Deferred {
    /// The sum of their digests.
    pub(super) digest: u64,
    /// Names among theirs that no client can be sent.
    pub(super) old_names: OldNames,
}

/// Does what has been put off, and gives the chunks back.
fn do_put_off(done: &Receiver<Done>, empty: &Sender<Vec<u8>>) -> Deferred {
    let mut all = Deferred::default();
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

impl Deferred {
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
    /// Whether it is all in one chunk, so that more of it can be [put off](Items::put_off).
    pub(super) whole: bool,
}

/// Hands out a snapshot item by item, and computes its checksum on the way.
pub(super) struct Items<'a> {
    input: Box<dyn Read + 'a>,
    packed: bool,
    done: SyncSender<Done>,
    used: Receiver<Vec<u8>>,
    sum: Receiver<Deferred>,
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

impl<'a> Items<'a> {
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
            seals: Seals::new(),
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
    pub(super) fn end(mut self) -> Result<(Seals, Deferred), Fault> {
        while self.more()? {}
        self.hand_over(Vec::new())?;
        drop(self.done);
        let sum = self.sum.recv().map_err(|_| Fault::Truncated)?;
        Ok((self.seals, sum))
    }
}
