//! The checksum of a snapshot up to any place near its end.

use simd_adler32::Adler32;

use super::adler::Sum;

/// No more than this follows the last znode.
pub(super) const TAIL: usize = 128;

/// The Adler-32 of all bytes but the last ones, and these.
pub(super) struct Seals {
    adler: Adler32,
    tail: Vec<u8>,
    length: u64,
}

impl Seals {
    pub(super) fn new() -> Self {
        Self {
            adler: Adler32::new(),
            tail: Vec::new(),
            length: 0,
        }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
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
