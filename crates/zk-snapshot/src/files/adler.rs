//! Adler-32 sums that can be put together.

use simd_adler32::Adler32;

/// The modulus of Adler-32.
const MODULUS: u64 = 65_521;

/// The Adler-32 of so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    adler: u32,
    pub(super) length: u64,
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
