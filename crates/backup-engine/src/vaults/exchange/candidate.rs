//! Files from outside that may be a vault.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use vault_store::check_zip_list;
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
    /// The names of all that is in it.
    fn names(&mut self) -> io::Result<Vec<String>>;

    /// Names and lengths of all files.
    fn files(&mut self) -> io::Result<Vec<(String, u64)>>;

    /// Opens one of them.
    fn open(&mut self, name: &str) -> io::Result<Box<dyn Read + '_>>;
}

/// A zip archive.
pub(crate) struct Archive<R>(ZipArchive<R>);

impl<R: Read + Seek> Archive<R> {
    pub(crate) fn open(mut file: R) -> io::Result<Self> {
        if is_gzip(&mut file)? {
            let why =
                "it is a gzip file (.gz, .tgz), and what is taken is a zip archive, as a backup is exported";
            return Err(io::Error::other(why));
        }
        let entries = check_zip_list(&mut file, ENTRIES, LIST)?;
        let archive = ZipArchive::new(file)?;
        match archive.len() as u64 == entries {
            true => Ok(Self(archive)),
            false => Err(io::Error::other("its list is not what its end says")),
        }
    }
}

impl<R: Read + Seek> Candidate for Archive<R> {
    fn names(&mut self) -> io::Result<Vec<String>> {
        let names = (0..self.0.len()).map(|index| Ok(self.0.by_index_data(index)?.name()?.into_owned()));
        names.collect()
    }

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
    fn names(&mut self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.0)?.take(ENTRIES as usize);
        entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

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

fn is_gzip(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    let mut begin = Vec::new();
    file.rewind()?;
    file.take(2).read_to_end(&mut begin)?;
    Ok(begin == [0x1f, 0x8b])
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
