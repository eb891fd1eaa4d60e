//! Some znodes of a tree by which its ensemble can be told from others.

use std::collections::BTreeMap;

use super::jute::Persisted;
use super::paths::path_of;
use crate::tree::ZnodePath;

/// How many that changed last, and how many that did so longest ago.
const EACH: usize = 16;

/// A znode of a [`FileTree`](super::FileTree), by what tells it from that of another history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Where it is.
    pub path: ZnodePath,
    /// zxid of its creation.
    pub czxid: i64,
    /// Time of its creation, ms since the Unix epoch.
    pub ctime: i64,
    /// zxid of the last change of its data.
    pub mzxid: i64,
    /// Time of that change, ms since the Unix epoch.
    pub mtime: i64,
    /// zxid of the last creation or deletion of a child.
    pub pzxid: i64,
}

/// The znodes of a tree that changed last, and those that did so longest ago.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples {
    root: Option<Persisted>,
    newest: BTreeMap<(i64, Vec<u8>), Persisted>,
    oldest: BTreeMap<(i64, Vec<u8>), Persisted>,
}

impl Samples {
    /// Takes the znode at `path` where it is one of them. What every server begins with, the root apart, tells nothing.
    pub(super) fn look_at(&mut self, path: &[u8], stat: &Persisted) {
        if path.is_empty() {
            self.root = Some(*stat);
        }
        if stat.czxid == 0 {
            return;
        }
        let zxid = stat.newest_zxid();
        let first = self.newest.first_key_value().map(|((zxid, _), _)| *zxid);
        if self.newest.len() < EACH || first.is_some_and(|first| zxid > first) {
            self.newest.insert((zxid, path.to_vec()), *stat);
            if self.newest.len() > EACH {
                self.newest.pop_first();
            }
        }
        let last = self.oldest.last_key_value().map(|((zxid, _), _)| *zxid);
        if self.oldest.len() < EACH || last.is_some_and(|last| zxid < last) {
            self.oldest.insert((zxid, path.to_vec()), *stat);
            if self.oldest.len() > EACH {
                self.oldest.pop_last();
            }
        }
    }

    /// The root, the 16 that changed last and the 16 that did so longest ago.
    pub(super) fn listed(self) -> Vec<Sample> {
        let root = self.root.map(|stat| (Vec::new(), stat));
        let both: BTreeMap<_, _> = self.oldest.into_iter().chain(self.newest).collect();
        let others = both.into_iter().map(|((_, path), stat)| (path, stat));
        let all = root.into_iter().chain(others);
        all.filter_map(|(path, stat)| {
            Some(Sample {
                path: path_of(&path)?,
                czxid: stat.czxid,
                ctime: stat.ctime,
                mzxid: stat.mzxid,
                mtime: stat.mtime,
                pzxid: stat.pzxid,
            })
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_and_the_oldest_are_kept_in_whatever_order_they_come() {
        let orders: [Vec<i64>; 2] = [(1..=100).collect(), (1..=100).rev().collect()];
        for order in orders {
            let mut samples = Samples::default();
            samples.look_at(b"", &Persisted::default());
            samples.look_at(b"/zookeeper", &Persisted::default());
            for zxid in order {
                let stat = Persisted {
                    czxid: zxid,
                    ..Persisted::default()
                };
                samples.look_at(format!("/n{zxid}").as_bytes(), &stat);
            }
            let zxids = |of: &BTreeMap<(i64, Vec<u8>), Persisted>| -> Vec<i64> {
                of.keys().map(|(zxid, _)| *zxid).collect()
            };
            assert!(samples.root.is_some());
            assert_eq!(zxids(&samples.oldest), (1..=16).collect::<Vec<_>>());
            assert_eq!(zxids(&samples.newest), (85..=100).collect::<Vec<_>>());
        }
    }
}
