//! What is known of vaults: their manifests never change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt as _;
use object_store::{ObjectMeta, ObjectStoreExt as _};

use super::failures::{is_missing, store_error};
use super::place::{Place, locked};
use super::sealed::{Head, Sealed};
use crate::manifest::MAX_MANIFEST;
use crate::{StoreError, VaultId};

/// So many manifests are read at a time that were not known.
const AT_ONCE: usize = 64;
/// Larger manifests are read when they are asked for.
const SMALL: u64 = 1 << 20;
/// Larger ones are not read: more than any manifest has, with a line about it.
const LARGEST: u64 = (MAX_MANIFEST + (1 << 10)) as u64;
/// So many bytes of manifests are kept at most, and at least half as many, those of the latest vaults.
const KEPT: u64 = 64 << 20;

#[derive(Default)]
pub(super) struct Known(Mutex<State>);

#[derive(Default)]
struct State {
    vaults: BTreeMap<VaultId, Seen>,
    /// No more bytes of manifests are kept.
    kept: u64,
    /// How many were removed: what was asked for before is not kept.
    removals: u64,
}

struct Seen {
    /// That of the object.
    tag: String,
    /// `None` where it cannot be read.
    sealed: Option<Arc<Sealed>>,
}

fn tag(meta: &ObjectMeta) -> String {
    let made = || format!("{} {}", meta.last_modified, meta.size);
    meta.e_tag.clone().unwrap_or_else(made)
}

impl Seen {
    fn is_of(&self, meta: &ObjectMeta) -> bool {
        match &meta.e_tag {
            Some(tag) => *tag == self.tag,
            None => tag(meta) == self.tag,
        }
    }
}

impl Known {
    pub(super) fn get(&self, id: &VaultId) -> Option<Arc<Sealed>> {
        locked(&self.0).vaults.get(id)?.sealed.clone()
    }

    pub(super) fn forget(&self, id: &VaultId) {
        let mut state = locked(&self.0);
        state.vaults.remove(id);
        state.removals += 1;
    }

    /// Keeps what is still `there`, and reads what is new. What cannot be read now is read when it is asked for.
    pub(super) async fn update(self: &Arc<Self>, place: &Arc<Place>, there: BTreeMap<VaultId, ObjectMeta>) {
        let new: Vec<VaultId> = {
            let mut state = locked(&self.0);
            state
                .vaults
                .retain(|id, seen| there.get(id).is_some_and(|meta| seen.is_of(meta)));
            let is_new =
                |(id, meta): &(&VaultId, &ObjectMeta)| meta.size <= SMALL && !state.vaults.contains_key(*id);
            there.iter().filter(is_new).map(|(id, _)| id.clone()).collect()
        };
        let looks = new.into_iter().map(|id| {
            let (known, place) = (Arc::clone(self), Arc::clone(place));
            async move { known.look(&place, &id).await }
        });
        let mut looks = futures::stream::iter(looks).buffer_unordered(AT_ONCE);
        while looks.next().await.is_some() {}
    }

    /// Reads a manifest's object.
    pub(super) async fn look(&self, place: &Place, id: &VaultId) -> Result<Arc<Sealed>, StoreError> {
        let removals = locked(&self.0).removals;
        let key = place.manifest(id);
        let read = async {
            let found = place.objects().get(&key).await?;
            let (tag, size) = (tag(&found.meta), found.meta.size);
            let bytes = match size {
                0..=LARGEST => found.bytes().await?,
                _ => Bytes::new(),
            };
            Ok((tag, size, bytes))
        };
        let (tag, size, bytes) = match read.await {
            Ok(found) => found,
            Err(error) if is_missing(&error) => {
                self.forget(id);
                return Err(StoreError::NotFound(id.clone()));
            }
            Err(error) => return Err(store_error(&key, &error)),
        };
        let (head, text) = match Head::split(&bytes) {
            Some(found) => found,
            None => (only_stage(place, id).await?, &bytes[..]),
        };
        // One that is too large was not read, and is as damaged as one without its first line.
        let sealed = Arc::new(Sealed::read(id, head, text, size));
        let mut state = locked(&self.0);
        if state.removals == removals {
            let kept = sealed.is_sound().then(|| Arc::clone(&sealed));
            state.vaults.insert(id.clone(), Seen { tag, sealed: kept });
            state.shrink(sealed.bytes);
        }
        Ok(sealed)
    }
}

impl State {
    /// Counts what was added, and lets go of the manifests of the oldest vaults where there are too many bytes of them.
    fn shrink(&mut self, added: u64) {
        self.kept += added;
        if self.kept <= KEPT {
            return;
        }
        self.kept = 0;
        for seen in self.vaults.values_mut().rev() {
            let Some(sealed) = seen.sealed.as_ref().filter(|sealed| sealed.is_sound()) else {
                continue;
            };
            match self.kept + sealed.bytes <= KEPT / 2 {
                true => self.kept += sealed.bytes,
                false => seen.sealed = Some(Arc::new(sealed.without_manifest())),
            }
        }
    }
}

/// Where the files of a vault are whose manifest does not say it: where there is one stage of its id, there.
async fn only_stage(place: &Place, id: &VaultId) -> Result<Head, StoreError> {
    let folder = place.stages_of(id);
    let list = place.objects().list_with_delimiter(Some(&folder)).await;
    let stages = list
        .map_err(|error| store_error(&folder, &error))?
        .common_prefixes;
    let stage = match &stages[..] {
        [stage] => stage.filename().unwrap_or_default(),
        _ => "",
    };
    Ok(Head::of_stage(stage.to_owned()))
}
