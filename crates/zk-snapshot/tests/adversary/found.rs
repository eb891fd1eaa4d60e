//! Cases that were found once.

use zk_snapshot::restore::Policy;

use crate::acts::{Act, Data, Guard, at};
use crate::case::{Case, First, Us, holds};

/// What a server does not take in one piece, by somebody who cannot see it until it has its own list.
#[test]
fn what_was_created_in_parts_is_known_as_our_own() {
    let first = |place, guard, data| First {
        place: at(place),
        data,
        guard,
        had: 0,
    };
    let case = Case {
        first: vec![
            first("/a", Guard::Bob, Data::Secret),
            first("/a/b", Guard::Open, Data::Large),
            first("/a/b/a", Guard::Open, Data::Secret),
        ],
        between: Vec::new(),
        schedule: Vec::new(),
        after: vec![Act::Ephemeral(at("/a"), 0)],
        us: Us::Anyone,
        whole: true,
        unknown: 0,
        ordered: false,
        order: 0,
        small: true,
        root: None,
        rename: None,
        policy: Policy::Replace,
        again: None,
        same_ensemble: false,
    };
    assert_eq!(holds(&case), Ok(()));
}

/// Under policy `missing`, and with a counter to be raised.
#[test]
fn what_a_server_that_is_behind_does_not_show_is_still_our_own() {
    let first = |place, guard, had| First {
        place: at(place),
        data: Data::Secret,
        guard,
        had,
    };
    for order in [9_369_340_705_694_246_741, 1, 2, 3] {
        let case = Case {
            first: vec![
                first("/b/a", Guard::Shown, 0),
                first("/a/a/a", Guard::BobReads, 1),
                first("/a/a", Guard::Bob, 0),
            ],
            between: Vec::new(),
            schedule: vec![(2, Act::Lag(true))],
            after: Vec::new(),
            us: Us::Bob,
            whole: false,
            unknown: 0,
            ordered: false,
            order,
            small: false,
            root: None,
            rename: Some(("/a", "/r/s")),
            policy: Policy::Missing,
            again: None,
            same_ensemble: false,
        };
        assert_eq!(holds(&case), Ok(()));
    }
}
