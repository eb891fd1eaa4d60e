//! Files from outside that may be a vault.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use zip::ZipArchive;

/// More files than any vault has.
const ENTRIES: usize = 64;
/// So many bytes the list of an archive may take.
const LIST: u64 = 64 << 10;
/// So much longer than in the archive a file may be, where it is longer than this.
const RATIO: u64 = 200;
const SMALL: u64 = 1 << 20;

/// Files by name, without directories. An error says why they are no vault.
pub(crate) trait Candidate {
    /// Names and lengths of all files.
    fn files(&mut self) -> io::Result<Vec<(String, u64)>>;

    /// Opens one of them.
    fn open(&mut self, name: &str) -> io::Result<Box<dyn Read + '_>>;
}

/// A zip archive.
pub(crate) struct Archive<R>(ZipArchive<R>);

impl<R: Read + Seek> Archive<R> {
    pub(crate) fn open(mut file: R) -> io::Result<Self> {
        check_list(&mut file)?;
        Ok(Self(ZipArchive::new(file)?))
    }
}

impl<R: Read + Seek> Candidate for Archive<R> {
    fn files(&mut self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for index in 0..self.0.len() {
            let entry = self.0.by_index(index)?;
            let name = entry.name()?.into_owned();
            let (bytes, packed) = (entry.size(), entry.compressed_size());
            if !entry.is_file() || entry.encrypted() {
                return Err(io::Error::other(format!("{} is no plain file", shown(&name))));
            }
            if bytes > SMALL && bytes / RATIO > packed {
                let name = shown(&name);
                return Err(io::Error::other(format!(
                    "{name} would have {bytes} bytes, and has {packed} in the archive: more than {RATIO} times"
                )));
            }
            files.push((name, bytes));
        }
        Ok(files)
    }

    fn open(&mut self, name: &str) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.0.by_name(name)?))
    }
}

/// What the end of an archive says of its list, before anything is made of it: an entry takes more memory than its line.
fn check_list(file: &mut (impl Read + Seek)) -> io::Result<()> {
    const END: [u8; 4] = *b"PK\x05\x06";
    const END_64: [u8; 4] = *b"PK\x06\x06";
    let length = file.seek(SeekFrom::End(0))?;
    let tail = length.min((1 << 16) + 22 + 20 + 56);
    file.seek(SeekFrom::Start(length - tail))?;
    let mut bytes = Vec::new();
    file.by_ref().take(tail).read_to_end(&mut bytes)?;
    file.seek(SeekFrom::Start(0))?;
    let number = |at: usize, width: usize| {
        let field = bytes.get(at..at + width)?;
        Some(
            field
                .iter()
                .rev()
                .fold(0_u64, |number, byte| number << 8 | u64::from(*byte)),
        )
    };
    let begins = |with: [u8; 4]| {
        let at = bytes.windows(4).enumerate();
        at.filter(move |(_, four)| *four == with).map(|(at, _)| at)
    };
    // Whichever of them a reader takes for the end.
    let ends = begins(END).map(|at| (number(at + 10, 2), number(at + 12, 4)));
    let ends_64 = begins(END_64).map(|at| (number(at + 32, 8), number(at + 40, 8)));
    let mut any = false;
    for (entries, list) in ends.chain(ends_64) {
        any = true;
        if entries.is_none_or(|entries| entries > ENTRIES as u64) || list.is_none_or(|list| list > LIST) {
            return Err(io::Error::other(format!(
                "it has more than {ENTRIES} files, or is cut"
            )));
        }
    }
    match any {
        true => Ok(()),
        false => Err(io::Error::other("it is no zip archive")),
    }
}

/// A directory. Links in it are not followed.
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// The directory `path` below `root`, and nothing that a link leads to outside of it.
    pub(crate) fn below(root: &Path, path: &str) -> io::Result<Self> {
        let parts = Path::new(path).components();
        let plain =
            parts.clone().count() > 0 && parts.clone().all(|part| matches!(part, Component::Normal(_)));
        if !plain {
            return Err(io::Error::other("a relative path without .. is expected"));
        }
        let (root, found) = (root.canonicalize()?, root.join(path).canonicalize()?);
        match found.starts_with(&root) && found != root && found.is_dir() {
            true => Ok(Self(found)),
            false => Err(io::Error::other("it is no directory there")),
        }
    }
}

impl Candidate for Directory {
    fn files(&mut self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if files.len() == ENTRIES {
                return Err(io::Error::other(format!("it has more than {ENTRIES} files")));
            }
            let file = open_file(&self.0.join(&name))
                .map_err(|error| io::Error::other(format!("{} is no plain file: {error}", shown(&name))))?;
            files.push((name, file.metadata()?.len()));
        }
        Ok(files)
    }

    fn open(&mut self, name: &str) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(open_file(&self.0.join(name))?))
    }
}

/// A plain file, and nothing that a link leads to or that would wait for somebody.
fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// A name from outside as it can be told.
pub(super) fn shown(name: &str) -> String {
    name.escape_debug().take(100).collect()
}
