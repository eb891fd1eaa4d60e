//! What two backups differ in.

use std::collections::{BTreeSet, HashSet};
use std::sync::Weak;

use vault_store::{Manifest, VaultId, VaultStore};
use zk_snapshot::archive::{Comparison, compare};
use zk_snapshot::tree::ZnodePath;
use zk_snapshot::tree::reserved::is_reserved;

use super::browse::Page;
use super::records;
use super::wanted::Wanted;
use crate::EngineError;

/// What became of the znodes of `from`, as long as somebody waits for it.
pub(crate) fn between(
    store: &dyn VaultStore,
    from: &VaultId,
    to: &VaultId,
    page: Page,
    waiting: &Weak<()>,
) -> Result<Comparison, EngineError> {
    let open = |id: &VaultId| {
        let manifest = store.manifest(id)?;
        let roots = roots_of(&manifest);
        let records = records::open(store, &manifest)?.records;
        Ok::<_, EngineError>((Wanted::new(records, waiting.clone()), roots))
    };
    let ((from, these), (to, those)) = (open(from)?, open(to)?);
    // What one of them was not asked for is no difference.
    let within = common(these, those);
    compare(&from, &to, within, (page.offset, page.limit)).map_err(|error| EngineError::Storage(error.into()))
}

/// What a backup of a part was asked for, but for what is the servers' own: that is not compared.
pub(crate) fn roots_of(manifest: &Manifest) -> Option<Vec<ZnodePath>> {
    let roots = manifest.roots.as_ref()?;
    let path = |root: &String| ZnodePath::parse(&format!("/{}", root.trim_start_matches('/'))).ok();
    let paths = roots.iter().filter_map(path);
    Some(paths.filter(|path| !is_reserved(path)).collect())
}

/// What both were asked for; `None` for everything.
fn common(these: Option<Vec<ZnodePath>>, those: Option<Vec<ZnodePath>>) -> Option<Vec<ZnodePath>> {
    let (these, those) = match (these, those) {
        (Some(these), Some(those)) => (these, those),
        (these, those) => return these.or(those),
    };
    let within = |roots: &[ZnodePath], others: &[ZnodePath]| {
        let others: HashSet<_> = others.iter().collect();
        let is_within = |path: &&ZnodePath| {
            others.contains(path) || path.ancestors().iter().any(|above| others.contains(above))
        };
        roots.iter().filter(is_within).cloned().collect::<BTreeSet<_>>()
    };
    let mut common = within(&these, &those);
    common.append(&mut within(&those, &these));
    Some(common.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_were_asked_for_is_common() {
        let paths =
            |some: &[&str]| -> Vec<_> { some.iter().map(|path| ZnodePath::parse(path).unwrap()).collect() };
        let of = |these: &[&str], those: &[&str]| {
            let found = common(Some(paths(these)), Some(paths(those)));
            assert_eq!(found, common(Some(paths(those)), Some(paths(these))));
            found
        };
        assert_eq!(common(None, None), None);
        assert_eq!(common(Some(paths(&["/a"])), None), Some(paths(&["/a"])));
        assert_eq!(
            of(&["/b", "/a", "/c"], &["/a/x", "/b", "/ab"]),
            Some(paths(&["/a/x", "/b"]))
        );
        assert_eq!(of(&["/a"], &["/b"]), Some(Vec::new()));
    }
}
