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
const WHO_AM_I: i32 = 107;

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
    /// A number of identities: scheme, then name.
    Identities,
    /// A part of a `multiRead`: operation, whether it is the end, error.
    Part,
    /// No more that a length could be in.
    Rest,
}

impl Next {
    /// Bytes that say what follows.
    fn size(self) -> usize {
        match self {
            Self::FirstHead
            | Self::Bytes
            | Self::Names
            | Self::Name(_)
            | Self::Entries
            | Self::Id(_)
            | Self::Identities => 4,
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
            WHO_AM_I => Next::Identities,
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
            Next::Identities => {
                let number = self.number(8)?;
                self.name(2 * number);
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
mod tests;
