//! A table of keys with a number each, smaller than the standard library's map.

use super::keys::Key;

/// Keys with a number other than zero for each: sixteen bytes an entry, and at most nine of ten slots taken. The
/// standard library's map doubles when it is full, and would take up to three times as much for a moment.
#[derive(Debug, Default)]
pub(crate) struct KeyTable {
    slots: Vec<([u32; 3], u32)>,
    taken: usize,
}

impl KeyTable {
    /// With room for `entries`; it grows by half when that is used up.
    pub(crate) fn with_room(entries: usize) -> Self {
        Self {
            slots: vec![Default::default(); entries + entries / 9 + 1],
            taken: 0,
        }
    }

    /// The number of `key`, or zero.
    pub(crate) fn get(&self, key: &Key<3>) -> u32 {
        self.find(key).map_or(0, |slot| self.slots[slot].1)
    }

    /// Sets the number of `key`, which cannot become zero again.
    pub(crate) fn set(&mut self, key: Key<3>, number: u32) {
        debug_assert_ne!(number, 0);
        if (self.taken + 1) * 10 > self.slots.len() * 9 {
            let mut larger = Self::with_room(self.taken * 3 / 2 + 64);
            for (key, number) in self.slots.drain(..).filter(|(_, number)| *number != 0) {
                larger.set(Key(key), number);
            }
            *self = larger;
        }
        if let Some(slot) = self.find(&key) {
            self.taken += usize::from(self.slots[slot].1 == 0);
            self.slots[slot] = (key.0, number);
        }
    }

    /// Every number.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.slots
            .iter()
            .map(|(_, number)| *number)
            .filter(|number| *number != 0)
    }

    /// The slot of `key`, or the free one where it would go. There always is a free one.
    fn find(&self, key: &Key<3>) -> Option<usize> {
        let slots = self.slots.len();
        // Keys are spread evenly as they are.
        let spread = u128::from(u64::from(key.0[0]) << 32 | u64::from(key.0[1]));
        let first = usize::try_from((spread * slots as u128) >> 64).ok()?;
        let (before, after) = self.slots.get(..first).zip(self.slots.get(first..))?;
        let fits = |(taken, number): &([u32; 3], u32)| *number == 0 || *taken == key.0;
        let later = after.iter().position(fits).map(|slot| first + slot);
        later.or_else(|| before.iter().position(fits))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(entries in prop::collection::vec((prop::array::uniform3(0_u32..4), 1_u32..9), 0..200), room in 0_usize..40) {
            let (mut table, mut map) = (KeyTable::with_room(room), HashMap::new());
            for (key, number) in entries {
                // High and low bits, so that slots are shared and the end is passed.
                let key = [key[0].wrapping_mul(0x5555_5555), key[1], key[2]];
                table.set(Key(key), number);
                map.insert(key, number);
                prop_assert!(map.iter().all(|(key, number)| table.get(&Key(*key)) == *number));
            }
            prop_assert_eq!(table.get(&Key([7, 7, 7])), 0);
            let (mut numbers, mut expected): (Vec<_>, Vec<_>) = (table.numbers().collect(), map.into_values().collect());
            numbers.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(numbers, expected);
        }
    }
}
