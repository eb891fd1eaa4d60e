//! What differs, as `GET /diff` has it: in pages.

use serde::Deserialize;

use super::answers::Told;
use crate::exit::Failure;

/// What differs.
#[derive(Debug, Clone, Default, Deserialize)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct Diff {
    pub added: u64,
    pub removed: u64,
    pub data_changed: u64,
    pub acl_changed: u64,
    pub unknown: u64,
    #[serde(default)]
    pub unknown_paths: Vec<String>,
    /// The subtrees that were compared. `None` for everything, and of an older server.
    #[serde(default)]
    pub within: Option<Vec<String>>,
    pub(crate) differences: Vec<Difference>,
}

impl Diff {
    /// How much differs, and how.
    pub(crate) fn counts(&self) -> [u64; 5] {
        [
            self.added,
            self.removed,
            self.data_changed,
            self.acl_changed,
            self.unknown,
        ]
    }

    /// How many differences are counted.
    pub(crate) fn counted(&self) -> u64 {
        self.added + self.removed + self.data_changed + self.acl_changed
    }
}

/// A znode that differs, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Difference {
    pub(crate) path: String,
    pub(crate) change: String,
}

impl Difference {
    /// Whether its data differ, and it is there on both sides.
    pub(crate) fn has_other_data(&self) -> bool {
        matches!(&*self.change, "data_changed" | "both_changed")
    }
}

/// Calls `each` with every difference between two backups, which stay as they are. `ask` is for those from the `offset`th on.
pub(super) fn compared(
    ask: impl Fn(usize) -> Result<Told<Diff>, Failure>,
    mut each: impl FnMut(&Difference) -> Result<(), Failure>,
) -> Result<Told<Diff>, Failure> {
    let mut offset = 0;
    loop {
        let mut diff = ask(offset)?;
        let found = &mut diff.view.differences;
        // They come in the order in which they were found.
        found.sort();
        found.iter().try_for_each(&mut each)?;
        offset += found.len();
        // Where both data and ACL of a znode changed, it may be counted twice and listed once.
        if found.is_empty() || offset as u64 >= diff.view.counted() {
            return Ok(diff);
        }
    }
}

/// As [`compared`], where each page is of another comparison: `each` is called once all of them are there, and their counts and the differences by which they
/// overlap are the same. None is left out then that was there throughout.
pub(super) fn compared_anew(
    ask: impl Fn(usize) -> Result<Told<Diff>, Failure>,
    mut each: impl FnMut(&Difference) -> Result<(), Failure>,
) -> Result<Told<Diff>, Failure> {
    let mut first = ask(0)?;
    let mut found = std::mem::take(&mut first.view.differences);
    while let Some(last) = found.last()
        && (found.len() as u64) < first.view.counted()
    {
        let next = ask(found.len() - 1)?.view;
        if next.counts() != first.view.counts() || next.differences.first() != Some(last) {
            return Err(Failure::failed(
                "ZooKeeper changed while it was compared, and what differs does not fit into one answer: ask again, or take a backup \
                 (`zk-backup backup --wait`) and compare with that",
            ));
        }
        if next.differences.len() == 1 {
            break; // where both data and ACL of a znode changed, it may be counted twice and listed once
        }
        found.extend(next.differences.into_iter().skip(1));
    }
    found.sort();
    found.iter().try_for_each(&mut each)?;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::json;

    use super::*;

    /// The differences `paths` from the `offset`th on, two on a page.
    fn page(paths: &[&str], offset: usize) -> Result<Told<Diff>, Failure> {
        let on_it = paths.iter().skip(offset).take(2);
        let differences: Vec<_> = on_it
            .map(|path| json!({ "path": path, "change": "added" }))
            .collect();
        Told::of(json!({
            "added": paths.len(), "removed": 0, "data_changed": 0, "acl_changed": 0, "unknown": 0,
            "differences": differences,
        }))
    }

    /// What is listed, or why nothing is.
    fn listed(
        anew: bool,
        ask: impl Fn(usize) -> Result<Told<Diff>, Failure>,
    ) -> Result<Vec<String>, Failure> {
        let mut listed = Vec::new();
        let each = |difference: &Difference| {
            listed.push(difference.path.clone());
            Ok(())
        };
        match anew {
            true => compared_anew(ask, each)?,
            false => compared(ask, each)?,
        };
        Ok(listed)
    }

    #[test]
    fn every_page_is_asked_for() {
        for anew in [false, true] {
            for all in [&[][..], &["/a"], &["/a", "/b"], &["/a", "/b", "/c", "/d", "/e"]] {
                assert_eq!(listed(anew, |offset| page(all, offset)).unwrap(), all, "{anew}");
            }
        }
    }

    #[test]
    fn what_is_counted_twice_and_listed_once_has_an_end() {
        for anew in [false, true] {
            let ask = |offset| {
                let mut diff = page(&["/a", "/b", "/c"], offset)?;
                diff.view.acl_changed = 3;
                Ok(diff)
            };
            assert_eq!(listed(anew, ask).unwrap(), ["/a", "/b", "/c"], "{anew}");
        }
    }

    #[test]
    fn a_live_tree_that_changes_between_two_pages_is_not_told_in_part() {
        // One difference is gone, so that "/c" would be left out; in the second case another one has come, and the counts are as they were.
        for later in [
            &["/b", "/c", "/d"][..],
            &["/b", "/c", "/d", "/e"],
            &["/a", "/b", "/c"],
            &[],
        ] {
            let asked = Cell::new(0);
            let ask = |offset| {
                asked.set(asked.get() + 1);
                page(
                    if asked.get() == 1 {
                        &["/a", "/b", "/c", "/d"]
                    } else {
                        later
                    },
                    offset,
                )
            };
            let mut listed = 0;
            let each = |_: &Difference| {
                listed += 1;
                Ok(())
            };
            let why = compared_anew(ask, each).unwrap_err();
            assert!(why.message.contains("changed while it was compared"), "{why}");
            assert_eq!(listed, 0, "{later:?}");
        }
    }
}
