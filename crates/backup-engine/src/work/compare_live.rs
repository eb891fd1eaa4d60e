//! What a backup and the live tree differ in: what a restore would change, the other way round.

use std::sync::Arc;

use time::OffsetDateTime;
use vault_store::{VaultId, VaultStore};
use zk_snapshot::archive::{ArchiveError, Comparison, RecordSource, Role, ZnodeChange};
use zk_snapshot::restore::{Change, RestoreError, RestoreOptions, restore};
use zk_snapshot::tree::reserved;
use zk_snapshot::tree::{ClientError, ZnodePath};

use crate::EngineError;
use crate::blocking::blocking;
use crate::site::Site;
use crate::vaults::browse::Page;
use crate::vaults::compare::roots_of;
use crate::vaults::records;
use crate::vaults::wanted::Wanted;

/// The znodes that a backup could not read.
fn unreadable(records: &dyn RecordSource) -> Result<Vec<ZnodePath>, ArchiveError> {
    let mut unreadable = Vec::new();
    for index in 0..records.frames() {
        let outlines = records.outline(index)?.into_iter();
        let unread = outlines.filter(|outline| outline.role == Role::Unreadable);
        unreadable.extend(unread.map(|outline| outline.path));
    }
    unreadable.retain(|path| !reserved::is_below(path.as_str().as_bytes()));
    Ok(unreadable)
}

/// What a restore would change, the other way round.
pub(crate) async fn with_live(
    store: Arc<dyn VaultStore>,
    site: Arc<Site>,
    from: &VaultId,
    page: Page,
    now: OffsetDateTime,
) -> Result<Comparison, EngineError> {
    let (here, id) = (Arc::clone(&site), from.clone());
    let opening = blocking(move || {
        let manifest = store.manifest(&id)?;
        Ok((
            records::open(&*store, &manifest)?,
            here.has_gone_on_since(&manifest, now),
            roots_of(&manifest),
        ))
    });
    let (opened, same_ensemble, within) = opening.await?;
    let waits = Arc::new(()); // until this is dropped
    let records: Arc<dyn RecordSource> = Arc::new(Wanted::new(opened.records, Arc::downgrade(&waits)));
    let unreachable = |error: ClientError| EngineError::ZooKeeper(error.into());
    let client = site.ensemble.connect().await.map_err(unreachable)?;
    let options = RestoreOptions {
        dry_run: true,
        compares_only: true,
        show: page.offset.saturating_add(page.limit),
        same_ensemble,
        ..RestoreOptions::default()
    };
    let report = restore(Arc::clone(&records), &*client, &options).await;
    client.close().await;
    let damaged = |cause| EngineError::Damaged {
        id: from.clone(),
        cause,
    };
    let unread = blocking(move || Ok(unreadable(&*records))).await?;
    let unread = unread.map_err(|error| damaged(error.into()))?;
    let report = report.map_err(|error| match error {
        RestoreError::Client { cause, .. } => unreachable(cause),
        error => damaged(error.into()),
    })?;
    let mut found = Comparison::default();
    found.within = within;
    for difference in &report.differences {
        let turn = match difference.change {
            Change::Create => ZnodeChange::Removed,
            Change::Delete => ZnodeChange::Added,
            Change::Data => ZnodeChange::DataChanged,
            Change::Acl => ZnodeChange::AclChanged,
        };
        found.note(&difference.path, turn, (page.offset, page.limit));
    }
    (found.added, found.removed) = (report.deleted, report.created);
    (found.data_changed, found.acl_changed) = (report.data_changed, report.acl_changed);
    report
        .failures
        .iter()
        .for_each(|failure| found.note_unknown(&failure.path));
    // Those that may not be read, and that a restore would open.
    found.unknown = report.failed + report.unseen;
    unread.iter().for_each(|path| found.note_unknown(path));
    Ok(found)
}
