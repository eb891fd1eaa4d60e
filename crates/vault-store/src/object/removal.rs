//! How vaults end, and what was left of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt as _};
use time::{Duration, OffsetDateTime};

use super::failures::{is_missing, is_retained, store_error};
use super::place::delete_below;
use super::{ObjectVaults, locked};
use crate::{StoreError, VaultId, VaultStore as _};

/// What belongs to no vault stays so long.
const SWEPT_AFTER: Duration = Duration::DAY;

/// The manifest goes first, and with it the vault. What is left of it when this fails is swept.
pub(super) fn remove(vaults: &ObjectVaults, id: &VaultId) -> Result<(), StoreError> {
    let stage = vaults.look(id)?.head.stage.clone();
    let (objects, place, id) = (vaults.place.objects(), Arc::clone(&vaults.place), id.clone());
    let known = Arc::clone(&vaults.known);
    vaults.place.wait(async move {
        let key = place.manifest(&id);
        let deleted = objects.delete(&key).await;
        known.forget(&id);
        match deleted {
            Err(error) if is_retained(&error) => {
                let why = store_error(&key, &error).to_string();
                let until = retained_until(&*objects, &key).await;
                return Err(StoreError::Retained { id, until, why });
            }
            Err(error) if !is_missing(&error) => return Err(store_error(&key, &error)),
            _ => {}
        }
        // Where the stage is not known, all of them are swept.
        if !stage.is_empty()
            && let Err(error) = delete_below(&*objects, &place.stage(&id, &stage)).await
        {
            log::warn!("Backup {id} is removed, and its files are swept in a day: {error}");
        }
        Ok(())
    })
}

/// What a bucket says of an object that it keeps, in the extensions of an answer.
#[derive(Debug, Clone)]
pub(super) struct RetainedUntil(pub(super) OffsetDateTime);

async fn retained_until(objects: &dyn ObjectStore, key: &Path) -> Option<OffsetDateTime> {
    let options = GetOptions::new().with_head(true);
    let found = objects.get_opts(key, options).await.ok()?;
    found.extensions.get::<RetainedUntil>().map(|until| until.0)
}

pub(super) fn sweep(vaults: &ObjectVaults, now: OffsetDateTime) -> Result<Vec<String>, StoreError> {
    let (objects, place) = (vaults.place.objects(), Arc::clone(&vaults.place));
    let stages = place.stages();
    // The latest object of each stage. Manifests are asked for afterwards.
    let newest: BTreeMap<(VaultId, String), i64> = vaults.place.wait(async move {
        let mut newest = BTreeMap::new();
        let mut list = objects.list(Some(&stages));
        while let Some(meta) = list
            .try_next()
            .await
            .map_err(|error| store_error(&stages, &error))?
        {
            let mut parts = meta.location.prefix_match(&stages).into_iter().flatten();
            let (id, stage) = (parts.next(), parts.next());
            let id = id.and_then(|id| id.as_ref().parse().ok());
            if let (Some(id), Some(stage)) = (id, stage) {
                let seconds = meta.last_modified.timestamp();
                let latest = newest.entry((id, stage.as_ref().to_owned())).or_insert(seconds);
                *latest = seconds.max(*latest);
            }
        }
        Ok(newest)
    })?;
    let oldest = (now - SWEPT_AFTER).unix_timestamp();
    let is_old = |(_, latest): &(&(VaultId, String), &i64)| **latest < oldest;
    let old: Vec<_> = newest.iter().filter(is_old).map(|(stage, _)| stage).collect();
    if old.is_empty() {
        return Ok(Vec::new());
    }
    // So that the manifests are read many at a time.
    vaults.ids()?;
    let (mut swept, mut failed) = (Vec::new(), None);
    for (id, stage) in old {
        let is_ours = locked(&vaults.staging).get(id) == Some(stage);
        let belongs = match vaults.head(id) {
            // Where its own files are not there, what it names is not to be relied on: any of them may be its.
            Ok(head) => head.stage == *stage || !newest.contains_key(&(id.clone(), head.stage)),
            Err(StoreError::NotFound(_)) => false,
            Err(error) => return Err(error),
        };
        if is_ours || belongs {
            continue;
        }
        let (objects, prefix) = (vaults.place.objects(), vaults.place.stage(id, stage));
        let name = prefix.to_string();
        let deleted = vaults.place.wait(async move {
            let deleted = delete_below(&*objects, &prefix).await;
            deleted.map_err(|error| store_error(&prefix, &error))
        });
        match deleted {
            Ok(()) => swept.push(name),
            // The others are swept all the same.
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    failed.map_or(Ok(swept), Err)
}
