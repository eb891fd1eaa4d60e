//! What is asked for by name, within something else that is.

use zk_snapshot::capture::{CaptureError, CaptureOptions, capture_in_memory};
use zk_snapshot::tree::{Acl, MemoryTree};

use crate::{held, now, path};

#[test]
fn what_is_not_there_ends_a_capture_also_within_what_is() {
    let tree = MemoryTree::new();
    for of in ["/p/there", "/p/session"] {
        tree.put(of, b"1", Acl::open()).unwrap();
    }
    tree.own("/p/session", 7);
    let of = |roots: &[&str]| {
        let options = CaptureOptions {
            roots: roots.iter().map(|root| path(root)).collect(),
            ..CaptureOptions::default()
        };
        now(capture_in_memory(&tree, &options))
    };
    let both = of(&["/p", "/p/there"]).unwrap();
    assert_eq!((both.summary.znodes, both.summary.is_partial()), (2, false));
    assert_eq!(held(&both, "/p/there"), Some(Some(b"1".to_vec())));
    for roots in [["/p", "/p/nope"], ["/p/nope/below", "/p"], ["/p", "/p/session"]] {
        let ended = of(&roots);
        assert!(
            matches!(&ended, Err(CaptureError::NoSuchRoot(named)) if roots.contains(&named.as_str()) && named.as_str() != "/p"),
            "{roots:?}: {ended:?}"
        );
    }
}
