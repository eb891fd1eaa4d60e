//! Looking again at a snapshot that does not tell where it ends.

use zk_snapshot::files::Gathered;

/// How often it is looked, where there is another snapshot each time.
const LOOKS: usize = 3;

/// What was found before.
///
/// A snapshot without trailers says nothing of deletions and ACLs that it has seen. It is of one moment, with its logs, only if it was
/// whole before it was asked what is committed: so it is asked, and everything is read, once more.
#[derive(Debug, Default)]
pub(super) struct Looks {
    snapshot: Option<String>,
    done: usize,
}

impl Looks {
    /// What was `found`, if that is to be kept; `None` to look again.
    pub(super) fn keep(&mut self, mut found: Gathered) -> Option<Gathered> {
        self.done += 1;
        let report = &mut found.report;
        if !report.without_end || self.snapshot.as_ref() == Some(&report.snapshot) {
            return Some(found);
        }
        if self.done < LOOKS {
            self.snapshot = Some(report.snapshot.clone());
            return None;
        }
        report.unsettled = Some(format!(
            "{} does not tell what it has seen, and may have been written meanwhile: each time another one was there",
            report.snapshot
        ));
        report.acls_exact = false;
        found.exact = false;
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use zk_snapshot::files::{DataDirs, gather};

    use super::*;

    fn found(snapshot: &str, without_end: bool) -> Gathered {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../zk-snapshot/tests/golden/3.9.5");
        let mut found = gather(&DataDirs::same(golden), None).unwrap();
        found.report.snapshot = snapshot.to_owned();
        found.report.without_end = without_end;
        found
    }

    #[test]
    fn a_snapshot_without_an_end_is_exact_where_it_was_there_before() {
        assert!(Looks::default().keep(found("snapshot.1", false)).unwrap().exact);
        let mut looks = Looks::default();
        assert!(looks.keep(found("snapshot.1", true)).is_none());
        assert!(looks.keep(found("snapshot.2", true)).is_none());
        let kept = looks.keep(found("snapshot.2", true)).unwrap();
        assert!(kept.exact && kept.report.unsettled.is_none());
    }

    #[test]
    fn where_there_is_another_one_each_time_the_state_is_fuzzy() {
        let mut looks = Looks::default();
        assert!(looks.keep(found("snapshot.1", true)).is_none());
        assert!(looks.keep(found("snapshot.2", true)).is_none());
        let kept = looks.keep(found("snapshot.3", true)).unwrap();
        assert!(!kept.exact && !kept.report.acls_exact);
        assert!(kept.report.unsettled.unwrap().starts_with("snapshot.3 "));
    }
}
