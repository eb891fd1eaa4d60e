//! Paths as the files have them: bytes, of which those of the root are none.

use crate::tree::ZnodePath;

/// `path`'s parent as the tree knows it.
pub(super) fn parent(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    Some(&path[..slash])
}

pub(super) fn name_of(path: &[u8]) -> String {
    match path {
        [] => "/".to_owned(),
        path => String::from_utf8_lossy(path).into_owned(),
    }
}

pub(super) fn path_of(bytes: &[u8]) -> Option<ZnodePath> {
    match bytes {
        [] => Some(ZnodePath::root()),
        bytes => ZnodePath::parse(std::str::from_utf8(bytes).ok()?).ok(),
    }
}

/// The path as a tree knows it.
pub(super) fn bytes_of(path: &ZnodePath) -> &[u8] {
    match path.as_str().as_bytes() {
        b"/" => b"",
        path => path,
    }
}
