//! Looking again at a snapshot that does not tell where it ends.

use zk_snapshot::files::{DataDirs, GatherError, Gathered, gather, gather_with};

use super::source::StateError;

/// How often it is looked, where what was found is gone by the next look: that may be so twice.
const LOOKS: usize = 5;

/// What was found before.
///
/// A snapshot without trailers says nothing of deletions and ACLs that it has seen. It is of one moment, with its logs, only if it was
/// whole before it was asked what is committed: so it is asked, and everything is read, once more. Newer snapshots that came meanwhile are left alone.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// The snapshot, and why newer ones were of no use.
    known: Option<(String, Vec<String>)>,
    done: usize,
}

impl Looks {
    /// What reads the files: with the snapshot that was there before, if one was found.
    pub(super) fn reading(
        &self,
    ) -> impl FnOnce(&DataDirs, Option<i64>) -> Result<Gathered, GatherError> + Send + use<> {
        let known = self.known.as_ref().map(|(snapshot, _)| snapshot.clone());
        move |dirs, committed| match &known {
            Some(snapshot) => gather_with(dirs, committed, snapshot),
            None => gather(dirs, committed),
        }
    }

    /// What was `found`, if it stays at that; `None` to look again.
    pub(super) fn keep(
        &mut self,
        found: Result<Gathered, StateError>,
    ) -> Option<Result<Gathered, StateError>> {
        self.done += 1;
        let known = self.known.take();
        let mut found = match found {
            // It may have been purged meanwhile.
            Err(why) if known.is_some() && self.done < LOOKS => {
                log::info!("{why}: everything is read anew");
                return None;
            }
            Err(why) => return Some(Err(why)),
            Ok(found) => found,
        };
        let report = &mut found.report;
        if !report.without_end {
            return Some(Ok(found));
        }
        if let Some((_, passed_over)) = known.filter(|(snapshot, _)| *snapshot == report.snapshot) {
            report.passed_over = passed_over;
            return Some(Ok(found));
        }
        if self.done < LOOKS {
            self.known = Some((report.snapshot.clone(), std::mem::take(&mut report.passed_over)));
            return None;
        }
        report.unsettled = Some(format!(
            "{} does not tell what it has seen, and may have been written meanwhile: each time the one before was gone",
            report.snapshot
        ));
        report.acls_exact = false;
        found.exact = false;
        Some(Ok(found))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// A server's directory, with this snapshot as servers before 3.6 write it, and the logs.
    fn directory(snapshot: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for log in ["log.1", "log.9"] {
            fs::copy(golden().join(log), directory.path().join(log)).unwrap();
        }
        come(directory.path(), snapshot);
        directory
    }

    fn golden() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../zk-snapshot/tests/golden/3.9.5")
    }

    /// Writes that snapshot, without the trailers that follow its checksum.
    fn come(directory: &Path, snapshot: &str) {
        let whole = fs::read(golden().join(snapshot)).unwrap();
        fs::write(directory.join(snapshot), &whole[..whole.len() - 54]).unwrap();
    }

    fn look(looks: &mut Looks, directory: &Path) -> Option<Gathered> {
        let found = looks.reading()(&DataDirs::same(directory), None);
        looks.keep(found.map_err(StateError::from)).map(Result::unwrap)
    }

    #[test]
    fn a_snapshot_that_tells_its_end_is_looked_at_once() {
        assert!(look(&mut Looks::default(), &golden()).unwrap().exact);
    }

    #[test]
    fn what_was_whole_before_makes_an_exact_state_though_another_one_comes() {
        let (directory, mut looks) = (directory("snapshot.0"), Looks::default());
        fs::write(directory.path().join("snapshot.8"), b"ZKSN").unwrap();
        assert!(look(&mut looks, directory.path()).is_none());
        come(directory.path(), "snapshot.8");
        let kept = look(&mut looks, directory.path()).unwrap();
        assert!(kept.exact && kept.report.unsettled.is_none(), "{:?}", kept.report);
        assert_eq!(kept.report.snapshot, "snapshot.0");
        assert!(
            kept.report.passed_over[0].starts_with("snapshot.8"),
            "{:?}",
            kept.report
        );
        let newest = gather(&DataDirs::same(golden()), None).unwrap().tree;
        assert_eq!(
            (kept.tree.zxid(), kept.tree.digest()),
            (newest.zxid(), newest.digest())
        );
    }

    #[test]
    fn one_that_is_purged_between_two_looks_has_another_try() {
        let (directory, mut looks) = (directory("snapshot.0"), Looks::default());
        assert!(look(&mut looks, directory.path()).is_none());
        come(directory.path(), "snapshot.8");
        fs::remove_file(directory.path().join("snapshot.0")).unwrap();
        assert!(look(&mut looks, directory.path()).is_none(), "it is gone");
        assert!(look(&mut looks, directory.path()).is_none());
        let kept = look(&mut looks, directory.path()).unwrap();
        assert!(kept.exact);
        assert_eq!(kept.report.snapshot, "snapshot.8");
    }

    #[test]
    fn where_the_one_before_is_gone_each_time_the_state_is_fuzzy_and_an_error_stays_one() {
        let (directory, mut looks) = (directory("snapshot.0"), Looks::default());
        // One after another comes, and the one before goes.
        for (gone, next) in [("snapshot.0", "snapshot.8"), ("snapshot.8", "snapshot.0")] {
            assert!(look(&mut looks, directory.path()).is_none());
            come(directory.path(), next);
            fs::remove_file(directory.path().join(gone)).unwrap();
            assert!(look(&mut looks, directory.path()).is_none(), "{gone} is gone");
        }
        let kept = look(&mut looks, directory.path()).unwrap();
        assert!(!kept.exact && !kept.report.acls_exact);
        assert!(kept.report.unsettled.unwrap().starts_with("snapshot.0 "));

        fs::remove_file(directory.path().join("snapshot.0")).unwrap();
        let found = Looks::default().reading()(&DataDirs::same(directory.path()), None);
        assert!(
            Looks::default()
                .keep(found.map_err(StateError::from))
                .unwrap()
                .is_err()
        );
    }
}
