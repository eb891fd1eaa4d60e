//! Paths as short keys, so that a million of them fit in a few ten megabytes.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

use siphasher::sip128::{Hasher128, SipHasher13};

use super::ZnodePath;

/// The first `N` words of a keyed 128-bit hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key<const N: usize>(pub(crate) [u32; N]);

impl<const N: usize> Hash for Key<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.0[0]) << 32 | u64::from(self.0[1]));
    }
}

/// Takes a hash for what it is.
#[derive(Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

/// What is known of each of many things with keys.
pub(crate) type KeyMap<const N: usize, V> = HashMap<Key<N>, V, BuildHasherDefault<AsIs>>;

/// Makes keys. Nobody who does not know the seed can make two things share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keys(pub(crate) u64, pub(crate) u64);

impl Keys {
    pub(crate) fn random() -> Self {
        let seed = || RandomState::new().hash_one(0_u8);
        Self(seed(), seed())
    }

    pub(crate) fn key<const N: usize>(&self, parts: &[&[u8]]) -> Key<N> {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        for part in parts {
            hasher.write(part);
        }
        let hash = hasher.finish128();
        let words = [
            (hash.h1 >> 32) as u32,
            hash.h1 as u32,
            (hash.h2 >> 32) as u32,
            hash.h2 as u32,
        ];
        Key(std::array::from_fn(|i| words[i]))
    }

    pub(crate) fn path(&self, path: &ZnodePath) -> Key<3> {
        self.key(&[path.as_str().as_bytes()])
    }
}
