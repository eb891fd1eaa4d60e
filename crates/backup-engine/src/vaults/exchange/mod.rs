//! Vaults that leave the store as archives, and come back from archives and directories.

mod candidate;
mod export;
mod import;
mod strangers;

pub(crate) use self::candidate::{Archive, Directory};
pub use self::export::Export;
pub use self::import::ImportOptions;
pub(crate) use self::import::{adopt, import};

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// The SHA-256 of some bytes in lower-case hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}
