//! A snapshot read once more, to be copied.

use std::io::{self, BufReader, Read};

use simd_adler32::Adler32;

use super::feed::Unpacked;

/// Less than this is read ahead of what is asked for.
const AHEAD: usize = 32 << 10;
/// What is passed over is read in pieces of this.
const PASSED: u64 = 128 << 10;
/// The modulus of Adler-32.
const MODULUS: u64 = 65_521;

/// The Adler-32 of so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    adler: u32,
    length: u64,
}

impl Sum {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut adler = Adler32::new();
        adler.write(bytes);
        Self {
            adler: adler.finish(),
            length: bytes.len() as u64,
        }
    }

    /// Of these bytes and, after them, others.
    pub(super) fn and(self, more: Self) -> Self {
        let halves = |sum: Self| (u64::from(sum.adler & 0xffff), u64::from(sum.adler >> 16));
        let ((a, b), (more_a, more_b)) = (halves(self), halves(more));
        // The first half began with 1, and each byte added it to the second.
        let low = (a + more_a + MODULUS - 1) % MODULUS;
        let high = (b + more_b + (more.length % MODULUS) * (a + MODULUS - 1)) % MODULUS;
        Self {
            adler: u32::try_from(high << 16 | low).unwrap_or_default(),
            length: self.length + more.length,
        }
    }

    pub(super) fn new(adler: u32, length: u64) -> Self {
        Self { adler, length }
    }

    /// As a snapshot has it.
    pub(super) fn adler(self) -> u64 {
        u64::from(self.adler)
    }
}

/// Reads on in a snapshot, and computes the sum of all that it passes.
pub(super) struct Again<'a> {
    input: BufReader<Box<dyn Read + 'a>>,
    sum: Sum,
    passed: Vec<u8>,
}

impl<'a> Again<'a> {
    pub(super) fn over(input: Unpacked<'a>) -> Self {
        Self {
            input: BufReader::with_capacity(AHEAD, input.input),
            sum: Sum::of(&[]),
            passed: Vec::new(),
        }
    }

    /// Appends `length` bytes to `out`, and passes over what is before `at`.
    pub(super) fn copy(&mut self, at: u64, length: u32, out: &mut Vec<u8>) -> io::Result<Sum> {
        self.pass(at.saturating_sub(self.sum.length))?;
        let begin = out.len();
        out.resize(begin + length as usize, 0);
        self.input.read_exact(&mut out[begin..])?;
        let sum = Sum::of(&out[begin..]);
        self.sum = self.sum.and(sum);
        Ok(sum)
    }

    fn pass(&mut self, mut bytes: u64) -> io::Result<()> {
        while bytes > 0 {
            self.passed.clear();
            let mut some = self.input.by_ref().take(bytes.min(PASSED));
            let read = some.read_to_end(&mut self.passed)? as u64;
            if read == 0 {
                return Ok(());
            }
            self.sum = self.sum.and(Sum::of(&self.passed));
            bytes -= read;
        }
        Ok(())
    }

    /// The sum of the whole, when the rest has been passed over.
    pub(super) fn whole(&mut self) -> io::Result<Sum> {
        self.pass(u64::MAX)?;
        Ok(self.sum)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sums_of_parts_make_the_sum_of_the_whole(
            bytes in proptest::collection::vec(prop_oneof![Just(255_u8), any::<u8>()], 0..20_000),
            cut in any::<prop::sample::Index>(),
        ) {
            let (first, rest) = bytes.split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(Sum::of(first).and(Sum::of(rest)), Sum::of(&bytes));
        }
    }
}
