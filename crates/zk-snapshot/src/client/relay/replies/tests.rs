//! Replies in pieces of any size, ordinary and changed ones.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::super::requests::{Order, Requests};
use super::*;

fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as i32).to_be_bytes(), body].concat()
}

/// Requests, and what a server answers to them.
fn talk() -> (Vec<u8>, Vec<u8>) {
    let (stat, end) = ([1; STAT], [255, 255, 255, 255, 1, 255, 255, 255, 255]);
    let part = |op: i32, body: &[u8]| [&op.to_be_bytes()[..], &[0; 5], body].concat();
    let names = [&2_i32.to_be_bytes()[..], &frame(b"a"), &frame(b"")].concat();
    let many = [
        part(GET_DATA, &[&frame(b"data")[..], &stat].concat()),
        part(GET_CHILDREN, &names),
        part(-1, &[255; 4]),
        end.to_vec(),
    ];
    let entry = [&frame(b"world")[..], &frame(b"anyone")].concat();
    let acl = [&[0, 0, 0, 1, 0, 0, 0, 31][..], &entry, &stat].concat();
    let users = [&1_i32.to_be_bytes()[..], &frame(b"ip"), &frame(b"127.0.0.1")].concat();
    let answers = [
        (1_i32, MULTI_READ, many.concat()),
        (2, GET_DATA, [&[255; 4][..], &stat].concat()),
        (-2, 11, Vec::new()),
        (3, GET_CHILDREN, names),
        (4, GET_ACL, acl),
        (5, WHO_AM_I, users),
    ];
    let mut requests = frame(&[0; 44]);
    let mut replies = frame(&[&[0; 16][..], &frame(&[7; 16]), &[0]].concat());
    for (xid, op, body) in &answers {
        requests.extend(frame(
            &[&xid.to_be_bytes()[..], &op.to_be_bytes(), b"anything"].concat(),
        ));
        replies.extend(frame(&[&xid.to_be_bytes()[..], &[0; 12], body].concat()));
        let event = [&[255; 4][..], &[0; 12], &[0; 8], &frame(b"/a")].concat();
        replies.extend(frame(&event));
    }
    (requests, replies)
}

/// Both in pieces of so many bytes: how many replies have begun, how many wait, and whether the last was whole.
fn pass(requests: &[u8], replies: &[u8], piece: usize) -> Result<(u64, bool), String> {
    let (mut asked, told) = (Asked::new(Order::ByXid), Told::default());
    let (mut up, mut down) = (Requests::default(), Replies::default());
    for bytes in requests.chunks(piece) {
        up.read(bytes, &mut asked)?;
    }
    for bytes in replies.chunks(piece) {
        down.read(bytes, &mut asked, &told)?;
    }
    assert!(asked.answered(5).is_err(), "one is still waited for");
    Ok((down.begun(), down.length_of_current().is_none()))
}

#[test]
fn ordinary_replies_pass_in_pieces_of_any_size() {
    let (requests, replies) = talk();
    for piece in 1..replies.len() {
        assert_eq!(pass(&requests, &replies, piece), Ok((13, true)), "{piece}");
    }
}

proptest! {
    #[test]
    fn whatever_is_sent_is_passed_or_refused(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<[u8; 4]>()), 1..4),
        piece in 1_usize..64,
    ) {
        let (requests, mut replies) = talk();
        for (at, bytes) in changes {
            let at = at.index(replies.len() - 3);
            replies[at..at + 4].copy_from_slice(&bytes);
        }
        let mut whole = Replies::default();
        let mut asked = Asked::new(Order::ByXid);
        Requests::default().read(&requests, &mut asked).unwrap();
        let at_once = whole.read(&replies, &mut asked, &Told::default());
        let mut pieces = Replies::default();
        let mut asked = Asked::new(Order::ByXid);
        Requests::default().read(&requests, &mut asked).unwrap();
        let told = Told::default();
        let one_by_one = replies.chunks(piece).try_for_each(|bytes| pieces.read(bytes, &mut asked, &told));
        prop_assert_eq!(at_once, one_by_one);
    }
}
