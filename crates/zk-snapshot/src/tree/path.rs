//! The path of a znode, checked by ZooKeeper's own rules.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How deep znodes are in reach of captures and restores, and how long their paths, in bytes.
const DEEPEST: usize = 1 << 12;
const LONGEST: usize = 1 << 18;

/// An absolute znode path that a ZooKeeper server would accept.
///
/// The rules are those of ZooKeeper's own path check: it starts with `/`, does not end with one (but for the
/// root itself), has no empty, `.` or `..` part, and none of the characters U+0000–U+001F, U+007F–U+009F,
/// U+E000–U+F8FF and U+FFF0–U+FFFF. Paths order byte by byte, so a parent sorts before its children.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String, example = "/app/config", description = "The path of a znode."))]
pub struct ZnodePath(String);

/// Why a text is not a znode path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is not a znode path: {why}")]
#[non_exhaustive]
pub struct PathError {
    /// The text that was refused.
    pub path: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl ZnodePath {
    /// The root, `/`.
    #[must_use]
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Checks `text` by ZooKeeper's rules.
    ///
    /// # Errors
    /// [`PathError`] with the first rule that is broken.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let refuse = |why| {
            Err(PathError {
                path: text.to_owned(),
                why,
            })
        };
        if text == "/" {
            return Ok(Self::root());
        }
        let Some(rest) = text.strip_prefix('/') else {
            return refuse("it does not start with '/'");
        };
        for part in rest.split('/') {
            match part {
                "" => return refuse("it has an empty part"),
                "." | ".." => return refuse("it has a '.' or '..' part"),
                _ => {}
            }
            if part.chars().any(forbidden) {
                return refuse("it has a character that ZooKeeper does not allow");
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// A root znode as the REST API names it: the leading slash may be left out.
    ///
    /// # Errors
    /// [`PathError`] as for [`ZnodePath::parse`]; the root itself is refused too.
    pub fn parse_relative(text: &str) -> Result<Self, PathError> {
        let rest = text.strip_prefix('/').unwrap_or(text);
        Self::parse(&format!("/{rest}"))
            .and_then(|path| {
                if path.is_root() {
                    Err(PathError {
                        path: String::new(),
                        why: "it is empty",
                    })
                } else {
                    Ok(path)
                }
            })
            .map_err(|error| PathError {
                path: text.to_owned(),
                ..error
            })
    }

    /// The path as ZooKeeper writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `/`.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// The last part of the path; empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(_, name)| name)
    }

    /// The parent, or `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        match self.0.rsplit_once('/') {
            _ if self.is_root() => None,
            Some(("", _)) | None => Some(Self::root()),
            Some((parent, _)) => Some(Self(parent.to_owned())),
        }
    }

    /// The number of parts: 0 for the root, 2 for `/a/b`.
    #[must_use]
    pub fn depth(&self) -> usize {
        if self.is_root() {
            0
        } else {
            self.0.matches('/').count()
        }
    }

    /// Whether captures look at it and restores delete it: a server that deceives could show deeper and longer paths for
    /// ever.
    pub(crate) fn is_in_reach(&self) -> bool {
        self.0.len() <= LONGEST && self.depth() <= DEEPEST
    }

    /// The child of this znode called `name`.
    ///
    /// # Errors
    /// [`PathError`] if `name` is not one valid part.
    pub fn child(&self, name: &str) -> Result<Self, PathError> {
        if name.is_empty() || name.contains('/') {
            return Err(PathError {
                path: name.to_owned(),
                why: "a znode's name is not empty, and has no '/'",
            });
        }
        let prefix = if self.is_root() { "" } else { &self.0 };
        Self::parse(&format!("{prefix}/{name}"))
    }

    /// Whether `self` is `root` or lies below it.
    #[must_use]
    pub fn is_within(&self, root: &Self) -> bool {
        root.is_root()
            || self
                .0
                .strip_prefix(&root.0)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// `self` moved from below `from` to below `to`; unchanged if it is not within `from`.
    #[must_use]
    pub fn rebased(&self, from: &Self, to: &Self) -> Self {
        if !self.is_within(from) || from.is_root() || to.is_root() {
            return self.clone();
        }
        Self(format!("{}{}", to.0, &self.0[from.0.len()..]))
    }

    /// Where this is in the whole tree, for a client whose root is `chroot`.
    #[must_use]
    pub fn below(&self, chroot: &Self) -> Self {
        match (chroot.is_root(), self.is_root()) {
            (true, _) => self.clone(),
            (_, true) => chroot.clone(),
            _ => Self(format!("{}{}", chroot.0, self.0)),
        }
    }

    /// How a client whose root is `chroot` names this; `None` if it is not below it.
    #[must_use]
    pub fn seen_from(&self, chroot: &Self) -> Option<Self> {
        if chroot.is_root() {
            return Some(self.clone());
        }
        match self.0.strip_prefix(&chroot.0)? {
            "" => Some(Self::root()),
            rest if rest.starts_with('/') => Some(Self(rest.to_owned())),
            _ => None,
        }
    }

    /// All proper ancestors except the root, outermost first.
    #[must_use]
    pub fn ancestors(&self) -> Vec<Self> {
        let mut found: Vec<_> = std::iter::successors(self.parent(), Self::parent)
            .take_while(|path| !path.is_root())
            .collect();
        found.reverse();
        found
    }
}

fn forbidden(c: char) -> bool {
    matches!(c, '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}')
}

impl FromStr for ZnodePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for ZnodePath {
    type Error = PathError;

    fn try_from(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for ZnodePath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        Self::parse(&text)
    }
}

impl From<ZnodePath> for String {
    fn from(path: ZnodePath) -> Self {
        path.0
    }
}

impl fmt::Display for ZnodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ZnodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
