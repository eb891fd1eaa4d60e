//! `znodes.zip`: a directory for each znode, and its data in a file `content` where it has any.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::io::{self, Read, Seek};
use std::sync::Mutex;

use vault_store::{Predecessor, Reader, StoreError, check_zip_list};
use zip::ZipArchive;
use zk_snapshot::archive::{ArchiveError, Outline, Record, RecordSource, Role};
use zk_snapshot::tree::{Acl, Stat, ZnodePath};

use super::code_page;
use crate::lock::lock;

/// The file with the data of a znode. Whatever else is in an archive is a directory.
const CONTENT: &str = "content";
/// No content is longer, in UTF-8.
const LONGEST: u64 = 64 << 20;
/// Nothing is packed more than so many times.
const RATIO: u64 = 1_032;
/// A frame is closed once it has so many znodes, or bytes of content.
const FRAME_ZNODES: usize = 1_000;
const FRAME_BYTES: u64 = 1 << 20;

/// The znodes of an archive, whose list is held and whose contents are read when they are asked for.
pub(super) struct Znodes {
    archive: Mutex<ZipArchive<Reader>>,
    frames: Vec<Vec<Place>>,
    znodes: usize,
}

/// A znode, and where its data are.
struct Place {
    path: ZnodePath,
    role: Role,
    content: Option<usize>,
}

impl Znodes {
    /// Reads the list of an archive. Names that are those of no znode, that come twice, and contents that cannot be true are damage.
    /// With `roots`, what is not within one of them is only above it. Blocks.
    pub(super) fn open(mut file: Reader, roots: Option<&[String]>) -> Result<Self, ArchiveError> {
        let length = file.seek(io::SeekFrom::End(0))?;
        let entries =
            check_zip_list(&mut file, Predecessor::ENTRIES, Predecessor::LIST).map_err(damage_or_io)?;
        let archive = ZipArchive::new(file).map_err(|error| damage_or_io(error.into()))?;
        if archive.len() as u64 != entries {
            return Err(damage(
                "a name is in it twice, or its list is not what its end says",
            ));
        }
        let list = list(&archive, length)?;
        if list.len() == 1 {
            return Err(damage(Predecessor::NOTHING));
        }
        let (mut frames, mut frame, mut bytes) = (Vec::new(), Vec::new(), 0);
        let znodes = list.len();
        let roots: Option<HashSet<&str>> = roots.map(|roots| roots.iter().map(String::as_str).collect());
        for (path, found) in list {
            let is_within = |roots: &HashSet<&str>| {
                roots.contains(path.as_str())
                    || path
                        .ancestors()
                        .iter()
                        .any(|above| roots.contains(above.as_str()))
            };
            let role = match roots.as_ref().is_none_or(is_within) {
                true => Role::Captured,
                false => Role::Ancestor,
            };
            let (content, size) = found.map_or((None, 0), |(index, size)| (Some(index), size));
            frame.push(Place { path, role, content });
            bytes += size;
            if frame.len() == FRAME_ZNODES || bytes >= FRAME_BYTES {
                frames.push(std::mem::take(&mut frame));
                bytes = 0;
            }
        }
        if !frame.is_empty() {
            frames.push(frame);
        }
        Ok(Self {
            archive: Mutex::new(archive),
            frames,
            znodes,
        })
    }

    fn places(&self, index: usize) -> Result<&[Place], ArchiveError> {
        self.frames
            .get(index)
            .map(Vec::as_slice)
            .ok_or(ArchiveError::NoSuchFrame(index))
    }
}

/// Each znode with the place of its content and the size of that, parents first.
type List = BTreeMap<ZnodePath, Option<(usize, u64)>>;

fn list(archive: &ZipArchive<Reader>, length: u64) -> Result<List, ArchiveError> {
    let mut znodes = List::from([(ZnodePath::root(), None)]);
    let mut unpacked = 0_u64;
    for index in 0..archive.len() {
        let entry = archive.by_index_data(index).map_err(damage)?;
        let name = entry.name().map_err(damage)?;
        let no_znode = |why: &dyn Display| {
            let shown: String = name.escape_debug().take(100).collect();
            damage(format!("{shown} is in it, which stands for no znode: {why}"))
        };
        if entry.encrypted() || entry.is_symlink() {
            return Err(no_znode(&"it is a link, or encrypted"));
        }
        let (path, content) = match name.strip_suffix('/') {
            Some(path) => (path, None),
            None if name == CONTENT => ("", Some(entry.size())),
            None => match name.strip_suffix(CONTENT).and_then(|path| path.strip_suffix('/')) {
                Some(path) => (path, Some(entry.size())),
                None => return Err(no_znode(&"it is a file, and not called content")),
            },
        };
        let path = ZnodePath::parse(&format!("/{path}")).map_err(|error| no_znode(&error))?;
        if let Some(size) = content {
            unpacked = unpacked.saturating_add(size);
            if size > LONGEST || unpacked / RATIO > length {
                return Err(no_znode(&format!("{size} bytes are said to be there")));
            }
        }
        let mut above = path.parent();
        match znodes.entry(path) {
            Entry::Occupied(mut there) => match (there.get(), content) {
                (None, Some(size)) => drop(there.insert(Some((index, size)))),
                (_, None) => {}
                (Some(_), Some(_)) => return Err(no_znode(&"it is there twice")),
            },
            Entry::Vacant(free) => drop(free.insert(content.map(|size| (index, size)))),
        }
        // Other programs that pack leave directories out.
        while let Some(path) = above
            && !znodes.contains_key(&path)
        {
            above = path.parent();
            znodes.insert(path, None);
        }
    }
    Ok(znodes)
}

impl RecordSource for Znodes {
    fn frames(&self) -> usize {
        self.frames.len()
    }

    fn records(&self) -> usize {
        self.znodes
    }

    fn frame(&self, index: usize) -> Result<Vec<Record>, ArchiveError> {
        let places = self.places(index)?;
        let mut archive = lock(&self.archive);
        let records = places.iter().map(|place| {
            let data = match place.content {
                None => Vec::new(),
                Some(content) => read(&mut archive, content).map_err(|error| match error {
                    ArchiveError::Unframed(why) => {
                        ArchiveError::Unframed(format!("the data of {}: {why}", place.path))
                    }
                    error => error,
                })?,
            };
            Ok(Record {
                path: place.path.clone(),
                role: place.role,
                data,
                acl: Acl::unknown(),
                stat: Stat::default(),
            })
        });
        records.collect()
    }

    fn outline(&self, index: usize) -> Result<Vec<Outline>, ArchiveError> {
        let places = self.places(index)?.iter();
        Ok(places
            .map(|place| Outline {
                path: place.path.clone(),
                role: place.role,
            })
            .collect())
    }
}

/// The data whose content is at `index`. No more is unpacked than its size says.
fn read(archive: &mut ZipArchive<Reader>, index: usize) -> Result<Vec<u8>, ArchiveError> {
    let file = archive
        .by_index(index)
        .map_err(|error| damage_or_io(error.into()))?;
    let size = file.size();
    let mut text = Vec::new();
    file.take(size + 1).read_to_end(&mut text).map_err(damage_or_io)?;
    if text.len() as u64 != size {
        return Err(damage(format!("{} bytes of {size} are there", text.len())));
    }
    code_page::bytes(&text).ok_or_else(|| damage("they are not in code page 437"))
}

fn damage(why: impl Display) -> ArchiveError {
    ArchiveError::Unframed(why.to_string())
}

/// What the storage says is its error; everything else is wrong with the archive.
fn damage_or_io(error: io::Error) -> ArchiveError {
    let is_storages = error.get_ref().is_some_and(|inner| inner.is::<StoreError>());
    match is_storages {
        true => ArchiveError::Io(error),
        false => damage(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use vault_store::{Manifest, MemoryStore, Mode, Outcome, VaultId, VaultStore, ZNODES};
    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;

    fn packed(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in entries {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn opened(bytes: &[u8]) -> Result<Znodes, ArchiveError> {
        opened_of(bytes, None)
    }

    fn opened_of(bytes: &[u8], roots: Option<&[String]>) -> Result<Znodes, ArchiveError> {
        let (store, id) = (MemoryStore::new(), "20240105T100000".parse::<VaultId>().unwrap());
        let mut stage = store.stage(&id).unwrap();
        let files = vec![stage.put(&ZNODES, bytes).unwrap()];
        let manifest = Manifest::new(&id, Mode::Hierarchical, id.time(), Outcome::Complete);
        stage.commit(&Manifest { files, ..manifest }).unwrap();
        Znodes::open(Reader::new(store.open(&id, &ZNODES).unwrap()), roots)
    }

    fn refused(bytes: &[u8]) -> String {
        match opened(bytes) {
            Err(error) => error.to_string(),
            Ok(znodes) => znodes.frame(0).unwrap_err().to_string(),
        }
    }

    /// The list is at the end of an archive; what it says of the first entry, in four bytes at `field`.
    fn saying(entries: &[(&str, &str)], field: usize, number: u32) -> Vec<u8> {
        let mut bytes = packed(entries);
        let list = bytes.windows(4).rposition(|part| part == b"PK\x01\x02").unwrap();
        bytes[list + field..][..4].copy_from_slice(&number.to_le_bytes());
        bytes
    }

    #[test]
    fn a_name_in_code_page_437_and_one_without_a_directory_are_znodes() {
        let mut bytes = packed(&[("gr-n/content", "1"), ("a/b/content", "2")]);
        for at in 0..bytes.len() {
            if bytes[at..].starts_with(b"gr-n") {
                bytes[at + 2] = 0x81; // ü
            }
        }
        let znodes = opened(&bytes).unwrap();
        let paths: Vec<_> = znodes
            .frame(0)
            .unwrap()
            .into_iter()
            .map(|record| record.path.to_string())
            .collect();
        assert_eq!(znodes.records(), 4);
        assert_eq!(paths, ["/", "/a", "/a/b", "/grün"].map(str::to_owned));
    }

    #[test]
    fn what_is_above_the_roots_is_only_that() {
        let bytes = packed(&[
            ("a/b/content", "1"),
            ("a/b/c/content", "2"),
            ("a/bb/content", "3"),
        ]);
        let znodes = opened_of(&bytes, Some(&["/a/b".to_owned()])).unwrap();
        let records = znodes.frame(0).unwrap();
        let roles: Vec<_> = records
            .iter()
            .map(|record| (record.path.as_str(), record.role))
            .collect();
        let (above, captured) = (Role::Ancestor, Role::Captured);
        let expected = [
            ("/", above),
            ("/a", above),
            ("/a/b", captured),
            ("/a/b/c", captured),
            ("/a/bb", above),
        ];
        assert_eq!(roles, expected);
    }

    #[test]
    fn what_an_archive_claims_is_not_believed() {
        const SIZE: usize = 24;
        let one = [("a/content", "text")];
        assert!(opened(&packed(&one)).is_ok());
        for (size, what) in [
            (u32::MAX - 1, "are said to be there"),
            (1 << 20, "are said to be there"),
            (3, "the data of /a"),
            (5, "the data of /a"),
        ] {
            let told = refused(&saying(&one, SIZE, size));
            assert!(told.contains(what), "{size}: {told}");
        }
        let mut twice = packed(&[("a/content", "1"), ("b/content", "2")]);
        for at in 0..twice.len() {
            if twice[at..].starts_with(b"b/content") {
                twice[at] = b'a';
            }
        }
        assert!(refused(&twice).contains("twice"), "{}", refused(&twice));
        let whole = packed(&one);
        for cut in [0, 10, whole.len() - 1] {
            assert!(opened(&whole[..cut]).is_err(), "{cut}");
        }
    }
}
