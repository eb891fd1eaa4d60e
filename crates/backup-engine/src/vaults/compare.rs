//! What two backups differ in.

use std::collections::HashSet;
use std::sync::Weak;

use vault_store::{Manifest, VaultId, VaultStore};
use zk_snapshot::archive::{Comparison, compare};
use zk_snapshot::tree::ZnodePath;

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
    let within = |path: &ZnodePath| {
        [&these, &those].iter().all(|roots| match roots {
            None => true,
            Some(roots) => roots.contains(path) || path.ancestors().iter().any(|above| roots.contains(above)),
        })
    };
    compare(&from, &to, within, (page.offset, page.limit)).map_err(|error| EngineError::Storage(error.into()))
}

/// What a backup of a part was asked for.
fn roots_of(manifest: &Manifest) -> Option<HashSet<ZnodePath>> {
    let roots = manifest.roots.as_ref()?;
    let path = |root: &String| ZnodePath::parse(&format!("/{}", root.trim_start_matches('/'))).ok();
    Some(roots.iter().filter_map(path).collect())
}
