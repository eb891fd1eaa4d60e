//! What an index tells is what all of the archive tells.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use proptest::prelude::*;

use super::entry::{Known, Node, What, put_text};
use super::pack::Packer;
use super::*;
use crate::archive::{
    Amended, Amendment, ArchiveError, ArchiveFile, ArchiveWriter, Catalog, Children, Frame, Record, Role,
    codec,
};
use crate::tree::{Acl, Stat, ZnodePath};

type File = Cursor<Vec<u8>>;

fn path(text: &str) -> ZnodePath {
    ZnodePath::parse(text).unwrap()
}

fn record(path: &ZnodePath, number: i64, role: Role) -> Record {
    Record {
        path: path.clone(),
        role,
        data: vec![number as u8; (number % 7) as usize * 30_000],
        acl: Acl::open(),
        stat: Stat {
            czxid: number * 3,
            mzxid: number * 5,
            ctime: 1_700_000_000_000 + number,
            version: number as i32,
            num_children: -1,
            ..Stat::default()
        },
    }
}

/// An archive, its amendments and its index, in files.
struct Made {
    archive: (Vec<u8>, Vec<Frame>),
    amendments: (Vec<u8>, Vec<Frame>),
    index: (Vec<u8>, Vec<Frame>),
}

fn file((bytes, frames): &(Vec<u8>, Vec<Frame>)) -> ArchiveFile<File> {
    ArchiveFile::new(Cursor::new(bytes.clone()), frames.clone())
}

impl Made {
    /// With an index that holds `room` bytes at most while it is made.
    fn of(records: &[Record], amendments: &[Amendment], room: usize) -> Self {
        let mut index = IndexWriter::with_room(room);
        let mut archive = ArchiveWriter::new(Vec::new());
        for record in records {
            index.add(record, archive.frame()).unwrap();
            archive.push(record).unwrap();
        }
        let mut amended = ArchiveWriter::new(Vec::new());
        for amendment in amendments {
            index.amend(amendment, amended.frame()).unwrap();
            amended.amend(amendment).unwrap();
        }
        Self {
            archive: archive.finish().unwrap(),
            amendments: amended.finish().unwrap(),
            index: index.finish(Vec::new()).unwrap(),
        }
    }

    fn index(&self) -> IndexFile<File> {
        let (bytes, frames) = self.index.clone();
        IndexFile::open(Cursor::new(bytes), frames).unwrap().unwrap()
    }

    fn indexed(&self) -> IndexedArchive<File> {
        IndexedArchive::new(self.index(), file(&self.archive), Some(file(&self.amendments)))
    }

    fn catalog(&self) -> Catalog {
        let amendments = file(&self.amendments);
        let all = (0..amendments.frame_count()).flat_map(|frame| amendments.items(frame).unwrap());
        Catalog::new(Arc::new(Amended::new(file(&self.archive), all.collect()))).unwrap()
    }

    /// What is wrong with `index`, by all that a reader of the backup has.
    fn compared(&self, index: &IndexFile<File>) -> Result<Option<String>, ArchiveError> {
        let mut anew = IndexWriter::with_room(2_000);
        let archive = file(&self.archive);
        let amended = file(&self.amendments);
        let all: Vec<Amendment> = (0..amended.frame_count())
            .flat_map(|frame| amended.items(frame).unwrap())
            .collect();
        for frame in 0..archive.frame_count() {
            for record in archive.items::<Record>(frame).unwrap() {
                if !all
                    .iter()
                    .any(|amendment| amendment.path == record.path && amendment.record.is_none())
                {
                    anew.add(&record, frame).unwrap();
                }
            }
        }
        for frame in 0..amended.frame_count() {
            for amendment in amended.items::<Amendment>(frame).unwrap() {
                if amendment.record.is_some() {
                    anew.amend(&amendment, frame).unwrap();
                }
            }
        }
        anew.compare(index, || true)
    }
}

/// A tree of short names, so that some are the beginnings of others, and some come before `/`.
fn tree() -> impl Strategy<Value = Vec<ZnodePath>> {
    let name = prop_oneof![
        Just("a".to_owned()),
        "[a-c]{1,3}",
        "[!-.]x",
        "name-0000000[0-9]{3}",
        Just("ł".to_owned())
    ];
    prop::collection::vec(prop::collection::vec(name, 1..6), 0..60).prop_map(|all| {
        let mut paths = BTreeMap::from([(ZnodePath::root(), ())]);
        for names in all {
            let mut at = ZnodePath::root();
            for name in names {
                at = at.child(&name).unwrap();
                paths.insert(at.clone(), ());
            }
        }
        paths.into_keys().collect()
    })
}

/// Which of its znodes the walk has met, what became of them, and in which order they were met.
fn backup() -> impl Strategy<Value = (Vec<Record>, Vec<Amendment>)> {
    (tree(), prop::collection::vec((0_u8..8, 0_u32..1_000), 400)).prop_map(|(paths, fates)| {
        let (mut records, mut amendments) = (Vec::new(), Vec::new());
        for (number, path) in (1..).zip(&paths) {
            let (fate, turn) = fates[(number as usize) % fates.len()];
            let walked = record(
                path,
                number,
                if fate == 0 {
                    Role::Unreadable
                } else {
                    Role::Captured
                },
            );
            let later = |record| Amendment {
                path: path.clone(),
                supersedes: fate != 5,
                record,
            };
            match fate {
                4 | 5 => amendments.push(later(Some(record(path, number + 1_000, Role::Captured)))),
                6 => amendments.push(later(None)),
                _ => {}
            }
            if fate != 5 {
                records.push((turn, walked));
            }
        }
        records.sort_by_key(|(turn, _)| *turn);
        (
            records.into_iter().map(|(_, record)| record).collect(),
            amendments,
        )
    })
}

fn by_name(mut children: Children) -> Children {
    children.entries.sort_by(|a, b| a.path.cmp(&b.path));
    children
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn an_index_tells_what_reading_everything_tells(
        (records, amendments) in backup(),
        room in prop_oneof![Just(300_usize), Just(2_000), Just(1 << 20)],
        (offset, limit) in (0_usize..5, 0_usize..9),
        data in prop_oneof![Just(0_usize), Just(100_000), Just(usize::MAX)],
    ) {
        let made = Made::of(&records, &amendments, room);
        let (indexed, catalog) = (made.indexed(), made.catalog());
        let met = records.iter().map(|record| &record.path);
        let mut asked: Vec<_> = met.chain(amendments.iter().map(|amendment| &amendment.path)).cloned().collect();
        asked.extend([path("/none"), path("/a/none"), path("/~"), ZnodePath::root()]);
        for path in asked {
            let expected = catalog.znode(&path).unwrap().map(|record| (catalog.entry(&record), record));
            prop_assert_eq!(indexed.has(&path).unwrap(), expected.is_some());
            prop_assert_eq!(indexed.znode(&path).unwrap(), expected);
            let all = by_name(catalog.children(&path, 0, usize::MAX).unwrap());
            let some = all.entries.iter().skip(offset).take(limit).cloned().collect();
            let page = Children { total: all.total, entries: some };
            prop_assert_eq!(indexed.children(&path, offset, limit).unwrap(), page);
            prop_assert_eq!(indexed.children(&path, 0, usize::MAX).unwrap(), all.clone());
            let whole = indexed.whole_children(&path, (offset, limit), data).unwrap();
            prop_assert_eq!(whole.total, all.total);
            let asked_for = all.entries.len().saturating_sub(offset).min(limit);
            let mut sizes = all.entries.iter().skip(offset).take(limit).map(|entry| entry.size.max(1));
            let first = sizes.next().unwrap_or(0);
            let fit = (asked_for > 0).then(|| {
                let more = sizes.scan(first, |sum, size| { *sum = sum.saturating_add(size); Some(*sum) });
                1 + more.take_while(|sum| *sum <= data).count()
            });
            prop_assert_eq!(whole.znodes.len(), fit.unwrap_or(0));
            for ((entry, record), expected) in whole.znodes.iter().zip(all.entries.iter().skip(offset)) {
                prop_assert_eq!(entry, expected);
                let known = catalog.znode(&entry.path).unwrap();
                prop_assert_eq!(Some(record), known.as_ref());
            }
            if all.total <= 10_000 {
                prop_assert_eq!(catalog.whole_children(&path, (offset, limit), data).unwrap(), whole);
            }
        }
        prop_assert_eq!(made.compared(&made.index()).unwrap(), None);
    }

    #[test]
    fn an_index_of_something_else_is_named((records, amendments) in backup(), which in any::<prop::sample::Index>()) {
        prop_assume!(!records.is_empty());
        let made = Made::of(&records, &amendments, 1 << 20);
        let mut others = records;
        let changed = which.index(others.len());
        if amendments.iter().any(|amendment| amendment.path == others[changed].path) {
            return Ok(());
        }
        others[changed].stat.version += 1;
        let found = made.compared(&Made::of(&others, &amendments, 2_000).index()).unwrap();
        let path = others[changed].path.as_str();
        prop_assert_eq!(found, Some(format!("it tells something else of {path}")));
        let gone = others.remove(changed);
        let found = made.compared(&Made::of(&others, &amendments, 2_000).index()).unwrap();
        // The parent has a child less, and comes before it.
        prop_assert!(found.is_some(), "{:?} is not missed", gone.path);
    }
}

/// Many blocks, and more than one file of what waits.
#[test]
fn pages_of_many_children_come_by_name() {
    const CHILDREN: usize = 30_000;
    let mut records = vec![
        record(&ZnodePath::root(), 0, Role::Captured),
        record(&path("/wide"), 0, Role::Captured),
    ];
    for child in 0..CHILDREN {
        // In no order.
        let name = format!("/wide/n{:05}", child * 7_919 % CHILDREN);
        records.push(record(&path(&name), 7 * child as i64, Role::Captured));
    }
    records.push(record(&path("/wide/n00000/deep"), 0, Role::Captured));
    let made = Made::of(&records, &[], 1 << 20);
    assert!(made.index.1.len() > 4, "{} blocks", made.index.1.len() - 1);
    let indexed = made.indexed();
    for offset in [0, 1, 9_999, 29_990, 29_999, 30_000, 40_000] {
        let page = indexed.children(&path("/wide"), offset, 7).unwrap();
        let names = page.entries.iter().map(|entry| entry.path.name().to_owned());
        let expected = (offset..CHILDREN).take(7).map(|child| format!("n{child:05}"));
        assert_eq!(
            (page.total, names.collect::<Vec<_>>()),
            (CHILDREN, expected.collect())
        );
    }
    let first = &indexed.children(&path("/wide"), 0, 1).unwrap().entries[0];
    assert_eq!(first.children, 1);
    let top = indexed.children(&ZnodePath::root(), 0, 9).unwrap();
    assert_eq!((top.total, top.entries[0].children), (1, CHILDREN as u32));
}

#[test]
fn an_index_that_is_cut_or_of_another_version_is_not_believed() {
    let records = [
        record(&ZnodePath::root(), 0, Role::Captured),
        record(&path("/a"), 1, Role::Captured),
    ];
    let made = Made::of(&records, &[], 1 << 20);
    let (bytes, frames) = made.index;
    let open = |bytes: &[u8], frames: &[Frame]| IndexFile::open(Cursor::new(bytes.to_vec()), frames.to_vec());
    assert!(open(&bytes[..bytes.len() - 1], &frames).is_err());
    assert!(open(&bytes, &[]).is_err());
    // Two blocks are told, and the list of beginnings has one.
    assert!(open(&bytes, &[&frames[..1], &frames].concat()).unwrap().is_none());
    let mut claims = frames;
    claims[0].records = u64::MAX;
    let index = open(&bytes, &claims).unwrap().unwrap();
    assert!(matches!(
        index.find(&path("/z")),
        Err(ArchiveError::Damaged { frame: 0, .. })
    ));
}

/// An index of these entries, written as they come.
fn written(nodes: &[Node<'_>]) -> IndexFile<File> {
    let mut packer = Packer::new(Vec::new());
    nodes.iter().for_each(|node| packer.put(node).unwrap());
    let (bytes, frames) = packer.finish().unwrap();
    IndexFile::open(Cursor::new(bytes), frames).unwrap().unwrap()
}

#[test]
fn an_entry_of_no_znode_is_damage() {
    let known = Known {
        what: What::Znode(Role::Captured),
        ..Known::default()
    };
    let gone = Known::default();
    for (name, known) in [("a", gone), ("..", known)] {
        let (parent, name) = (&b"/"[..], name.as_bytes());
        let index = written(&[Node { parent, name, known }]);
        let children = index.children(&ZnodePath::root(), 0, 9);
        assert!(
            matches!(children, Err(ArchiveError::Damaged { frame: 0, .. })),
            "{children:?}"
        );
    }
    let (parent, name) = (&b"/"[..], &b"a"[..]);
    let found = written(&[Node {
        parent,
        name,
        known: gone,
    }])
    .find(&path("/a"));
    assert!(
        matches!(found, Err(ArchiveError::Damaged { frame: 0, .. })),
        "{found:?}"
    );
}

/// Frames with these bytes, and so many entries in each.
fn frames(all: &[(Vec<u8>, u64)]) -> (Vec<u8>, Vec<Frame>) {
    let (mut bytes, mut frames) = (Vec::new(), codec::FrameWriter::default());
    for (raw, records) in all {
        frames.write(raw, *records, &mut bytes).unwrap();
    }
    (bytes, frames.finish())
}

/// The last frame of an index: beginnings that take a few bytes each, and have `length` bytes.
fn beginnings(length: usize, count: usize) -> Vec<u8> {
    let mut bytes = vec![1];
    let (mut before, parent) = (Vec::new(), vec![b'/'; length]);
    for _ in 0..count {
        put_text(&mut before, &parent, &mut bytes);
        put_text(&mut Vec::new(), b"", &mut bytes);
    }
    bytes
}

#[test]
fn an_index_takes_no_more_memory_than_one_that_could_have_been_written() {
    let open = |blocks: usize, last: Vec<u8>| {
        let mut all = vec![(Vec::new(), 0); blocks];
        all.push((last, 0));
        let (bytes, frames) = frames(&all);
        IndexFile::open(Cursor::new(bytes), frames).unwrap().is_some()
    };
    assert!(open(3, beginnings(1_000, 3)));
    assert!(!open(3, beginnings(1_000, 4)), "more than there are blocks");
    assert!(!open(1, beginnings((1 << 20) + 1, 1)), "a long one");
    assert!(!open(1_000, beginnings(100_000, 1_000)), "much in all");
    let bomb = [(vec![0; 4 << 20], 1), (beginnings(1, 1), 0)];
    let (bytes, frames) = frames(&bomb);
    let index = IndexFile::open(Cursor::new(bytes), frames).unwrap().unwrap();
    assert!(matches!(
        index.find(&path("/a")),
        Err(ArchiveError::Damaged { frame: 0, .. })
    ));
}

#[test]
fn a_page_of_long_paths_ends_before_its_limit() {
    let parent = "/a".repeat(400_000);
    let names: Vec<_> = (0..50).map(|child| format!("n{child:02}")).collect();
    let known = Known {
        what: What::Znode(Role::Captured),
        ..Known::default()
    };
    let nodes: Vec<_> = names
        .iter()
        .map(|name| Node {
            parent: parent.as_bytes(),
            name: name.as_bytes(),
            known,
        })
        .collect();
    let page = written(&nodes).children(&path(&parent), 0, 100_000).unwrap();
    assert_eq!(page.total, 50);
    // 16 MiB in pieces of 800,000 bytes.
    assert_eq!(page.entries.len(), 21);
}
