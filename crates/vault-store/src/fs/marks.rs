//! What tells the directory of a backup of the Qubership backup daemon from one of ours.

use std::fs;
use std::path::Path;

use crate::{CHECKSUM, MANIFEST};

/// It leaves at least one of these in each.
const MARKS: [&str; 8] = [
    "znodes.zip",
    ".metrics",
    ".lock",
    ".console",
    ".failed",
    ".canceled",
    ".custom_vars",
    ".evictlock",
];

/// Whether a manifest of ours is in the directory, or was.
pub(super) fn are_ours_in(directory: &Path) -> bool {
    [MANIFEST, CHECKSUM].iter().any(|name| is_in(directory, name))
}

/// Whether a mark of the predecessor is in it.
pub(super) fn are_theirs_in(directory: &Path) -> bool {
    MARKS.iter().any(|name| is_in(directory, name))
}

fn is_in(directory: &Path, name: &str) -> bool {
    fs::symlink_metadata(directory.join(name)).is_ok()
}
