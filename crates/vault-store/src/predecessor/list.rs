//! What the list of an archive of the predecessor tells, without its contents.

use std::collections::{BTreeMap, HashSet};
use std::io;

use zip::ZipArchive;

use crate::{Predecessor, Reader, check_zip_list};

/// The root znodes of a granular backup: it does not say what it was asked for. A znode that has znodes below it and no content may be one that was
/// made for those alone, and so the first below it are named in its place.
pub(super) fn roots(mut file: Reader) -> io::Result<Vec<String>> {
    let entries = check_zip_list(&mut file, Predecessor::ENTRIES, Predecessor::LIST)?;
    let archive = ZipArchive::new(file)?;
    if archive.len() as u64 != entries {
        return Err(io::Error::other(
            "a name is in it twice, or its list is not what its end says",
        ));
    }
    let mut znodes: BTreeMap<String, bool> = BTreeMap::new();
    for name in archive.file_names() {
        let name = name?;
        // What is neither a directory nor a content in one is told when the archive is opened.
        let (path, has_content) = match (name.strip_suffix('/'), name.rsplit_once('/')) {
            (Some(path), _) => (path, false),
            (None, Some((path, _))) => (path, true),
            (None, None) => continue,
        };
        *znodes.entry(path.to_owned()).or_default() |= has_content;
        let mut rest = path;
        while let Some((above, _)) = rest.rsplit_once('/') {
            znodes.entry(above.to_owned()).or_default();
            rest = above;
        }
    }
    let parent = |path: &'_ String| path.rsplit_once('/').map(|(above, _)| above.to_owned());
    let parents: HashSet<_> = znodes.keys().filter_map(parent).collect();
    let (mut above, mut roots) = (HashSet::new(), Vec::new());
    // Parents come before their children.
    for (path, has_content) in znodes {
        if parent(&path).is_some_and(|parent| !above.contains(&parent)) {
            continue;
        }
        if !has_content && parents.contains(&path) {
            above.insert(path);
        } else {
            roots.push(format!("/{path}"));
        }
    }
    match roots.iter().all(|root| root == "/") {
        true => Err(io::Error::other(Predecessor::NOTHING)),
        false => Ok(roots),
    }
}

/// An error where an archive is none, or holds nothing.
pub(super) fn check(mut file: Reader) -> io::Result<()> {
    /// The root has no more: itself, and its content.
    const OF_ROOT: u64 = 2;
    match check_zip_list(&mut file, Predecessor::ENTRIES, Predecessor::LIST)? {
        0..=OF_ROOT => roots(file).map(drop),
        _ => Ok(()),
    }
}
