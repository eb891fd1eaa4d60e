//! What the adversary does, as data, so that it shrinks.

use proptest::prelude::*;
use zk_snapshot::model::{Fate, Identity, Meddler, ModelTree};
use zk_snapshot::tree::{Acl, AclEntry, Kind, WriteOp, ZnodePath};

/// Where everything happens.
const PATHS: [&str; 15] = [
    "/", "/a", "/b", "/a/a", "/a/b", "/b/a", "/b/b", "/a/a/a", "/a/a/b", "/a/b/a", "/b/a/a", "/r", "/r/s",
    "/r/s/a", "/r/x",
];

/// A path of the few.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Place(u8);

impl Place {
    pub fn path(self) -> ZnodePath {
        ZnodePath::parse(PATHS[usize::from(self.0)]).unwrap()
    }
}

/// Whether `path` is among `some` of the places, a bit for each.
pub fn is_among(some: u16, path: &ZnodePath) -> bool {
    let place = PATHS.iter().position(|known| *known == path.as_str());
    place.is_some_and(|place| some & (1 << place) != 0)
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at({:?})", PATHS[usize::from(self.0)])
    }
}

/// For a case that was found once.
#[allow(dead_code)]
pub fn at(path: &str) -> Place {
    Place(u8::try_from(PATHS.iter().position(|known| *known == path).unwrap()).unwrap())
}

pub fn places() -> impl Strategy<Value = Place> {
    prop_oneof![1 => Just(0_u8), 20 => 1_u8..11, 3 => 11_u8..15].prop_map(Place)
}

/// An ACL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    Open,
    Bob,
    Eve,
    /// Bob may do all, others read.
    Shown,
    /// Everybody may read, and nothing else.
    ReadOnly,
    /// Everybody may do all but read.
    Unread,
    /// Bob may set the ACL, and nothing else.
    BobAdmin,
    /// Bob may set the ACL and read.
    BobReads,
    /// Bob and Eve may do all.
    Both,
}

pub fn bob() -> Identity {
    Identity::digest("bob", "hash")
}

pub fn eve() -> Identity {
    Identity::digest("eve", "hash")
}

impl Guard {
    pub fn acl(self) -> Acl {
        let entry = |perms, scheme: &str, id: &str| AclEntry {
            perms,
            scheme: scheme.to_owned(),
            id: id.to_owned(),
        };
        let bob = |perms| entry(perms, "digest", "bob:hash");
        let eve = |perms| entry(perms, "digest", "eve:hash");
        let anyone = |perms| entry(perms, "world", "anyone");
        Acl::new(match self {
            Self::Open => vec![anyone(31)],
            Self::Bob => vec![bob(31)],
            Self::Eve => vec![eve(31)],
            Self::Shown => vec![anyone(1), bob(31)],
            Self::ReadOnly => vec![anyone(1)],
            Self::Unread => vec![anyone(30)],
            Self::BobAdmin => vec![bob(16)],
            Self::BobReads => vec![bob(17)],
            Self::Both => vec![bob(31), eve(31)],
        })
    }
}

pub fn guards() -> impl Strategy<Value = Guard> {
    prop_oneof![
        4 => Just(Guard::Open),
        3 => Just(Guard::Bob),
        2 => Just(Guard::Eve),
        2 => Just(Guard::Shown),
        1 => Just(Guard::ReadOnly),
        1 => Just(Guard::Unread),
        1 => Just(Guard::BobAdmin),
        1 => Just(Guard::BobReads),
        1 => Just(Guard::Both),
    ]
}

/// What a znode holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    Empty,
    /// What the tree had there at first.
    Secret,
    /// As that, but so large that it fits into a small request only without an ACL.
    Large,
    /// As that, and into no small request.
    Huge,
    Other(u8),
}

impl Data {
    pub fn at(self, path: &ZnodePath) -> Vec<u8> {
        let mut data = format!("the secret of {path}").into_bytes();
        match self {
            Self::Empty => data.clear(),
            Self::Secret => {}
            Self::Large => data.resize(560, b'.'),
            Self::Huge => data.resize(700, b'.'),
            Self::Other(number) => data = format!("{number}").into_bytes(),
        }
        data
    }
}

/// The limit that [`Data::Large`] and [`Data::Huge`] are about.
pub const SMALL_REQUEST: usize = 600;

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        2 => Just(Data::Empty),
        2 => Just(Data::Secret),
        4 => (0_u8..3).prop_map(Data::Other),
    ]
}

pub fn first_data() -> impl Strategy<Value = Data> {
    prop_oneof![
        6 => Just(Data::Secret),
        3 => Just(Data::Empty),
        1 => Just(Data::Large),
        1 => Just(Data::Huge),
    ]
}

/// One act.
#[derive(Debug, Clone)]
pub enum Act {
    Create(Place, Data, Guard),
    Delete(Place),
    Write(Place, Data),
    Guard(Place, Guard),
    /// An ephemeral takes the place, of this version.
    Ephemeral(Place, u8),
    /// Whoever has ephemerals leaves.
    Leave,
    /// The connection is lost, before the request is carried out or after it, and so many attempts find none.
    Cut(bool, u8),
    Lag(bool),
    /// We end, before the request is carried out or after it.
    Kill(bool),
}

pub fn acts_on_the_tree() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (places(), data(), guards()).prop_map(|(place, data, guard)| Act::Create(place, data, guard)),
        3 => places().prop_map(Act::Delete),
        3 => (places(), data()).prop_map(|(place, data)| Act::Write(place, data)),
        4 => (places(), guards()).prop_map(|(place, guard)| Act::Guard(place, guard)),
        2 => (places(), 0_u8..3).prop_map(|(place, version)| Act::Ephemeral(place, version)),
        1 => Just(Act::Leave),
    ]
}

pub fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        10 => acts_on_the_tree(),
        3 => (any::<bool>(), prop_oneof![4 => Just(0_u8), 1 => 1_u8..6]).prop_map(|(after, down)| Act::Cut(after, down)),
        1 => any::<bool>().prop_map(Act::Lag),
        1 => any::<bool>().prop_map(Act::Kill),
    ]
}

impl Act {
    /// Does it, where it can be done.
    pub fn act(&self, tree: &mut ModelTree, fate: &mut Fate) {
        let create = |path: ZnodePath, data: Vec<u8>, guard: Guard| WriteOp::Create {
            path,
            data,
            acl: guard.acl(),
            kind: Kind::Persistent,
        };
        match self {
            Self::Create(place, data, guard) => {
                let path = place.path();
                let data = data.at(&path);
                let _ = tree.write(&create(path, data, *guard));
            }
            Self::Delete(place) => tree.delete_all(&place.path()),
            Self::Write(place, data) => {
                let path = place.path();
                let data = data.at(&path);
                let _ = tree.write(&WriteOp::SetData {
                    path,
                    data,
                    version: None,
                });
            }
            Self::Guard(place, guard) => {
                let (path, acl) = (place.path(), guard.acl());
                let _ = tree.write(&WriteOp::SetAcl {
                    path,
                    acl,
                    version: None,
                });
            }
            Self::Ephemeral(place, version) => {
                let path = place.path();
                if path.is_root() {
                    return;
                }
                tree.delete_all(&path);
                let data = Data::Other(9).at(&path);
                let _ = tree.write_ephemeral(&create(path, data, Guard::Open), 77);
                for _ in 0..*version {
                    Self::Write(*place, Data::Other(8)).act(tree, fate);
                }
            }
            Self::Leave => tree.end_sessions(),
            Self::Cut(after, down) => (fate.cut, fate.down) = (Some(*after), *down),
            Self::Lag(lags) => fate.lags = Some(*lags),
            Self::Kill(after) => fate.kill = Some(*after),
        }
    }
}

/// Acts before the requests with these numbers.
pub type Schedule = Vec<(u8, Act)>;

pub fn schedules(requests: u8, most: usize) -> impl Strategy<Value = Schedule> {
    prop::collection::vec((0..requests, acts()), 0..most)
}

/// Carries a schedule out.
pub struct Adversary(Schedule);

impl Adversary {
    pub fn new(schedule: &Schedule) -> Self {
        let mut schedule = schedule.clone();
        schedule.sort_by_key(|(request, _)| std::cmp::Reverse(*request));
        Self(schedule)
    }
}

impl Meddler for Adversary {
    fn meddle(&mut self, request: u64, tree: &mut ModelTree) -> Fate {
        let mut fate = Fate::default();
        while self.0.last().is_some_and(|(due, _)| u64::from(*due) <= request) {
            if let Some((_, act)) = self.0.pop() {
                act.act(tree, &mut fate);
            }
        }
        fate
    }
}
