//! Whether two walks met the same znodes, each of them the same.

use super::summary::NAMED;
use crate::tree::keys::{KeyMap, Keys};
use crate::tree::{Reading, Stat, ZnodePath};

/// This walk, and the one before it.
#[derive(Default)]
pub(super) struct TwoWalks {
    last: Option<KeyMap<3, [u32; 2]>>,
    this: KeyMap<3, [u32; 2]>,
    /// Znodes that the walk before did not meet, or not as they are.
    pub(super) differing: u64,
    /// The first of them.
    pub(super) differing_paths: Vec<ZnodePath>,
}

impl TwoWalks {
    /// For the walk after `before`.
    pub(super) fn after(before: Option<Self>) -> Self {
        Self {
            last: before.map(|walks| walks.this),
            ..Self::default()
        }
    }

    /// Whether both walks met the same znodes, each of them the same.
    pub(super) fn agree(&self) -> bool {
        let same_number = self
            .last
            .as_ref()
            .is_some_and(|last| last.len() == self.this.len());
        same_number && self.differing == 0
    }

    /// Notes what would change if the znode did.
    pub(super) fn note(&mut self, keys: Keys, path: &ZnodePath, reading: &Reading) {
        let stat = match reading {
            Reading::Found(found) => found.stat,
            Reading::Denied | Reading::Undecodable(_) => Stat::default(),
            Reading::Missing => return,
        };
        let numbers = [
            stat.czxid,
            stat.mzxid,
            stat.pzxid,
            i64::from(stat.cversion),
            i64::from(stat.aversion),
        ];
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let fingerprint = keys.key::<2>(&[&bytes]).0;
        let key = keys.path(path);
        let before = self.last.as_ref().and_then(|last| last.get(&key));
        let differs = before != Some(&fingerprint);
        let twice = self.this.insert(key, fingerprint).is_some();
        if self.last.is_some() && (differs || twice) {
            self.differing += 1;
            if self.differing_paths.len() < NAMED {
                self.differing_paths.push(path.clone());
            }
        }
    }
}
