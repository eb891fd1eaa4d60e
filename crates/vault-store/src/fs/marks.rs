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

/// Whether the predecessor left this directory. One that has, or had, a manifest of ours is ours, whatever else lies in it.
pub(super) fn are_in(directory: &Path) -> bool {
    let there = |name: &str| fs::symlink_metadata(directory.join(name)).is_ok();
    !there(MANIFEST) && !there(CHECKSUM) && MARKS.into_iter().any(there)
}
