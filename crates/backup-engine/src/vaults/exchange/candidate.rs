//! Files from outside that may be a vault.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use zip::ZipArchive;

/// More files than any vault has.
const ENTRIES: u64 = 64;
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
        let entries = check_list(&mut file, ENTRIES, LIST)?;
        let archive = ZipArchive::new(file)?;
        match archive.len() as u64 == entries {
            true => Ok(Self(archive)),
            false => Err(io::Error::other("its list is not what its end says")),
        }
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

/// How many files the end of an archive says that there are, before anything is made of their list: an entry takes more memory than its line. Refused are
/// more than `most`, and a list of more than `longest` bytes.
///
/// The end is the last that there is, without a comment, and the list is right before it. Then no reader looks for another one,
/// whatever the files have in them.
pub(crate) fn check_list(file: &mut (impl Read + Seek), most: u64, longest: u64) -> io::Result<u64> {
    const END: u64 = 22;
    const LOCATOR: u64 = 20;
    const END_64: u64 = 56;
    let none = || io::Error::other("it is no zip archive, is cut, or has something behind its list");
    let at = file.seek(SeekFrom::End(0))?.checked_sub(END).ok_or_else(none)?;
    let end = piece(file, at, END)?;
    if !end.starts_with(b"PK\x05\x06") || number(&end[20..]) != 0 {
        return Err(none());
    }
    let told = [number(&end[10..12]), number(&end[12..16]), number(&end[16..20])];
    let locator = match at.checked_sub(LOCATOR) {
        Some(at) => Some(piece(file, at, LOCATOR)?).filter(|bytes| bytes.starts_with(b"PK\x06\x07")),
        None => None,
    };
    let ([entries, list, begin], end) = match locator {
        None => (told, at),
        Some(locator) => {
            let at = number(&locator[8..16]);
            let end = piece(file, at, END_64).map_err(|_| none())?;
            let told_64 = [number(&end[32..40]), number(&end[40..48]), number(&end[48..56])];
            let full = [u64::from(u16::MAX), u64::from(u32::MAX), u64::from(u32::MAX)];
            let agree = (0..3).all(|field| [full[field], told_64[field]].contains(&told[field]));
            if !end.starts_with(b"PK\x06\x06") || !agree {
                return Err(none());
            }
            (told_64, at)
        }
    };
    if entries > most || list > longest {
        return Err(io::Error::other(format!("it has more than {most} files")));
    }
    match begin.checked_add(list) == Some(end) {
        true => Ok(entries),
        false => Err(none()),
    }
}

fn piece(file: &mut (impl Read + Seek), at: u64, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.by_ref().take(length).read_to_end(&mut bytes)?;
    match bytes.len() as u64 == length {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A number as archives have it, the lowest byte first.
fn number(field: &[u8]) -> u64 {
    let digits = field.iter().rev();
    digits.fold(0, |number, byte| number << 8 | u64::from(*byte))
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
            if files.len() as u64 == ENTRIES {
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
