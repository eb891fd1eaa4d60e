//! One snapshot as a file of its own, and the znodes of a tree one by one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::acls;
use super::data_dirs::{file_name, open_file};
use super::jute::Input;
use super::paths::name_of;
use super::records::{lists, read_znode};
use super::snapshot::{self, Order};
use super::source::Source;
use super::touched::Touched;
use super::{Fault, FileError, FileTree, Kinds};
use crate::tree::{Acl, Kind, Stat};

/// Whether to go on is asked after so many bytes of znodes, each of which has so many beside its path and its data.
const ASKED: usize = 1 << 20;
const BESIDE: usize = 80;

/// One znode as the files have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileZnode<'a> {
    /// Where it is. One that is no UTF-8, which servers before 3.5 took, has U+FFFD in it.
    pub path: Cow<'a, str>,
    /// Its data; `None` is null.
    pub data: Option<&'a [u8]>,
    /// Its access control list; `None` if the snapshot lacks it, and only the logs after it have it.
    pub acl: Option<Acl>,
    /// How long it lives.
    pub kind: Kind,
    /// Its `Stat`, with the `ephemeralOwner` that no client is shown; `num_children` is 0, and `cversion` what a client is
    /// shown of a znode without children.
    pub stat: Stat,
}

/// What a snapshot adds up to that was loaded as a server does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadedSnapshot {
    /// Its znodes, the root and ephemeral ones included.
    pub znodes: u64,
    /// How many of each kind there are.
    pub kinds: Kinds,
    /// Whether the digest of its znodes is the one that it tells; `None` if it tells none of its own zxid.
    pub digest_agrees: Option<bool>,
}

/// A snapshot of any release since 3.4, packed or not, as a server has written it: fuzzy, if the server had something to
/// do meanwhile. [`gather`](super::gather) makes an exact state of it and the logs.
pub struct SnapshotFile {
    name: String,
    source: Source,
}

impl std::fmt::Debug for SnapshotFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotFile")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl SnapshotFile {
    /// Opens the snapshot at `path`.
    ///
    /// # Errors
    /// [`FileError`] if there is no such file, or it may not be read.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let name = file_name(path);
        let opened = open_file(path);
        let file = opened.map_err(|error| FileError::new(&name, 0, error.into()))?;
        Ok(Self {
            name,
            source: Source::File(Arc::new(Mutex::new(file))),
        })
    }

    /// The snapshot `name` in `file`, wherever that is.
    pub fn over(name: &str, file: impl Read + Seek + Send + 'static) -> Self {
        Self {
            name: name.to_owned(),
            source: Source::File(Arc::new(Mutex::new(file))),
        }
    }

    /// Loads all of it as a server does at its start, and says what it adds up to. Blocks. Holds what belongs to sessions, and of a
    /// snapshot that is not depth first eight bytes for each znode. Every byte is checked. `go_on` says after each megabyte of znodes whether to go
    /// on; `None` if not.
    ///
    /// # Errors
    /// [`FileError`] if anything about the file is damaged.
    pub fn load(&self, mut go_on: impl FnMut() -> bool) -> Result<Option<LoadedSnapshot>, FileError> {
        let zxid = self.name.strip_prefix("snapshot.");
        let zxid = zxid.and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let zxid = zxid.unwrap_or_default().cast_signed();
        let (mut unasked, mut is_stopped) = (0, false);
        let mut each = |shown: snapshot::Shown<'_>| {
            unasked += BESIDE + shown.path.len() + shown.data.map_or(0, <[u8]>::len);
            if unasked < ASKED {
                return Ok(());
            }
            unasked = 0;
            is_stopped = !go_on();
            if is_stopped { Err(ended()) } else { Ok(()) }
        };
        let loaded = snapshot::survey(&self.name, zxid, &self.source, &Touched::default(), &mut each);
        if is_stopped {
            return Ok(None);
        }
        let loaded = loaded?;
        let compared = loaded.digest.filter(|(at, _)| *at == zxid);
        Ok(Some(LoadedSnapshot {
            znodes: loaded.tree.len() as u64,
            kinds: loaded.tree.kinds(),
            digest_agrees: compared.map(|(_, digest)| digest == loaded.tree.digest()),
        }))
    }

    /// Shows every znode to `take`, in the file's order, which has parents before their children. Blocks. Holds eight
    /// bytes for each znode, and those that belong to sessions. Every byte is checked, the last ones after the last
    /// znode was shown.
    ///
    /// # Errors
    /// The first of `take`, after which it is shown nothing more, or [`FileError`] if anything about the file is damaged.
    pub fn for_each<E: From<FileError>>(
        &self,
        mut take: impl FnMut(FileZnode<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut known: HashMap<u32, Option<Acl>> = HashMap::new();
        let mut taken = Ok(());
        let mut each = |shown: snapshot::Shown<'_>| {
            let acl = known.entry(shown.acl);
            let acl = acl.or_insert_with(|| match shown.acls.list(shown.acl) {
                [] => None,
                list => acls::decode(list),
            });
            taken = take(FileZnode {
                path: text(shown.path),
                data: shown.data,
                acl: acl.clone(),
                kind: shown.kind,
                stat: shown.stat.shown(0),
            });
            if taken.is_err() { Err(ended()) } else { Ok(()) }
        };
        let read = snapshot::read(
            &self.name,
            0,
            &self.source,
            &Touched::default(),
            Order::any(),
            &mut each,
        );
        taken?;
        read.map(drop).map_err(E::from)
    }
}

impl FileTree {
    /// Shows every znode to `take`, in the order in which [`write`](Self::write) writes them. Blocks. Holds a few parts
    /// of the snapshot at a time.
    ///
    /// # Errors
    /// The first of `take`, after which it is shown nothing more, or [`FileError`] if the snapshot that the tree began with
    /// cannot be read once more.
    pub fn for_each<E: From<FileError>>(
        &self,
        mut take: impl FnMut(FileZnode<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut known: Option<HashMap<i64, Acl>> = None;
        let mut taken = Ok(());
        let written = self.write(|part, znodes| {
            let Some(known) = &known else {
                known = Some(lists(part).map_err(io::Error::other)?);
                return Ok(());
            };
            let mut input = Input::new(part);
            for _ in 0..znodes {
                let znode = read_znode(&mut input, &mut |path, data, acl, stat| {
                    Ok(take(FileZnode {
                        path: text(path),
                        data,
                        acl: known.get(&acl).cloned(),
                        kind: self.kind(stat.owner),
                        stat: stat.shown(0),
                    }))
                });
                taken = znode.map_err(io::Error::other)?;
                if taken.is_err() {
                    return Err(io::ErrorKind::Interrupted.into());
                }
            }
            Ok(())
        });
        taken?;
        written.map_err(|error| E::from(FileError::new(&self.file_name(), 0, error.into())))
    }
}

/// Ends a reading that is not to go on. Nobody is shown it.
fn ended() -> Fault {
    Fault::from(io::Error::from(io::ErrorKind::Interrupted))
}

fn text(path: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(path) {
        Ok("") => Cow::Borrowed("/"),
        Ok(path) => Cow::Borrowed(path),
        Err(_) => Cow::Owned(name_of(path)),
    }
}
