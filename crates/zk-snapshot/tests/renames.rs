//! Any part of any backup under other names, over any tree and by any policy: what is written, and what is not touched.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use zk_snapshot::capture::{CaptureOptions, capture_in_memory};
use zk_snapshot::restore::{Policy, RestoreError, RestoreOptions, RestoreReport, restore};
use zk_snapshot::tree::{Acl, AclEntry, MemoryTree, ZnodePath};

type Dump = BTreeMap<String, (Vec<u8>, Acl)>;

/// Paths of a small alphabet, so that places overlap.
fn paths() -> impl Strategy<Value = String> {
    prop::collection::vec("[abx]", 1..4).prop_map(|parts| format!("/{}", parts.join("/")))
}

/// The znodes, and which of them only bob may do anything with.
fn trees() -> impl Strategy<Value = BTreeMap<String, (u8, bool)>> {
    prop::collection::btree_map(paths(), (0_u8..3, any::<bool>()), 0..14)
}

fn only_bob() -> Acl {
    Acl::new(vec![AclEntry {
        perms: 31,
        scheme: "digest".to_owned(),
        id: "bob:ZWxzZXdoZXJlIQ==".to_owned(),
    }])
}

fn tree(znodes: &BTreeMap<String, (u8, bool)>) -> MemoryTree {
    let tree = MemoryTree::new();
    for (path, (data, closed)) in znodes {
        let acl = if *closed { only_bob() } else { Acl::open() };
        tree.put(path, &[*data], acl).unwrap();
    }
    tree
}

fn dump(tree: &MemoryTree) -> Dump {
    let znodes = tree.dump().into_iter();
    znodes.map(|(path, data, acl)| (path, (data, acl))).collect()
}

fn is_within(path: &str, root: &str) -> bool {
    root == "/" || path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
}

fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

fn above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| (*path != "/").then(|| parent(path)))
        .skip(1)
        .filter(|path| *path != "/")
}

/// What is asked for, in words that do not depend on how it is done.
#[derive(Debug, Clone)]
struct Case {
    roots: Vec<String>,
    renames: BTreeMap<String, String>,
    policy: Policy,
}

impl Case {
    fn place(&self, path: &str) -> Option<String> {
        if !self.roots.is_empty() && !self.roots.iter().any(|root| is_within(path, root)) {
            return None;
        }
        let renames = self.renames.iter().filter(|(from, _)| is_within(path, from));
        let longest = renames.max_by_key(|(from, _)| from.len());
        Some(longest.map_or(path.to_owned(), |(from, to)| {
            format!("{to}{}", &path[from.len()..])
        }))
    }

    /// The live tree afterwards.
    fn expected(&self, backup: &Dump, live: &Dump) -> Dump {
        let mut wanted = Dump::new();
        for (path, znode) in backup {
            if let Some(place) = self.place(path) {
                wanted.insert(place, znode.clone());
            }
        }
        let mut after = live.clone();
        let is_above = |path: &str| wanted.keys().any(|place| place != path && is_within(place, path));
        if self.policy == Policy::Replace {
            let renamed_away = |path: &str| {
                self.renames.keys().any(|from| is_within(path, from))
                    && !self.renames.values().any(|to| is_within(path, to))
            };
            let stranger = |path: &str| {
                path != "/"
                    && !wanted.contains_key(path)
                    && !is_above(path)
                    && !renamed_away(path)
                    && wanted.contains_key(parent(path))
            };
            after.retain(|path, _| !stranger(path) && !above(path).any(stranger));
        }
        // What is only above: as in the backup where that goes to the same place, else like what it lies below.
        let missing: Vec<_> = wanted.keys().flat_map(|place| above(place)).collect();
        let mut missing: Vec<_> = missing
            .into_iter()
            .filter(|path| !wanted.contains_key(*path))
            .collect();
        missing.sort_unstable();
        missing.dedup();
        for (path, znode) in &wanted {
            if self.policy != Policy::Missing || !after.contains_key(path) {
                after.insert(path.clone(), znode.clone());
            }
        }
        for path in missing {
            if !after.contains_key(path) {
                let outside = !self.roots.is_empty() && self.roots.iter().any(|root| is_within(root, path));
                let znode = match backup
                    .get(path)
                    .filter(|_| outside && !self.roots.iter().any(|root| is_within(path, root)))
                {
                    Some(znode) => znode.clone(),
                    None => (Vec::new(), after[parent(path)].1.clone()),
                };
                after.insert(path.to_owned(), znode);
            }
        }
        after
    }

    fn restore(
        &self,
        backup: &MemoryTree,
        live: &MemoryTree,
        dry_run: bool,
    ) -> Result<RestoreReport, RestoreError> {
        let path = |text: &String| ZnodePath::parse(text).unwrap();
        let options = RestoreOptions {
            roots: self.roots.iter().map(path).collect(),
            renames: self
                .renames
                .iter()
                .map(|(from, to)| (path(from), path(to)))
                .collect(),
            policy: self.policy,
            dry_run,
            show: 1_000,
            ..RestoreOptions::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let captured = capture_in_memory(backup, &CaptureOptions::default())
                .await
                .unwrap();
            restore(Arc::new(captured.records), live, &options).await
        })
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let policy = prop_oneof![Just(Policy::Replace), Just(Policy::Merge), Just(Policy::Missing)];
    let roots = prop::collection::vec(paths(), 0..3);
    let renames = prop::collection::btree_map(paths(), paths(), 0..3);
    (roots, renames, policy).prop_map(|(roots, renames, policy)| Case {
        roots,
        renames,
        policy,
    })
}

fn figures(report: &RestoreReport) -> [u64; 7] {
    [
        report.created,
        report.data_changed,
        report.acl_changed,
        report.deleted,
        report.unchanged,
        report.failed,
        report.counters_raised,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_place_gets_what_it_should_and_nothing_else_is_touched(backup in trees(), live in trees(), case in cases()) {
        let (backup, live) = (tree(&backup), tree(&live));
        let mut case = case;
        // Names that the backup lacks are refused, which another test shows.
        let there = dump(&backup);
        case.roots.retain(|root| there.contains_key(root));
        case.renames.retain(|from, _| there.contains_key(from));
        let before = dump(&live);
        let would = match case.restore(&backup, &live, true) {
            Ok(would) => would,
            Err(RestoreError::Collision(_)) => return Ok(()),
            Err(error) => panic!("{error}"),
        };
        prop_assert_eq!(&before, &dump(&live), "a dry run writes nothing");
        let expected = case.expected(&there, &before);
        let did = case.restore(&backup, &live, false).unwrap();
        prop_assert_eq!(&expected, &dump(&live));
        prop_assert_eq!(figures(&would), figures(&did));
        let sorted = |report: &RestoreReport| {
            let mut all: Vec<_> = report.differences.iter().map(|d| format!("{:?} {}", d.change, d.path)).collect();
            all.sort();
            all
        };
        prop_assert_eq!(sorted(&would), sorted(&did));
        prop_assert_eq!((did.failed, did.unfinished), (0, 0));
    }
}

/// The two examples in which a copy was deleted that had just been made.
#[test]
fn a_copy_below_what_is_live_stays_and_its_neighbours_too() {
    let only = |paths: &[&str]| {
        tree(
            &paths
                .iter()
                .map(|path| ((*path).to_owned(), (1, false)))
                .collect(),
        )
    };
    let (backup, live) = (
        only(&["/a/1", "/b"]),
        only(&["/x/other", "/b/copies/mine", "/b/stranger"]),
    );
    let rename = |to: &str, roots: &[&str]| Case {
        roots: roots.iter().map(|root| (*root).to_owned()).collect(),
        renames: BTreeMap::from([("/a".to_owned(), to.to_owned())]),
        policy: Policy::Replace,
    };
    rename("/x/y", &["/a"]).restore(&backup, &live, false).unwrap();
    rename("/b/copies/a", &["/a", "/b"])
        .restore(&backup, &live, false)
        .unwrap();
    let there: Vec<_> = dump(&live).into_keys().collect();
    let expected = [
        "/",
        "/b",
        "/b/copies",
        "/b/copies/a",
        "/b/copies/a/1",
        "/b/copies/mine",
        "/x",
        "/x/other",
        "/x/y",
        "/x/y/1",
    ];
    assert_eq!(there, expected);
}
