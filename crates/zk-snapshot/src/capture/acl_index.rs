//! Which ACL guarded which znode, so that a later backup need not ask again.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};

use serde::{Deserialize, Serialize};

use crate::archive::AT_ONCE;
use crate::archive::ArchiveError;
use crate::tree::keys::{Key, Keys};
use crate::tree::table::KeyTable;
use crate::tree::{Acl, Stat, ZnodePath};

/// Bytes that each znode takes in the file.
const ENTRY: usize = 12;
/// The longest first line that is read.
const MAX_HEAD: u64 = 256 << 20;

/// The ACLs of an earlier backup.
///
/// An entry says: the znode at this path, created by this zxid at this millisecond, was created with this ACL. A server
/// changes `aversion` whenever it changes the ACL, so the entry holds for ever while that is 0, also after a rollback. Entries of
/// another `aversion`, which earlier versions wrote, are not used.
#[derive(Debug)]
pub struct AclIndex {
    keys: Keys,
    acls: Vec<Acl>,
    /// Their numbers, from 1.
    entries: KeyTable,
}

/// The first line of the file. Each list of keys follows, 12 bytes a key, in the order of the ACLs.
#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    source: String,
    seed: (u64, u64),
    acls: Vec<(Acl, usize)>,
}

fn key(keys: &Keys, path: &ZnodePath, stat: &Stat) -> Key<3> {
    keys.key(&[
        path.as_str().as_bytes(),
        &[0], // no path contains it
        &stat.czxid.to_le_bytes(),
        &stat.ctime.to_le_bytes(),
        &stat.aversion.to_le_bytes(),
    ])
}

impl AclIndex {
    /// The ACL of the znode at `path` whose `Stat` is `stat`, where it is known. Nothing is known of one whose ACL was set since
    /// its creation, nor of what every server begins with, such as `/`, which has no time of creation.
    #[must_use]
    pub fn get(&self, path: &ZnodePath, stat: &Stat) -> Option<&Acl> {
        if !stat.acl_is_of_creation() {
            return None;
        }
        let number = self.entries.get(&key(&self.keys, path, stat));
        self.acls.get((number as usize).checked_sub(1)?)
    }

    /// Reads what [`AclIndexWriter::finish`] wrote. `None` if that was of another source, or of a version
    /// that is not known.
    ///
    /// # Errors
    /// [`ArchiveError`] if the file fails or is damaged; checksums are the owner's part.
    pub fn read(file: impl Read, source: &str) -> Result<Option<Self>, ArchiveError> {
        let damaged = |why: &str| ArchiveError::Damaged {
            frame: 0,
            why: why.to_owned(),
        };
        let mut file = BufReader::with_capacity(1 << 16, file);
        let mut line = Vec::new();
        file.by_ref().take(MAX_HEAD).read_until(b'\n', &mut line)?;
        let header: Header = serde_json::from_slice(&line).map_err(|_| damaged("its head cannot be read"))?;
        if header.version != 1 || header.source != source {
            return Ok(None);
        }
        let entries = header.acls.iter().map(|(_, count)| *count);
        let entries = entries.fold(0, usize::saturating_add);
        let mut index = Self {
            keys: Keys(header.seed.0, header.seed.1),
            acls: Vec::new(),
            entries: KeyTable::with_room(entries.min(AT_ONCE)),
        };
        for (number, (acl, count)) in (1_u32..).zip(header.acls) {
            index.acls.push(acl);
            for _ in 0..count {
                let mut entry = [0; ENTRY];
                file.read_exact(&mut entry)
                    .map_err(|_| damaged("it is cut short"))?;
                let word = |i: usize| {
                    u32::from_le_bytes([entry[4 * i], entry[4 * i + 1], entry[4 * i + 2], entry[4 * i + 3]])
                };
                index.entries.set(Key([word(0), word(1), word(2)]), number);
            }
        }
        Ok(Some(index))
    }
}

/// Collects what an [`AclIndex`] will know; 12 bytes for each znode.
#[derive(Debug)]
pub struct AclIndexWriter {
    keys: Keys,
    numbers: HashMap<Acl, usize>,
    lists: Vec<(Acl, Vec<Key<3>>)>,
}

impl Default for AclIndexWriter {
    fn default() -> Self {
        Self {
            keys: Keys::random(),
            numbers: HashMap::new(),
            lists: Vec::new(),
        }
    }
}

impl AclIndexWriter {
    /// Adds the ACL that the znode at `path` had when its `Stat` was `stat`. One without its digests tells
    /// nothing and is left out, and so is one that was set since the znode was created.
    pub fn add(&mut self, path: &ZnodePath, stat: &Stat, acl: &Acl) {
        if acl.is_masked() || acl.is_unknown() || !stat.acl_is_of_creation() {
            return;
        }
        let key = key(&self.keys, path, stat);
        match self.lists.last_mut() {
            Some((last, list)) if last == acl => list.push(key), // so it is nearly always
            _ => {
                let number = *self.numbers.entry(acl.clone()).or_insert_with(|| {
                    self.lists.push((acl.clone(), Vec::new()));
                    self.lists.len() - 1
                });
                self.lists[number].1.push(key);
            }
        }
    }

    /// Writes it. `source` names the ensemble: the index serves no other.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn finish(self, source: &str, mut out: impl Write) -> Result<(), ArchiveError> {
        let header = Header {
            version: 1,
            source: source.to_owned(),
            seed: (self.keys.0, self.keys.1),
            acls: self
                .lists
                .iter()
                .map(|(acl, list)| (acl.clone(), list.len()))
                .collect(),
        };
        serde_json::to_writer(&mut out, &header).map_err(std::io::Error::from)?;
        out.write_all(b"\n")?;
        for (_, list) in self.lists {
            for Key(words) in list {
                for word in words {
                    out.write_all(&word.to_le_bytes())?;
                }
            }
        }
        out.flush()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::AclEntry;

    #[test]
    fn only_the_very_znode_and_list_are_known() {
        let closed = Acl::new(vec![AclEntry {
            perms: 1,
            scheme: "digest".to_owned(),
            id: "bob:ZWxzZXdoZXJlIQ==".to_owned(),
        }]);
        let masked = Acl::new(vec![AclEntry {
            perms: 1,
            scheme: "digest".to_owned(),
            id: "bob:x".to_owned(),
        }]);
        let path = |text: &str| ZnodePath::parse(text).unwrap();
        let stat = Stat {
            czxid: 7,
            ctime: 1_000,
            ..Stat::default()
        };
        let mut writer = AclIndexWriter::default();
        writer.add(&path("/a"), &stat, &closed);
        writer.add(&path("/b"), &stat, &Acl::open());
        writer.add(&path("/c"), &stat, &closed);
        writer.add(&path("/m"), &stat, &masked);
        // Set once: in another history it may have been set once to another.
        let set = Stat { aversion: 1, ..stat };
        writer.add(&path("/s"), &set, &closed);
        let mut file = Vec::new();
        writer.finish("zk:2181", &mut file).unwrap();

        let index = AclIndex::read(&file[..], "zk:2181").unwrap().unwrap();
        assert_eq!(index.get(&path("/a"), &stat), Some(&closed));
        assert_eq!(index.get(&path("/b"), &stat), Some(&Acl::open()));
        assert_eq!(index.get(&path("/c"), &stat), Some(&closed));
        assert_eq!(index.get(&path("/m"), &stat), None);
        assert_eq!(index.get(&path("/d"), &stat), None);
        assert_eq!(index.get(&path("/s"), &set), None);
        for other in [
            Stat { czxid: 8, ..stat },
            Stat { ctime: 1_001, ..stat },
            Stat { aversion: 3, ..stat },
        ] {
            assert_eq!(index.get(&path("/a"), &other), None);
        }
        let moved_on = Stat { mzxid: 99, ..stat };
        assert_eq!(index.get(&path("/a"), &moved_on), Some(&closed));
        assert!(AclIndex::read(&file[..], "other:2181").unwrap().is_none());
        assert!(AclIndex::read(&file[..file.len() - 1], "zk:2181").is_err());
        assert!(AclIndex::read(&b"\x00\xff"[..], "zk:2181").is_err());
        let claims = |count: &str| {
            let head = r#"{"version":1,"source":"z","seed":[1,2],"acls":[[[],COUNT],[[],COUNT]]}"#;
            format!("{}\n", head.replace("COUNT", count)).into_bytes()
        };
        for count in ["8589934592", "18446744073709551615"] {
            let text = AclIndex::read(&claims(count)[..], "z").unwrap_err().to_string();
            assert!(text.contains("cut short"), "{text}");
        }
    }
}
