//! Where second copies of vaults go.

use std::sync::Arc;

use time::OffsetDateTime;
#[cfg(feature = "object-store")]
use vault_store::ObjectVaults;
use vault_store::{CopiedNote, MirroredStore, VaultStore};

use super::build::FIRST_CONTACT;
use super::{EngineBuilder, Second};
use crate::blocking::within;
use crate::site;
use crate::vaults::{self, AroundVaults, SecondCopy};

impl EngineBuilder {
    /// Copies every vault to a second store, which `place` names for people, beside everything else: no backup and no restore waits for it, and what is
    /// lacking is found anew at each start. What cannot be read where vaults are kept is read there; what is evicted is removed there later, and
    /// nothing else is. `vault_store::MirroredStore` tells the rules. No two engines may have one second store, unless they share everything.
    pub fn second_copy(mut self, store: Arc<dyn VaultStore>, place: impl Into<String>) -> Self {
        let (place, is_remote) = (place.into(), false);
        self.second = Some(Second {
            store,
            place,
            is_remote,
        });
        #[cfg(feature = "object-store")]
        {
            self.second_objects = None;
        }
        self
    }

    /// The same, where the second store is an object store: it is asked for as little as that of [`objects`](Self::objects), and swept likewise.
    #[cfg(feature = "object-store")]
    pub fn second_objects(mut self, objects: ObjectVaults, place: impl Into<String>) -> Self {
        let (place, is_remote) = (place.into(), true);
        self.second = Some(Second {
            store: Arc::new(objects.clone()),
            place,
            is_remote,
        });
        self.second_objects = Some(objects);
        self
    }

    /// Puts the two stores together, if there is a second one, and learns what that has.
    pub(super) fn mirror(
        &mut self,
        around: Option<&AroundVaults>,
        now: OffsetDateTime,
    ) -> Option<Arc<SecondCopy>> {
        let Second {
            store,
            place,
            is_remote,
        } = self.second.take()?;
        let pins = CopiedNote {
            name: vaults::PINS,
            merge: vaults::merged_pins,
            is_sound: vaults::are_pins,
        };
        let notes = site::NOTES.into_iter().chain([pins]);
        let store = MirroredStore::under(Arc::clone(&self.vaults), store, notes, |store| match around {
            Some(around) => around(store),
            None => store,
        });
        self.vaults = Arc::new(store.clone());
        self.is_remote |= is_remote;
        let learning = store.clone();
        let trouble = match within(FIRST_CONTACT, move || learning.refresh()) {
            Ok(answer) => answer.err().map(|error| error.to_string()),
            Err(untold) => Some(format!("where they are has told nothing yet: {untold}")),
        };
        if let Some(trouble) = &trouble {
            log::warn!("what second copies there are is not fully known: {trouble}");
        }
        let uptime = Arc::clone(&self.uptime);
        Some(Arc::new(SecondCopy::new(store, place, uptime, now, trouble)))
    }
}
