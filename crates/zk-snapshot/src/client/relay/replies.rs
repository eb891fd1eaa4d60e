//! What a server sends, looked at as it passes.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::requests::Asked;

/// The longest reply with data or with the names of children; a line of an archive has no more either.
pub(super) const MOST_BYTES: usize = 64 << 20;
/// The longest of any other kind. ACLs and paths come from requests, which servers bound by `jute.maxbuffer`.
const MOST_OTHER: usize = 4 << 20;
/// The longest answer to a request for a session.
const MOST_SESSION: usize = 4 << 10;
/// Names of children in one reply.
const MOST_NAMES: usize = 1 << 22;
/// Parts of one `multiRead`.
const MOST_PARTS: usize = 1 << 16;
/// Notifications that the library keeps until they are looked at, and bytes of them.
const MOST_TOLD: usize = 1 << 20;
const MOST_TOLD_BYTES: usize = 64 << 20;
/// xid, zxid, error.
const HEAD: usize = 16;
const STAT: usize = 68;
const NOTIFICATION: i32 = -1;

const CREATE: i32 = 1;
const GET_DATA: i32 = 4;
const GET_ACL: i32 = 6;
const GET_CHILDREN: i32 = 8;
const MULTI_READ: i32 = 22;

/// Notifications that have come since the library's queue was looked at.
#[derive(Default)]
pub(super) struct Told {
    number: AtomicUsize,
    bytes: AtomicUsize,
}

impl Told {
    #[cfg(feature = "batched-client")]
    pub(super) fn forget(&self) {
        self.number.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    fn one_more(&self, length: usize) -> Result<(), String> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let bytes = self.bytes.fetch_add(length, Ordering::Relaxed);
        if number >= MOST_TOLD || bytes + length > MOST_TOLD_BYTES {
            return Err(format!(
                "the server sent more than {MOST_TOLD} notifications, or {MOST_TOLD_BYTES} bytes of them, at once"
            ));
        }
        Ok(())
    }
}

/// What comes next in a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The answer to the request for a session: its length alone.
    FirstHead,
    /// Protocol, timeout and session, then a password.
    Session,
    /// Length, xid, zxid, error.
    Head,
    /// Kind and state, then a path.
    Notification,
    /// One text or block of bytes.
    Bytes,
    /// A number of names.
    Names,
    /// So many names, each with its length before it.
    Name(usize),
    /// A number of entries.
    Entries,
    /// So many entries: permissions and scheme, then an id.
    Scheme(usize),
    Id(usize),
    /// A part of a `multiRead`: operation, whether it is the end, error.
    Part,
    /// No more that a length could be in.
    Rest,
}

impl Next {
    /// Bytes that say what follows.
    fn size(self) -> usize {
        match self {
            Self::FirstHead | Self::Bytes | Self::Names | Self::Name(_) | Self::Entries | Self::Id(_) => 4,
            Self::Session => 20,
            Self::Head => 4 + HEAD,
            Self::Notification => 12,
            Self::Scheme(_) => 8,
            Self::Part => 9,
            Self::Rest => 0,
        }
    }

    fn is_head(self) -> bool {
        matches!(self, Self::FirstHead | Self::Head)
    }
}

/// Takes replies apart as they pass, in pieces of any size.
pub(super) struct Replies {
    next: Next,
    word: [u8; 4 + HEAD],
    have: usize,
    /// Bytes to pass over before `next`.
    skip: usize,
    /// Bytes of this reply that have not passed.
    left: usize,
    length: usize,
    begun: u64,
    is_multi: bool,
    names: usize,
    parts: usize,
}

impl Default for Replies {
    fn default() -> Self {
        Self {
            next: Next::FirstHead,
            word: [0; 4 + HEAD],
            have: 0,
            skip: 0,
            left: 0,
            length: 0,
            begun: 0,
            is_multi: false,
            names: 0,
            parts: 0,
        }
    }
}

impl Replies {
    /// How many have begun.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    /// Bytes of the one that has not passed whole, if there is one.
    pub(super) fn length_of_current(&self) -> Option<usize> {
        (!self.next.is_head()).then_some(self.length)
    }

    /// # Errors
    /// Why a reply in `bytes` is refused.
    pub(super) fn read(&mut self, mut bytes: &[u8], asked: &mut Asked, told: &Told) -> Result<(), String> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len());
                self.skip -= passed;
                bytes = &bytes[passed..];
                self.pass(passed);
                continue;
            }
            let need = self.next.size() - self.have;
            let mut taken = need.min(bytes.len());
            if !self.next.is_head() {
                taken = taken.min(self.left);
            }
            self.word[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            let is_whole = taken == need;
            if self.next.is_head() {
                if is_whole {
                    self.have = 0;
                    self.head(asked, told)?;
                    self.pass(0);
                }
                continue;
            }
            self.left -= taken;
            if is_whole {
                self.have = 0;
                self.learn()?;
            }
            self.pass(0);
        }
        Ok(())
    }

    /// So many bytes have passed; after the last one the next reply begins. A library copes with one that is too short.
    fn pass(&mut self, passed: usize) {
        self.left -= passed;
        if self.left == 0 {
            (self.next, self.have, self.skip) = (Next::Head, 0, 0);
        } else if self.next == Next::Rest {
            self.skip = self.left;
        }
    }

    fn int(&self, at: usize) -> i32 {
        let [a, b, c, d] = [
            self.word[at],
            self.word[at + 1],
            self.word[at + 2],
            self.word[at + 3],
        ];
        i32::from_be_bytes([a, b, c, d])
    }

    fn head(&mut self, asked: &mut Asked, told: &Told) -> Result<(), String> {
        let claimed = self.int(0);
        let is_first = self.next == Next::FirstHead;
        let least = if is_first { 0 } else { HEAD };
        let length = usize::try_from(claimed)
            .ok()
            .filter(|length| *length >= least && *length > 0)
            .ok_or_else(|| format!("the server sent a reply of {claimed} bytes"))?;
        let within = |most: usize| match length > most {
            true => Err(format!(
                "the server sent a reply of {length} bytes; at most {most} are taken"
            )),
            false => Ok(()),
        };
        within(MOST_BYTES)?;
        (self.length, self.left, self.begun) = (length, length - least, self.begun + 1);
        (self.is_multi, self.names, self.parts) = (false, 0, 0);
        if is_first {
            self.next = Next::Session;
            return within(MOST_SESSION);
        }
        let (xid, error) = (self.int(4), self.int(16));
        if xid == NOTIFICATION {
            self.next = Next::Notification;
            within(MOST_OTHER)?;
            return told.one_more(length);
        }
        let op = asked.answered(xid)?;
        if !matches!(op, GET_DATA | GET_CHILDREN | MULTI_READ) {
            within(MOST_OTHER)?;
        }
        self.is_multi = op == MULTI_READ;
        self.next = match op {
            _ if error != 0 => Next::Rest,
            CREATE | GET_DATA => Next::Bytes,
            GET_CHILDREN => Next::Names,
            GET_ACL => Next::Entries,
            MULTI_READ => Next::Part,
            _ => Next::Rest,
        };
        Ok(())
    }

    /// What `word` says of what follows.
    fn learn(&mut self) -> Result<(), String> {
        match self.next {
            Next::FirstHead | Next::Head | Next::Rest => {}
            Next::Session => {
                self.skip = self.bytes(16)?;
                self.next = Next::Rest;
            }
            Next::Notification => {
                self.skip = self.bytes(8)?;
                self.next = Next::Rest;
            }
            Next::Bytes => {
                self.skip = self.bytes(0)?;
                if self.is_multi {
                    self.skip = (self.skip + STAT).min(self.left);
                }
                self.next = self.after();
            }
            Next::Names => {
                let number = self.number(4)?;
                self.names += number;
                if self.names > MOST_NAMES {
                    return Err(format!(
                        "the server sent a reply of {} names; at most {MOST_NAMES} are taken",
                        self.names
                    ));
                }
                self.name(number);
            }
            Next::Name(number) => {
                self.skip = self.bytes(0)?;
                self.name(number - 1);
            }
            Next::Entries => {
                let number = self.number(12)?;
                self.entry(number);
            }
            Next::Scheme(number) => {
                self.skip = self.bytes(4)?;
                self.next = Next::Id(number);
            }
            Next::Id(number) => {
                self.skip = self.bytes(0)?;
                self.entry(number - 1);
            }
            Next::Part => self.part()?,
        }
        Ok(())
    }

    fn part(&mut self) -> Result<(), String> {
        self.parts += 1;
        if self.parts > MOST_PARTS {
            return Err(format!("the server sent a reply of more than {MOST_PARTS} parts"));
        }
        self.next = match self.int(0) {
            _ if self.word[4] != 0 => Next::Rest,
            GET_DATA => Next::Bytes,
            GET_CHILDREN => Next::Names,
            -1 => {
                self.skip = 4.min(self.left);
                Next::Part
            }
            _ => Next::Rest, // the library takes no other
        };
        Ok(())
    }

    fn after(&self) -> Next {
        if self.is_multi { Next::Part } else { Next::Rest }
    }

    fn name(&mut self, number: usize) {
        self.next = match number {
            0 => self.after(),
            number => Next::Name(number),
        };
    }

    fn entry(&mut self, number: usize) {
        self.next = match number {
            0 => Next::Rest,
            number => Next::Scheme(number),
        };
    }

    /// The length that is claimed there; none and an empty one are the same.
    fn bytes(&self, at: usize) -> Result<usize, String> {
        let claimed = usize::try_from(self.int(at)).unwrap_or(0);
        match claimed > self.left {
            true => Err(self.overclaimed(claimed, "bytes")),
            false => Ok(claimed),
        }
    }

    /// The number that is claimed, of things that take `least` bytes each.
    fn number(&self, least: usize) -> Result<usize, String> {
        let claimed = self.int(0);
        match usize::try_from(claimed) {
            Ok(number) if number <= self.left / least => Ok(number),
            Ok(number) => Err(self.overclaimed(number, "entries")),
            Err(_) if claimed == -1 => Ok(0),
            Err(_) => Err(format!("the server sent a list of {claimed} entries")),
        }
    }

    fn overclaimed(&self, claimed: usize, of_what: &str) -> String {
        format!(
            "the server sent a reply of {} bytes that claims {claimed} {of_what} where {} bytes are left",
            self.length, self.left
        )
    }
}

#[cfg(all(test, feature = "batched-client"))]
#[allow(clippy::unwrap_used)]
mod tests {
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
        let answers = [
            (1_i32, MULTI_READ, many.concat()),
            (2, GET_DATA, [&[255; 4][..], &stat].concat()),
            (-2, 11, Vec::new()),
            (3, GET_CHILDREN, names),
            (4, GET_ACL, acl),
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
        assert!(asked.answered(4).is_err(), "one is still waited for");
        Ok((down.begun(), down.length_of_current().is_none()))
    }

    #[test]
    fn ordinary_replies_pass_in_pieces_of_any_size() {
        let (requests, replies) = talk();
        for piece in 1..replies.len() {
            assert_eq!(pass(&requests, &replies, piece), Ok((11, true)), "{piece}");
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
}
