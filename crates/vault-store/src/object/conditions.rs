//! Whether a place knows the conditions of writes on which commits depend.

use object_store::{Error, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion};

use super::failures::store_error;
use super::place::Place;
use crate::StoreError;

/// The condition that the place ignores, as HTTP calls it. What is refused because it is not implemented counts as ignored.
///
/// Whoever made the object removes it, and nobody else: where several look at once, no other answer changes.
pub(super) fn ignored(place: &Place, replacing: bool) -> Result<Option<&'static str>, StoreError> {
    let (objects, key) = (place.objects(), place.probe());
    place.wait(async move {
        let put = |mode: PutMode| {
            let options = PutOptions::from(mode);
            objects.put_opts(&key, "probe".into(), options)
        };
        let failed = |error: &Error| match is_unknown(error) {
            true => Ok(true),
            false => Err(store_error(&key, error)),
        };
        let mut is_ours = false;
        let mut ignores_create = false;
        for _ in 0..2 {
            match put(PutMode::Create).await {
                Ok(_) => {
                    ignores_create = is_ours;
                    is_ours = true;
                }
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => break,
                Err(error) => ignores_create = failed(&error)?,
            }
        }
        let mut ignores_update = false;
        if replacing && !ignores_create {
            let another = UpdateVersion {
                e_tag: Some("\"00000000000000000000000000000000\"".to_owned()),
                // Google's condition is on this.
                version: Some("1".to_owned()),
            };
            ignores_update = match put(PutMode::Update(another)).await {
                Ok(_) => true,
                Err(Error::Precondition { .. } | Error::NotFound { .. } | Error::AlreadyExists { .. }) => {
                    false
                }
                Err(error) => failed(&error)?,
            };
        }
        if is_ours && let Err(error) = objects.delete(&key).await {
            log::debug!("{key} stays: {error}"); // the next one finds it, and that is as good
        }
        Ok(match (ignores_create, ignores_update) {
            (true, _) => Some("If-None-Match"),
            (_, true) => Some("If-Match"),
            _ => None,
        })
    })
}

fn is_unknown(error: &Error) -> bool {
    let text = error.to_string();
    matches!(error, Error::NotImplemented { .. } | Error::NotSupported { .. })
        || text.contains("status code: 501")
        || text.contains("<Code>NotImplemented<")
}
