//! Access control lists as the files have them.

use std::collections::HashMap;

use super::jute::{Input, put_buffer};
use crate::tree::{Acl, AclEntry};

/// What a snapshot writes for a list that lets everybody do everything (`OPEN_UNSAFE_ACL_ID`).
pub(super) const OPEN_ID: i64 = -1;

/// Access control lists as they are in the files, each once.
pub(super) struct Acls {
    /// Each with what a snapshot writes for it.
    lists: Vec<(i64, Box<[u8]>)>,
    index: HashMap<Box<[u8]>, u32>,
    ids: HashMap<i64, u32>,
    next: i64,
}

impl Default for Acls {
    fn default() -> Self {
        let mut acls = Self {
            lists: Vec::new(),
            index: HashMap::new(),
            ids: HashMap::new(),
            next: 1,
        };
        let open = [
            &1_i32.to_be_bytes()[..],
            &31_i32.to_be_bytes(),
            &5_i32.to_be_bytes(),
            b"world",
            &6_i32.to_be_bytes(),
            b"anyone",
        ]
        .concat();
        acls.read(OPEN_ID, &open);
        acls
    }
}

impl Acls {
    /// The list that lets everybody do everything.
    pub(super) const OPEN: u32 = 0;
    /// One that is not known yet.
    pub(super) const UNKNOWN: u32 = u32::MAX;

    pub(super) fn number(&mut self, list: &[u8]) -> u32 {
        if let Some(number) = self.index.get(list) {
            return *number;
        }
        while self.ids.contains_key(&self.next) {
            self.next += 1;
        }
        self.read(self.next, list)
    }

    /// Takes a list over from a snapshot, with its id. One that is known stays what it is.
    pub(super) fn read(&mut self, id: i64, list: &[u8]) -> u32 {
        if let Some(number) = self.ids.get(&id) {
            return *number;
        }
        let number = u32::try_from(self.lists.len()).unwrap_or(Self::UNKNOWN);
        self.lists.push((id, list.into()));
        self.index.entry(list.into()).or_insert(number);
        self.ids.insert(id, number);
        number
    }

    /// The number of the list that a snapshot writes `id` for.
    pub(super) fn of_id(&self, id: i64) -> u32 {
        self.ids.get(&id).copied().unwrap_or(Self::UNKNOWN)
    }

    pub(super) fn list(&self, number: u32) -> &[u8] {
        self.lists.get(number as usize).map_or(&[], |(_, list)| list)
    }

    /// What a snapshot writes for the list of this number.
    pub(super) fn id(&self, number: u32) -> i64 {
        self.lists.get(number as usize).map_or(OPEN_ID, |(id, _)| *id)
    }

    /// Appends the lists of `used` numbers as a snapshot has them.
    pub(super) fn write(&self, used: &[u32], out: &mut Vec<u8>) {
        let count = i32::try_from(used.len()).unwrap_or(i32::MAX);
        out.extend_from_slice(&count.to_be_bytes());
        for number in used {
            out.extend_from_slice(&self.id(*number).to_be_bytes());
            out.extend_from_slice(self.list(*number));
        }
    }
}

/// The list as the client API shows it. Java writes characters beyond U+FFFF as two surrogates of three bytes.
pub(super) fn decode(list: &[u8]) -> Option<Acl> {
    let mut input = Input::new(list);
    let count = input.count(12).ok()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let perms = input.int().ok()?.cast_unsigned();
        let (scheme, id) = (input.string().ok()?, input.string().ok()?);
        entries.push(AclEntry {
            perms,
            scheme: text(scheme),
            id: text(id),
        });
    }
    Some(Acl::new(entries))
}

/// The list as it is in the files.
pub(super) fn encode(acl: &Acl) -> Vec<u8> {
    let count = i32::try_from(acl.entries().len()).unwrap_or(i32::MAX);
    let mut list = count.to_be_bytes().to_vec();
    for entry in acl.entries() {
        list.extend_from_slice(&entry.perms.to_be_bytes());
        put_buffer(&mut list, Some(&java(&entry.scheme)));
        put_buffer(&mut list, Some(&java(&entry.id)));
    }
    list
}

fn java(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        if u32::from(character) <= 0xffff {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let [high, middle, low] = [*unit >> 12, *unit >> 6 & 0x3f, *unit & 0x3f].map(|bits| bits as u8);
            bytes.extend_from_slice(&[0xe0 | high, 0x80 | middle, 0x80 | low]);
        }
    }
    bytes
}

fn text(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let mut units = Vec::new();
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        // A surrogate: 1110_1101 101x_xxxx 10xx_xxxx.
        if let (0xed, [a @ 0xa0..=0xbf, b @ 0x80..=0xbf, tail @ ..]) = (*first, after) {
            units.push(0xd000 | u16::from(a & 0x3f) << 6 | u16::from(b & 0x3f));
            rest = tail;
            continue;
        }
        let length = rest.iter().skip(1).position(|byte| byte & 0xc0 != 0x80);
        let (character, tail) = rest.split_at(length.map_or(rest.len(), |length| length + 1));
        units.extend(String::from_utf8_lossy(character).encode_utf16());
        rest = tail;
    }
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_texts_are_read() {
        assert_eq!(text("zoë".as_bytes()), "zoë");
        assert_eq!(text(b"a\xed\xa0\xbd\xed\xb8\x80b"), "a😀b");
        assert_eq!(text("ł".as_bytes()), "ł");
        assert_eq!(java("zoë a😀b"), b"zo\xc3\xab a\xed\xa0\xbd\xed\xb8\x80b");
        assert_eq!(text(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(text(b"\xc3\xab\xed\xa0\xbd\xed\xb8\x80\xc3\xab"), "ë😀ë");
    }

    #[test]
    fn the_open_list_is_the_first() {
        let mut acls = Acls::default();
        assert_eq!(decode(acls.list(Acls::OPEN)), Some(Acl::open()));
        assert_eq!(encode(&Acl::open()), acls.list(Acls::OPEN));
        let again = acls.list(Acls::OPEN).to_vec();
        assert_eq!(acls.number(&again), Acls::OPEN);
    }
}
