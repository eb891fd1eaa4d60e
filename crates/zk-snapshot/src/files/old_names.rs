//! Names that servers before 3.5 took, and that stay where they are: no later server is sent them.

use super::paths::{name_of, path_of};

/// How many are named.
pub(super) const NAMED: usize = 20;

/// Znodes with such names.
#[derive(Debug, Clone, Default)]
pub(super) struct OldNames {
    pub(super) count: u64,
    /// The first of them.
    pub(super) paths: Vec<String>,
}

impl OldNames {
    /// Counts `path` if it is one. What is above it is a znode as well, and looked at as such.
    pub(super) fn look_at(&mut self, path: &[u8]) {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let is_usual = name.iter().all(|byte| (0x20..0x7f).contains(byte)) && !name.starts_with(b".");
        if is_usual || path_of(path).is_some() {
            return;
        }
        self.count += 1;
        if self.paths.len() < NAMED {
            self.paths.push(name_of(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_client_may_send_is_counted() {
        let mut names = OldNames::default();
        for path in ["", "/a/b c", "/.hidden", "/a/...", "/ł", "/a/%2e"] {
            names.look_at(path.as_bytes());
        }
        assert_eq!(names.count, 0, "{:?}", names.paths);
        for path in [&b"/a\x01b"[..], b"/..", b"/a/.", b"/a\xffb", b"/\xc2\x80"] {
            names.look_at(path);
        }
        assert_eq!(names.count, 5, "{:?}", names.paths);
    }
}
