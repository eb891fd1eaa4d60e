//! One entry of an index, its order among the others, and its bytes.

use std::cmp::Ordering;

use crate::archive::{Entry, Role};
use crate::tree::{Stat, ZnodePath};

const ROLE: u8 = 3;
/// What a znode is that an amendment has removed; in no index.
const GONE: u8 = 3;
/// What only tells of children; in no index.
const CHILDREN: u8 = 16 | GONE;
const SAME_PARENT: u8 = 4;
/// No parent and no name is longer: no path is that a server takes.
pub(super) const LONGEST: usize = 1 << 20;
const AMENDED: u8 = 8;

/// Which frame has the record of a znode. Amendments come after all of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// This one of the archive.
    Archive(u32),
    /// This one of the amendments.
    Amendments(u32),
}

impl Place {
    fn frame(self) -> i64 {
        match self {
            Self::Archive(frame) | Self::Amendments(frame) => i64::from(frame),
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::Archive(0)
    }
}

/// An entry. The root has an empty parent and an empty name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node<'a> {
    pub(super) parent: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) known: Known,
}

/// What is known of a znode beside its path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) place: Place,
    pub(super) what: What,
    pub(super) size: u64,
    pub(super) children: u32,
    pub(super) stat: Stat,
}

/// What an entry tells of. An index has the first alone, and what waits to be sorted the others too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum What {
    Znode(Role),
    /// An amendment has removed it.
    Gone,
    /// How many children a znode has more, and nothing else of it.
    #[default]
    Children,
}

/// Parent and name of a path, which begins with a slash.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) if path.len() > 1 => path.split_at(1),
        Some(slash) if slash > 0 => (&path[..slash], &path[slash + 1..]),
        _ => (b"", b""),
    }
}

/// Level by level, on each as the parents come, whose parts are compared one by one.
pub(super) fn parents(a: &[u8], b: &[u8]) -> Ordering {
    let level = |parent: &[u8]| match parent {
        b"" => 0,
        b"/" => 1,
        _ => 1 + parent.iter().filter(|byte| **byte == b'/').count(),
    };
    if a == b {
        return Ordering::Equal;
    }
    let part = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    level(a)
        .cmp(&level(b))
        .then_with(|| a.iter().map(part).cmp(b.iter().map(part)))
}

impl<'a> Node<'a> {
    /// Where it comes among the others: children of one parent by name.
    pub(super) fn order(&self, other: &Node<'_>) -> Ordering {
        parents(self.parent, other.parent).then_with(|| self.name.cmp(other.name))
    }

    /// Its path in pieces.
    pub(super) fn path(&self) -> [&'a [u8]; 3] {
        match self.parent {
            b"" => [b"/", b"", b""],
            b"/" => [b"/", self.name, b""],
            parent => [parent, b"/", self.name],
        }
    }

    /// What a list shows of it; `None` if that is nothing that could have been written.
    pub(super) fn entry(&self) -> Option<Entry> {
        let path = String::from_utf8(self.path().concat()).ok()?;
        Some(Entry {
            path: ZnodePath::parse(&path).ok()?,
            role: match self.known.what {
                What::Znode(role) => role,
                What::Gone | What::Children => return None,
            },
            stat: self.known.stat,
            size: usize::try_from(self.known.size).ok()?,
            children: self.known.children,
        })
    }
}

/// The entry before, from which the next one tells how it differs.
#[derive(Debug, Default)]
pub(super) struct Before {
    parent: Vec<u8>,
    name: Vec<u8>,
    known: Known,
}

impl Before {
    pub(super) fn node(&self) -> Node<'_> {
        Node {
            parent: &self.parent,
            name: &self.name,
            known: self.known,
        }
    }

    /// Appends `node`.
    pub(super) fn put(&mut self, node: &Node<'_>, out: &mut Vec<u8>) {
        let Known {
            place,
            what,
            size,
            children,
            stat,
        } = node.known;
        let what = match what {
            What::Znode(Role::Captured) => 0,
            What::Znode(Role::Ancestor) => 1,
            What::Znode(Role::Unreadable) => 2,
            What::Gone => GONE,
            What::Children => CHILDREN,
        };
        let same = node.parent == self.parent;
        let amended = matches!(place, Place::Amendments(_));
        out.push(what | (u8::from(same) * SAME_PARENT) | (u8::from(amended) * AMENDED));
        if !same {
            put_text(&mut self.parent, node.parent, out);
        }
        put_text(&mut self.name, node.name, out);
        let before = &self.known;
        put_number(size, out);
        put_number(u64::from(children), out);
        for number in [
            place.frame() - before.place.frame(),
            stat.czxid.wrapping_sub(before.stat.czxid),
            stat.mzxid.wrapping_sub(stat.czxid),
            stat.pzxid.wrapping_sub(stat.czxid),
            stat.ctime.wrapping_sub(before.stat.ctime),
            stat.mtime.wrapping_sub(stat.ctime),
            i64::from(stat.version),
            i64::from(stat.cversion),
            i64::from(stat.aversion),
            stat.ephemeral_owner,
            i64::from(stat.num_children) - i64::from(children),
        ] {
            put_number(((number << 1) ^ (number >> 63)).cast_unsigned(), out);
        }
        self.known = node.known;
    }

    /// Takes the next entry off `bytes`; `None` if there is none that could have been written.
    pub(super) fn take(&mut self, bytes: &mut &[u8]) -> Option<()> {
        let (head, rest) = bytes.split_first()?;
        *bytes = rest;
        if head & SAME_PARENT == 0 {
            take_text(&mut self.parent, bytes)?;
        }
        take_text(&mut self.name, bytes)?;
        let size = take_number(bytes)?;
        let children = u32::try_from(take_number(bytes)?).ok()?;
        let mut signed =
            || take_number(bytes).map(|number| (number >> 1).cast_signed() ^ -(number & 1).cast_signed());
        let before = &self.known;
        let frame = u32::try_from(before.place.frame().checked_add(signed()?)?).ok()?;
        let czxid = before.stat.czxid.wrapping_add(signed()?);
        let (mzxid, pzxid) = (czxid.wrapping_add(signed()?), czxid.wrapping_add(signed()?));
        let ctime = before.stat.ctime.wrapping_add(signed()?);
        self.known = Known {
            place: match head & AMENDED {
                0 => Place::Archive(frame),
                _ => Place::Amendments(frame),
            },
            what: match head & ROLE {
                0 => What::Znode(Role::Captured),
                1 => What::Znode(Role::Ancestor),
                2 => What::Znode(Role::Unreadable),
                _ if head & CHILDREN == CHILDREN => What::Children,
                _ => What::Gone,
            },
            size,
            children,
            stat: Stat {
                czxid,
                mzxid,
                pzxid,
                ctime,
                mtime: ctime.wrapping_add(signed()?),
                version: i32::try_from(signed()?).ok()?,
                cversion: i32::try_from(signed()?).ok()?,
                aversion: i32::try_from(signed()?).ok()?,
                ephemeral_owner: signed()?,
                num_children: i32::try_from(signed()?.checked_add(i64::from(children))?).ok()?,
            },
        };
        Some(())
    }
}

/// Appends a text by how much of its beginning is that of the one before, which it becomes.
pub(super) fn put_text(before: &mut Vec<u8>, text: &[u8], out: &mut Vec<u8>) {
    let same = before.iter().zip(text).take_while(|(a, b)| a == b).count();
    put_number(same as u64, out);
    put_number((text.len() - same) as u64, out);
    out.extend_from_slice(&text[same..]);
    before.truncate(same);
    before.extend_from_slice(&text[same..]);
}

pub(super) fn take_text(before: &mut Vec<u8>, bytes: &mut &[u8]) -> Option<()> {
    let same = usize::try_from(take_number(bytes)?).ok()?;
    let more = usize::try_from(take_number(bytes)?).ok()?;
    if same > before.len() || more > LONGEST - same.min(LONGEST) {
        return None;
    }
    let (text, rest) = bytes.split_at_checked(more)?;
    before.truncate(same);
    before.extend_from_slice(text);
    *bytes = rest;
    Some(())
}

/// Seven bits to a byte, the lowest first.
fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known() -> impl Strategy<Value = Known> {
        let what = prop_oneof![
            Just(What::Gone),
            Just(What::Children),
            Just(What::Znode(Role::Captured)),
            Just(What::Znode(Role::Ancestor)),
            Just(What::Znode(Role::Unreadable)),
        ];
        let zxids = (
            any::<i64>(),
            any::<i64>(),
            any::<i64>(),
            any::<i64>(),
            any::<i64>(),
        );
        let counts = (
            any::<i32>(),
            any::<i32>(),
            any::<i32>(),
            any::<i64>(),
            any::<i32>(),
        );
        let place = (any::<bool>(), any::<u32>());
        (what, place, any::<u64>(), any::<u32>(), zxids, counts).prop_map(
            |(what, (amended, frame), size, children, zxids, counts)| Known {
                place: if amended {
                    Place::Amendments(frame)
                } else {
                    Place::Archive(frame)
                },
                what,
                size,
                children,
                stat: Stat {
                    czxid: zxids.0,
                    mzxid: zxids.1,
                    pzxid: zxids.2,
                    ctime: zxids.3,
                    mtime: zxids.4,
                    version: counts.0,
                    cversion: counts.1,
                    aversion: counts.2,
                    ephemeral_owner: counts.3,
                    num_children: counts.4,
                },
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_put_is_taken(entries in prop::collection::vec(("[/a-c]{0,6}", "[a-cł]{0,6}", known()), 0..20), cut in 0_usize..200) {
            let (mut bytes, mut before) = (Vec::new(), Before::default());
            for (parent, name, known) in &entries {
                let node = Node { parent: parent.as_bytes(), name: name.as_bytes(), known: *known };
                before.put(&node, &mut bytes);
            }
            let (mut left, mut before) = (&bytes[..], Before::default());
            for (parent, name, known) in &entries {
                prop_assert_eq!(before.take(&mut left), Some(()));
                let node = Node { parent: parent.as_bytes(), name: name.as_bytes(), known: *known };
                prop_assert_eq!(before.node(), node);
            }
            prop_assert!(left.is_empty());
            // Whatever is cut or changed is no reason to panic.
            if let Some(byte) = bytes.get_mut(cut) {
                *byte ^= 0x55;
            }
            let (mut left, mut before) = (&bytes[..], Before::default());
            while before.take(&mut left).is_some() {}
        }
    }

    #[test]
    fn levels_come_one_after_another_and_siblings_together() {
        let mut paths = ["/a-/x", "/a/y", "/", "/b", "/a", "/a-", "/a/x", "/a/x/1", "/ab"]
            .map(|path| ZnodePath::parse(path).unwrap());
        paths.sort_by(|a, b| {
            let [a, b] = [a, b].map(|path| {
                let (parent, name) = split(path.as_str().as_bytes());
                Node {
                    parent,
                    name,
                    known: Known::default(),
                }
            });
            a.order(&b)
        });
        let sorted = paths.iter().map(ZnodePath::as_str).collect::<Vec<_>>();
        assert_eq!(
            sorted,
            ["/", "/a", "/a-", "/ab", "/b", "/a/x", "/a/y", "/a-/x", "/a/x/1"]
        );
    }
}
