//! Records of several znodes, found with each frame read once.

use std::collections::HashMap;
use std::sync::Arc;

use super::{ArchiveError, Entry, Record};
use crate::tree::ZnodePath;

/// Some children of a znode, with what the backup has of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeChildren {
    /// How many there are in all.
    pub total: usize,
    /// Those asked for.
    pub znodes: Vec<(Entry, Record)>,
}

/// How many of `entries` have not more than `room` bytes of data together, but one at least.
pub(super) fn within<'a>(entries: impl Iterator<Item = &'a Entry>, room: usize) -> usize {
    let mut taken = 0_usize;
    let fits = |entry: &&Entry| {
        let is_first = taken == 0;
        taken = taken.saturating_add(entry.size.max(1));
        is_first || taken <= room
    };
    entries.take_while(fits).count()
}

/// The records of `entries`, in their order. `places` has where each may be, by its number, and `frame` reads what is there. `missing` tells of one
/// that is not.
pub(super) fn records<P: Copy + Ord>(
    entries: Vec<Entry>,
    mut places: Vec<(P, usize)>,
    mut frame: impl FnMut(P) -> Result<Arc<Vec<Record>>, ArchiveError>,
    missing: impl FnOnce(&ZnodePath, usize) -> ArchiveError,
) -> Result<Vec<(Entry, Record)>, ArchiveError> {
    places.sort_unstable();
    let mut found: Vec<Option<Record>> = vec![None; entries.len()];
    for of_frame in places.chunk_by(|a, b| a.0 == b.0) {
        let wanted = of_frame.iter().filter(|(_, at)| found[*at].is_none());
        let mut wanted: HashMap<_, _> = wanted.map(|(_, at)| (&entries[*at].path, *at)).collect();
        if wanted.is_empty() {
            continue;
        }
        for record in &*frame(of_frame[0].0)? {
            if let Some(at) = wanted.remove(&record.path) {
                found[at] = Some(record.clone());
            }
        }
    }
    if let Some(at) = found.iter().position(Option::is_none) {
        return Err(missing(&entries[at].path, at));
    }
    Ok(entries.into_iter().zip(found.into_iter().flatten()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Role;
    use crate::tree::{Acl, Stat};

    fn entry(name: &str, size: usize) -> Entry {
        Entry {
            path: ZnodePath::parse(name).unwrap(),
            role: Role::Captured,
            stat: Stat::default(),
            size,
            children: 0,
        }
    }

    #[test]
    fn as_many_as_there_is_room_for_come_but_one_at_least() {
        let of = |sizes: &[usize], room| {
            let entries: Vec<_> = sizes.iter().map(|size| entry("/a", *size)).collect();
            within(entries.iter(), room)
        };
        assert_eq!(of(&[3, 3, 3], 8), 2);
        assert_eq!(of(&[9, 0, 0], 8), 1);
        assert_eq!(of(&[0; 20], 8), 8);
        assert_eq!(of(&[], 8), 0);
        assert_eq!(of(&[usize::MAX, usize::MAX], 8), 1);
    }

    #[test]
    fn each_frame_is_read_once_and_the_order_stays() {
        let record = |name: &str| Record {
            path: ZnodePath::parse(name).unwrap(),
            role: Role::Captured,
            data: name.as_bytes().to_vec(),
            acl: Acl::open(),
            stat: Stat::default(),
        };
        let frames = [vec![record("/c"), record("/a")], vec![record("/b")]];
        let entries = || ["/a", "/b", "/c"].map(|name| entry(name, 2)).to_vec();
        // Where `/b` is, two places come into question.
        let places = vec![(0, 0), (0, 1), (1, 1), (0, 2)];
        let mut read = Vec::new();
        let take = |at: usize| {
            read.push(at);
            Ok(Arc::new(frames[at].clone()))
        };
        let missing = |path: &ZnodePath, _| ArchiveError::Unframed(path.to_string());
        let found = records(entries(), places.clone(), take, missing).unwrap();
        let data: Vec<_> = found
            .iter()
            .map(|(entry, record)| (entry.path.as_str(), &*record.data))
            .collect();
        assert_eq!(data, [("/a", &b"/a"[..]), ("/b", b"/b"), ("/c", b"/c")]);
        assert_eq!(read, [0, 1]);
        let nothing = |_| Ok(Arc::new(Vec::new()));
        let error = records(entries(), places, nothing, missing).unwrap_err();
        assert!(matches!(error, ArchiveError::Unframed(path) if path == "/a"));
    }
}
