//! Vaults hold everybody's secrets: what is below a storage is the owner's alone.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// What agents fill, who may be other users; it is empty between two backups.
const TMP: &str = "tmp";
/// Bits of the group and of others.
const FOREIGN: u32 = 0o077;

/// What was found open to others when a store was opened.
#[derive(Debug, Default)]
pub struct Tightened {
    /// How many files and directories were closed to all but their owner.
    pub closed: usize,
    /// Those that could not be, and why: they stay as they are.
    pub left_open: Vec<String>,
}

pub(crate) fn no_follow() -> OpenOptions {
    let mut options = OpenOptions::new();
    // Not blocking either, should somebody plant a pipe.
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

pub(crate) fn create_directories(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).recursive(true).create(path)
}

/// A file that is not there yet.
pub(crate) fn create_file(path: &Path) -> io::Result<File> {
    no_follow().write(true).create_new(true).mode(0o600).open(path)
}

/// Takes every permission of group and others from `root` and all below it, but for what agents fill. Follows no link.
pub(crate) fn tighten(root: &Path) -> Tightened {
    let mut done = Tightened::default();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let mut note = |path: &Path, error: &io::Error| {
            done.left_open.push(format!("{}: {error}", path.display()));
        };
        let found = match fs::symlink_metadata(&path) {
            Ok(found) => found,
            Err(error) => {
                note(&path, &error);
                continue;
            }
        };
        if found.is_symlink() {
            continue;
        }
        if found.permissions().mode() & FOREIGN != 0 {
            match close(&path, &found) {
                Ok(()) => done.closed += 1,
                Err(error) => note(&path, &error),
            }
        }
        if found.is_dir() {
            match fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
                Ok(entries) => {
                    let below = entries.iter().map(fs::DirEntry::path);
                    waiting.extend(below.filter(|below| *below != root.join(TMP)));
                }
                // Another user's own, such as `lost+found`: nobody else gets in there.
                Err(error)
                    if error.kind() == io::ErrorKind::PermissionDenied
                        && found.permissions().mode() & FOREIGN == 0 => {}
                Err(error) => note(&path, &error),
            }
        }
    }
    done
}

/// By an open file, so that a link that is planted meanwhile is not followed.
fn close(path: &Path, found: &Metadata) -> io::Result<()> {
    let kind = if found.is_dir() {
        OFlags::DIRECTORY
    } else {
        OFlags::empty()
    };
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | kind;
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    file.set_permissions(Permissions::from_mode(mode & !FOREIGN))
}
