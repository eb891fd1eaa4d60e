//! Any tree, restored over any other: what a restore promises, and the conformance suite in memory.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use zk_snapshot::capture::{CaptureOptions, capture_in_memory};
use zk_snapshot::conformance;
use zk_snapshot::restore::{Policy, RestoreError, RestoreOptions, RestoreReport, restore};
use zk_snapshot::tree::{Acl, AclEntry, MemoryTree, WriteOp, ZnodePath, ZnodeWriter};

/// Paths of a small alphabet, so that trees overlap, with data and ACLs that often differ.
type Plan = BTreeMap<Vec<u8>, (Vec<u8>, bool)>;
type Dump = BTreeMap<String, (Vec<u8>, Acl)>;

fn plans() -> impl Strategy<Value = Plan> {
    let path = prop::collection::vec(0_u8..4, 1..5);
    let data = prop::collection::vec(any::<u8>(), 0..4);
    prop::collection::btree_map(path, (data, any::<bool>()), 0..20)
}

fn tree(plan: &Plan) -> MemoryTree {
    let tree = MemoryTree::new();
    for (parts, (data, closed)) in plan {
        let names = ["a", "content", "ł %2e", "a b"];
        let path: String = parts
            .iter()
            .map(|part| format!("/{}", names[usize::from(*part)]))
            .collect();
        let acl = if *closed {
            only("bob:ZWxzZXdoZXJlIQ==")
        } else {
            Acl::open()
        };
        tree.put(&path, data, acl).unwrap();
    }
    tree
}

fn only(id: &str) -> Acl {
    Acl::new(vec![AclEntry {
        perms: 31,
        scheme: "digest".to_owned(),
        id: id.to_owned(),
    }])
}

fn of(paths: &[&str]) -> MemoryTree {
    let tree = MemoryTree::new();
    for path in paths {
        tree.put(path, path.as_bytes(), Acl::open()).unwrap();
    }
    tree
}

fn path(text: &str) -> ZnodePath {
    ZnodePath::parse(text).unwrap()
}

/// Restores `roots` of `from`, or all of it, with other names.
fn under_names(
    from: &MemoryTree,
    live: &MemoryTree,
    roots: &[&str],
    names: &[(&str, &str)],
) -> Result<RestoreReport, RestoreError> {
    let options = RestoreOptions {
        roots: roots.iter().copied().map(path).collect(),
        renames: names.iter().map(|(old, new)| (path(old), path(new))).collect(),
        ..RestoreOptions::default()
    };
    now(async {
        let captured = capture_in_memory(from, &CaptureOptions::default()).await.unwrap();
        restore(Arc::new(captured.records), live, &options).await
    })
}

fn dump(tree: &MemoryTree) -> Dump {
    tree.dump()
        .into_iter()
        .map(|(path, data, acl)| (path, (data, acl)))
        .collect()
}

fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

fn restored(from: &MemoryTree, live: &MemoryTree, policy: Policy, dry_run: bool) -> RestoreReport {
    now(async {
        let options = RestoreOptions {
            policy,
            dry_run,
            ..RestoreOptions::default()
        };
        let captured = capture_in_memory(from, &CaptureOptions::default()).await.unwrap();
        restore(Arc::new(captured.records), live, &options).await.unwrap()
    })
}

fn changes(report: &RestoreReport) -> [u64; 4] {
    [
        report.created,
        report.data_changed,
        report.acl_changed,
        report.deleted,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn replace_ends_equal_and_a_second_time_writes_nothing(backup in plans(), live in plans()) {
        let (backup, live) = (tree(&backup), tree(&live));
        let before = dump(&live);
        let planned = restored(&backup, &live, Policy::Replace, true);
        prop_assert_eq!(dump(&live), before);
        let report = restored(&backup, &live, Policy::Replace, false);
        prop_assert!(report.is_complete());
        prop_assert_eq!(changes(&planned), changes(&report));
        prop_assert_eq!(dump(&live), dump(&backup));
        prop_assert_eq!(changes(&restored(&backup, &live, Policy::Replace, false)), [0; 4]);
    }

    #[test]
    fn merge_deletes_nothing_and_missing_changes_nothing(backup in plans(), live in plans()) {
        let wanted = dump(&tree(&backup));
        for policy in [Policy::Merge, Policy::Missing] {
            let live = tree(&live);
            let before = dump(&live);
            prop_assert!(restored(&tree(&backup), &live, policy, false).is_complete());
            let after = dump(&live);
            let mut expected = before.clone();
            for (path, znode) in &wanted {
                if policy == Policy::Merge || !before.contains_key(path) {
                    expected.insert(path.clone(), znode.clone());
                }
            }
            prop_assert_eq!(after, expected);
        }
    }

    #[test]
    fn a_path_that_parses_prints_as_it_was(text in "(/[a-zł.%☃ \u{0}\u{7f}]{0,3}){0,4}/?") {
        if let Ok(path) = ZnodePath::parse(&text) {
            prop_assert_eq!(path.as_str(), &text);
            prop_assert_eq!(path.depth(), path.ancestors().len() + usize::from(!path.is_root()));
            if let Some(parent) = path.parent() {
                prop_assert!(path.is_within(&parent) && !parent.is_within(&path));
                prop_assert_eq!(parent.child(path.name()).unwrap(), path);
            }
        } else {
            let dots = text.split('/').any(|part| part == "." || part == "..");
            let forbidden = text.contains(['\u{0}', '\u{7f}']);
            let slashes = text.is_empty() || text.contains("//") || text.ends_with('/');
            prop_assert!(dots || forbidden || slashes);
        }
    }
}

#[test]
fn the_tree_in_memory_does_what_every_client_must_do() {
    now(conformance::run(
        &MemoryTree::new(),
        &ZnodePath::parse("/c").unwrap(),
    ));
}

#[test]
fn a_name_that_the_backup_lacks_restores_nothing_in_place() {
    let (backup, live) = (of(&["/config"]), of(&["/config/new"]));
    let before = dump(&live);
    for roots in [&[][..], &["/config"]] {
        let refused = under_names(&backup, &live, roots, &[("/confg", "/copy")]);
        assert!(matches!(refused, Err(RestoreError::NotInBackup(named)) if named == [path("/confg")]));
    }
    assert_eq!(dump(&live), before);
}

#[test]
fn what_swaps_names_ends_equal_to_the_backup() {
    let (backup, live) = (of(&["/a/1", "/b/2"]), of(&["/a/old", "/b/old", "/c"]));
    let names = [("/a", "/b"), ("/b", "/a")];
    let report = under_names(&backup, &live, &["/a", "/b"], &names).unwrap();
    assert!(report.is_complete(), "{report:?}");
    let found: Vec<_> = dump(&live).into_keys().collect();
    assert_eq!(found, ["/", "/a", "/a/2", "/b", "/b/1", "/c"]);
}

#[test]
fn two_that_go_to_one_place_are_refused_in_either_order() {
    for (old, new) in [("/b", "/a"), ("/b", "/c")] {
        let (backup, live) = (of(&["/b", "/a/x", "/c/x"]), MemoryTree::new());
        let below = format!("{new}/x");
        let refused = under_names(&backup, &live, &[old, &below], &[(old, new)]);
        assert!(matches!(refused, Err(RestoreError::Collision(place)) if place == path(new)));
        assert_eq!(dump(&live).len(), 1);
    }
}

#[test]
fn a_subtree_takes_the_name_of_what_it_was_below() {
    let paths = ["/p", "/p/q", "/p/q/c", "/p/q/c/d", "/p/r"];
    for (old, new, there) in [
        ("/p/q", "/p", &["/p", "/p/c", "/p/c/d"][..]),
        ("/p/q/c", "/p/q", &["/p", "/p/q", "/p/q/d"][..]),
        ("/p/q/c", "/p", &["/p", "/p/d"][..]),
    ] {
        for before in [&[][..], &["/p", "/p/q/live", "/p/s"]] {
            let live = of(before);
            let report = under_names(&of(&paths), &live, &[old], &[(old, new)]).unwrap();
            assert!(report.is_complete(), "{report:?}");
            let dump = dump(&live);
            let kept = new == "/p/q" && !before.is_empty();
            let mut expected = ["/"].into_iter().chain(there.iter().copied()).collect::<Vec<_>>();
            expected.extend(kept.then_some("/p/s"));
            assert_eq!(dump.keys().collect::<Vec<_>>(), expected, "{report:?}");
            // Each has what was below the old name, not what was above it.
            assert_eq!(dump[new].0, old.as_bytes());
            let below = there.last().unwrap();
            assert_eq!(dump[*below].0, below.replacen(new, old, 1).into_bytes());
        }
    }
    // What is only above is not brought where something is wanted in place below it.
    let refused = under_names(
        &of(&paths),
        &MemoryTree::new(),
        &["/p/q", "/p/r"],
        &[("/p/q", "/p")],
    );
    assert!(matches!(refused, Err(RestoreError::Collision(place)) if place == path("/p")));
}

#[test]
fn an_ancestor_that_is_created_without_its_digests_is_named() {
    let (backup, live) = (MemoryTree::new(), MemoryTree::new());
    backup.put("/a", b"", only("bob:x")).unwrap();
    backup.put("/a/b", b"", Acl::open()).unwrap();
    let report = under_names(&backup, &live, &["/a/b"], &[]).unwrap();
    assert_eq!(report.failures.len(), 1, "{report:?}");
    assert_eq!(report.failures[0].path, path("/a"));
}

/// The root was created at the same time in every ensemble: never.
#[test]
fn the_root_of_another_ensemble_is_not_taken_for_our_own() {
    let (backup, live) = (MemoryTree::new(), MemoryTree::new());
    for (tree, id) in [(&backup, "ann:MQ=="), (&live, "eve:Mg==")] {
        let set = WriteOp::SetAcl {
            path: ZnodePath::root(),
            acl: only(id),
            version: None,
        };
        now(tree.write_many(&[set]))[0].as_ref().unwrap();
    }
    let options = RestoreOptions {
        same_ensemble: true,
        ..RestoreOptions::default()
    };
    now(async {
        let captured = capture_in_memory(&backup, &CaptureOptions::default())
            .await
            .unwrap();
        restore(Arc::new(captured.records), &live, &options)
            .await
            .unwrap()
    });
    assert_eq!(dump(&live)["/"].1, only("ann:MQ=="));
}
