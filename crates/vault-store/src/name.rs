//! The names of files in a vault.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The store's own file: what the others must be.
pub const MANIFEST: &str = "manifest.json";
/// The store's own file: the SHA-256 of the manifest.
pub const CHECKSUM: &str = "manifest.json.sha256";
/// The store's own file: the last check of the vault.
pub const VERIFIED: &str = "verified.json";

/// The name of a file in a vault: a store can use it as it is, in a path, a key or an address.
///
/// It has 1 to [`MAX_BYTES`](Self::MAX_BYTES) characters: ASCII letters, digits, `.`, `-` and `_`, the first a letter
/// or a digit. Refused are
/// - separators and whatever a place may read otherwise: `/`, `\`, spaces, control characters, all that is not ASCII;
/// - hidden and relative names, which begin with a dot, and those that look like an option, with `-`;
/// - longer ones, since a place may add to a name and has a bound of its own;
/// - the store's own: whatever begins with `manifest.json` or `verified.json` ([`MANIFEST`], [`CHECKSUM`], [`VERIFIED`],
///   and what is written on the way to them). A store may keep them beside the files.
///
/// Names that differ in case are different.
///
/// ```
/// use vault_store::FileName;
///
/// const ARCHIVE: FileName = FileName::from_static("archive.zst");
/// let name: FileName = "archive.zst".parse()?;
/// assert_eq!(name, ARCHIVE);
/// assert!("../archive.zst".parse::<FileName>().is_err());
/// # Ok::<(), vault_store::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(Cow<'static, str>);

/// A text cannot be the name of a file in a vault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{name:?} cannot be the name of a file in a backup: {why}")]
pub struct NameError {
    /// The text.
    pub name: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl FileName {
    /// The longest name.
    pub const MAX_BYTES: usize = 100;

    /// A name that is written in the program.
    ///
    /// # Panics
    /// If it is none; in a `const` the program does not compile then.
    #[must_use]
    #[allow(clippy::panic)]
    pub const fn from_static(name: &'static str) -> Self {
        match refusal(name) {
            None => Self(Cow::Borrowed(name)),
            Some(why) => panic!("{}", why),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no name.
const fn refusal(name: &str) -> Option<&'static str> {
    let bytes = name.as_bytes();
    if bytes.is_empty() {
        return Some("it is empty");
    }
    if bytes.len() > FileName::MAX_BYTES {
        return Some("it has more than 100 characters");
    }
    if !bytes[0].is_ascii_alphanumeric() {
        return Some("it does not begin with an ASCII letter or digit");
    }
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_alphanumeric() && !matches!(bytes[at], b'.' | b'-' | b'_') {
            return Some("it has something else than ASCII letters, digits, '.', '-' and '_'");
        }
        at += 1;
    }
    if begins_with(bytes, MANIFEST.as_bytes()) || begins_with(bytes, VERIFIED.as_bytes()) {
        return Some("it is the store's own");
    }
    None
}

const fn begins_with(text: &[u8], prefix: &[u8]) -> bool {
    let mut at = 0;
    while at < prefix.len() {
        if at == text.len() || text[at] != prefix[at] {
            return false;
        }
        at += 1;
    }
    true
}

impl TryFrom<String> for FileName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        match refusal(&name) {
            None => Ok(Self(Cow::Owned(name))),
            Some(why) => Err(NameError { name, why }),
        }
    }
}

impl TryFrom<&str> for FileName {
    type Error = NameError;

    fn try_from(name: &str) -> Result<Self, NameError> {
        name.to_owned().try_into()
    }
}

impl FromStr for FileName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        name.try_into()
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> Self {
        name.0.into_owned()
    }
}

impl AsRef<str> for FileName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for FileName {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_place_could_read_otherwise_is_no_name() {
        let long = "x".repeat(101);
        for (bad, why) in [
            ("", "empty"),
            (".", "begin"),
            ("..", "begin"),
            ("../x", "begin"),
            ("/etc/passwd", "begin"),
            (".hidden", "begin"),
            ("-rf", "begin"),
            ("_", "begin"),
            ("ü", "begin"),
            ("a/b", "something else"),
            ("a\\b", "something else"),
            ("a b", "something else"),
            ("a\0b", "something else"),
            ("a\n", "something else"),
            ("aü", "something else"),
            ("a%2f", "something else"),
            ("manifest.json", "store's own"),
            ("manifest.json.sha256", "store's own"),
            ("manifest.json.new", "store's own"),
            ("verified.json", "store's own"),
            ("verified.json.new", "store's own"),
            (&long, "100"),
        ] {
            let refused = bad.parse::<FileName>().unwrap_err();
            assert_eq!(refused.name, bad);
            assert!(refused.to_string().contains(why), "{refused}");
            let json = serde_json::to_string(bad).unwrap();
            assert!(serde_json::from_str::<FileName>(&json).is_err(), "{bad:?}");
        }
        for good in [
            "a",
            "0",
            "archive.zst",
            "snapshot.1f",
            "a..b",
            "A-b_c.",
            "verified",
            &long[1..],
        ] {
            let name: FileName = good.parse().unwrap();
            assert_eq!((name.to_string().as_str(), name.as_ref()), (good, good));
        }
    }
}
