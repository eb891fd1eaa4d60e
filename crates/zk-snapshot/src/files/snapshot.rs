//! Reading snapshot files of any release (`FileSnap`, `SnapStream`).

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashSet};

use super::acls::Acls;
use super::base::Piece;
use super::digest::digest;
use super::items::{Deferred, Items, Place};
use super::jute::{Input, Persisted};
use super::paths::{name_of, parent};
use super::seals::{Seals, TAIL};
use super::source::Source;
use super::touched::Touched;
use super::tree::FileTree;
use super::{Fault, FileError};
use crate::tree::Kind;

pub(super) const MAGIC: &[u8; 4] = b"ZKSN";
/// Ends the znodes and every checksum: a string, `/`.
pub(super) const END: &[u8] = &[0, 0, 0, 1, b'/'];

/// A snapshot as it was loaded.
pub(super) struct Loaded {
    pub(super) tree: FileTree,
    /// The zxid and the digest that the server knew when it had written the last znode.
    pub(super) digest: Option<(i64, u64)>,
    /// The newest change that may be in it; up to there it needs the logs.
    pub(super) end: i64,
    /// Whether it says that itself, behind the znodes: what is deleted, or gets another ACL, shows in none of them.
    pub(super) tells_end: bool,
    /// What has to be touched as well, and was not.
    pub(super) missed: Vec<Vec<u8>>,
}

/// Reads the snapshot `name`, taken at `zxid`, packed or not, and holds of it what `touched` names, what belongs to
/// sessions, and what has a list that it does not know. Every byte is checked.
pub(super) fn load(name: &str, zxid: i64, source: &Source, touched: &Touched) -> Result<Loaded, FileError> {
    survey(name, zxid, source, touched, &mut |_| Ok(()))
}

/// The same, and shows every znode to `each`, whose first error ends it; from the beginning again if it is not depth first.
pub(super) fn survey(
    name: &str,
    zxid: i64,
    source: &Source,
    touched: &Touched,
    each: &mut impl FnMut(Shown<'_>) -> Result<(), Fault>,
) -> Result<Loaded, FileError> {
    match read(name, zxid, source, touched, Order::depth_first(), each) {
        // Servers write depth first, but also read files that are not.
        Err(error) if matches!(error.fault, Fault::NoParent(_)) => {
            read(name, zxid, source, touched, Order::any(), each)
        }
        read => read,
    }
}

/// The same, of a snapshot that has this order.
pub(super) fn read(
    name: &str,
    zxid: i64,
    source: &Source,
    touched: &Touched,
    order: Order,
    each: &mut impl FnMut(Shown<'_>) -> Result<(), Fault>,
) -> Result<Loaded, FileError> {
    let mut at = 0;
    let mut znodes = Znodes {
        tree: FileTree::over(source.clone(), zxid),
        touched,
        order,
        end: zxid,
        tells_end: false,
        acl: (0, Acls::UNKNOWN),
        missed: Vec::new(),
        each,
    };
    let digest = source.open(|input| {
        std::thread::scope(|scope| {
            let mut items = Items::new(scope, input);
            let rest = znodes.body(&mut items);
            at = items.at;
            znodes.trailers(rest?, items.end()?)
        })
    });
    let digest = digest.map_err(|fault| FileError::new(name, at as usize, fault))?;
    Ok(Loaded {
        tree: znodes.tree,
        digest,
        end: znodes.end,
        tells_end: znodes.tells_end,
        missed: znodes.missed,
    })
}

/// A znode as the snapshot has it.
pub(super) struct Shown<'a> {
    /// Empty for the root.
    pub(super) path: &'a [u8],
    pub(super) data: Option<&'a [u8]>,
    /// The number of its list among `acls`.
    pub(super) acl: u32,
    pub(super) acls: &'a Acls,
    pub(super) kind: Kind,
    pub(super) stat: &'a Persisted,
}

/// How the parent of a znode is known.
pub(super) enum Order {
    /// The last path, and those of its ancestors that are not left yet: their lengths and nodes.
    DepthFirst(Vec<u8>, Vec<(usize, Option<u32>)>),
    /// All paths.
    Any(HashSet<u64>, DefaultHashBuilder),
}

/// What was read.
enum ItemRead {
    /// A znode, and its digest is in the sum.
    Counted,
    /// A znode whose digest is not.
    Digestless,
    /// Nothing more.
    End,
}

struct Znodes<'a, E> {
    tree: FileTree,
    touched: &'a Touched,
    order: Order,
    end: i64,
    tells_end: bool,
    /// The last id of an access control list, and its number.
    acl: (i64, u32),
    missed: Vec<Vec<u8>>,
    each: &'a mut E,
}

/// What follows the znodes, and where it begins.
type Trailers = (u64, Vec<u8>);

fn number(items: &mut Items<'_>) -> Result<u32, Fault> {
    let count = items.item(|input, _| input.int())?;
    u32::try_from(count).map_err(|_| Fault::Length(count.into()))
}

impl<E: FnMut(Shown<'_>) -> Result<(), Fault>> Znodes<'_, E> {
    /// Reads everything up to the first checksum.
    fn body(&mut self, items: &mut Items<'_>) -> Result<Trailers, Fault> {
        let magic = items.item(|input, _| input.array::<4>());
        if !matches!(&magic, Ok(magic) if magic == MAGIC) {
            return Err(magic.err().unwrap_or(Fault::Magic("a snapshot")));
        }
        // Version and dbid, which no reader looks at.
        items.item(|input, _| input.array::<12>())?;
        for _ in 0..number(items)? {
            let (session, timeout) = items.item(|input, _| Ok((input.long()?, input.int()?)))?;
            self.tree.sessions.insert(session, timeout);
        }
        for _ in 0..number(items)? {
            let acls = &mut self.tree.acls;
            items.item(|input, _| {
                let (id, list) = (input.long()?, input.acl()?);
                Ok(acls.read(id, list))
            })?;
        }
        self.acl = (0, self.tree.acls.of_id(0));
        loop {
            match items.item(|input, place| self.znode(input, place))? {
                ItemRead::Counted => {}
                ItemRead::Digestless => items.put_off(),
                ItemRead::End => break,
            }
        }
        if self.tree.is_empty() {
            return Err(Fault::NoParent("/".to_owned()));
        }
        self.tree.base.nodes = self.tree.places().end;
        let (begin, mut rest) = (items.at, Vec::new());
        while let Ok(byte) = items.item(|input, _| input.array::<1>()) {
            rest.extend_from_slice(&byte);
            if rest.len() > TAIL {
                return Err(Fault::Trailing(rest.len() as u64));
            }
        }
        Ok((begin, rest))
    }

    /// What follows the znodes: a checksum, and up to two more numbers with a checksum each, of all bytes before it.
    fn trailers(
        &mut self,
        (sealed, rest): Trailers,
        (seals, deferred): (Seals, Deferred),
    ) -> Result<Option<(i64, u64)>, Fault> {
        let mut input = Input::new(&rest);
        let seal = |input: &mut Input<'_>| {
            let found = seals.up_to(sealed + input.at() as u64).ok_or(Fault::Truncated)?;
            let expected = input.long()?.cast_unsigned();
            if expected != found {
                return Err(Fault::Checksum { expected, found });
            }
            match input.take(END.len())? {
                END => Ok(()),
                _ => Err(Fault::Truncated),
            }
        };
        seal(&mut input)?;
        let mut digest = None;
        if matches!(input.left(), 33 | 54) {
            let at_zxid = input.long()?;
            input.int()?; // 2 in every release
            digest = Some((at_zxid, input.long()?.cast_unsigned()));
            self.end = self.end.max(at_zxid);
            seal(&mut input)?;
        }
        // A server that has got its tree from another one has no digest to tell, and writes zeros.
        self.tells_end = digest.is_some_and(|(at_zxid, _)| at_zxid > 0) || input.left() == 21;
        if input.left() == 21 {
            self.end = self.end.max(input.long()?);
            seal(&mut input)?;
        }
        self.tree.base.seal = seals.whole();
        self.tree.add_quiet_digest(deferred.digest);
        let (names, more) = (&mut self.tree.base.old_names, deferred.old_names);
        names.count += more.count;
        names.paths.extend(more.paths);
        match input.left() {
            0 => Ok(digest),
            left => Err(Fault::Trailing(left as u64)),
        }
    }

    /// Reads a znode, or the end.
    fn znode(&mut self, input: &mut Input<'_>, place: Place) -> Result<ItemRead, Fault> {
        let path = input.string()?;
        if path == b"/" {
            return Ok(ItemRead::End);
        }
        let mut read = ItemRead::Counted;
        let (data, id, stat) = (input.buffer()?, input.long()?, Persisted::read(input)?);
        let tree = &mut self.tree;
        if id != self.acl.0 {
            self.acl = (id, tree.acls.of_id(id));
        }
        let acl = self.acl.1;
        self.end = self.end.max(stat.newest_zxid());
        let above = self.order.above(path, tree)?;
        let kind = tree.kind(stat.owner);
        (self.each)(Shown {
            path,
            data,
            acl,
            acls: &tree.acls,
            kind,
            stat: &stat,
        })?;
        if kind == Kind::Ephemeral
            && let Some(parent) = parent(path).filter(|parent| self.touched.misses(stat.owner, parent))
        {
            self.missed.push(parent.to_vec());
        }
        let node = if kind == Kind::Ephemeral || acl == Acls::UNKNOWN || self.touched.has(path) {
            let node = tree.put((path, data), acl, stat, above)?;
            tree.base.pieces.push(Piece::Node(node));
            Some(node)
        } else {
            tree.add_child(above);
            if place.whole {
                read = ItemRead::Digestless;
            } else {
                tree.add_quiet_digest(digest(path, data, &stat));
                tree.base.old_names.look_at(path);
            }
            let more = u32::try_from(input.at()).map_err(|_| Fault::Length(i64::MAX))?;
            tree.base.leave(kind, data, acl, (place.at, more));
            tree.base.samples.look_at(path, &stat);
            None
        };
        self.order.enter(path, node);
        Ok(read)
    }
}

impl Order {
    pub(super) fn depth_first() -> Self {
        Self::DepthFirst(Vec::new(), Vec::new())
    }

    pub(super) fn any() -> Self {
        Self::Any(HashSet::new(), DefaultHashBuilder::default())
    }

    /// The node of a path's parent, where that is a node.
    fn above(&mut self, path: &[u8], tree: &FileTree) -> Result<Option<u32>, Fault> {
        let Some(parent) = parent(path) else {
            return match path {
                [] => Ok(None),
                path => Err(Fault::NoParent(name_of(path))),
            };
        };
        let known = match self {
            Self::DepthFirst(last, ancestors) => {
                while ancestors.last().is_some_and(|(length, _)| *length > parent.len()) {
                    ancestors.pop();
                }
                let above = ancestors.last().filter(|(length, _)| *length == parent.len());
                above.filter(|_| last.starts_with(parent)).map(|(_, node)| *node)
            }
            Self::Any(paths, hasher) => paths
                .contains(&hasher.hash_one(parent))
                .then(|| tree.find(parent)),
        };
        known.ok_or_else(|| Fault::NoParent(name_of(path)))
    }

    fn enter(&mut self, path: &[u8], node: Option<u32>) {
        match self {
            Self::DepthFirst(last, ancestors) => {
                last.clear();
                last.extend_from_slice(path);
                ancestors.push((path.len(), node));
            }
            Self::Any(paths, hasher) => {
                paths.insert(hasher.hash_one(path));
            }
        }
    }
}
