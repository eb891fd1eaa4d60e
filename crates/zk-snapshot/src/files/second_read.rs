//! A snapshot read once more, to be copied.

use std::io::{self, BufReader, Read};

use super::adler::Sum;
use super::source::Unpacked;

/// Less than this is read ahead of what is asked for.
const AHEAD: usize = 32 << 10;
/// What is passed over is read in pieces of this.
const PASSED: u64 = 128 << 10;
/// Reads on in a snapshot, and computes the sum of all that it passes.
pub(super) struct SecondRead<'a> {
    input: BufReader<Box<dyn Read + 'a>>,
    sum: Sum,
    passed: Vec<u8>,
}

impl<'a> SecondRead<'a> {
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
