//! Where backups are kept, if not in the storage.

use std::ffi::OsString;
use std::path::Path;

use vault_store::CloudConfig;

use super::s3::s3;
use super::values::{SettingsError, given, secret};
use crate::Args;
use crate::bucket::BucketConfig;

/// What `S3_ENABLED` or `STORAGE_URL` asks for.
pub(super) fn bucket(
    args: &Args,
    secrets: Option<&Path>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<BucketConfig>, SettingsError> {
    let s3 = s3(args, secrets, &environment)?;
    let Some(url) = given(args.storage_url.as_ref()) else {
        return Ok(s3.map(|config| BucketConfig::S3(Box::new(config))));
    };
    if s3.is_some() {
        let why = "STORAGE_URL and S3_ENABLED=true: backups are kept in one place";
        return Err(SettingsError(why.to_owned()));
    }
    let config = CloudConfig::new(&url);
    let config = config.map_err(|error| SettingsError(format!("STORAGE_URL: {error}")))?;
    let mut values = Vec::new();
    for key in config.keys() {
        values.push((*key, secret(&key.to_uppercase(), secrets, &environment)?));
    }
    let of = |wanted: &str| values.iter().find(|(key, _)| *key == wanted)?.1.clone();
    Ok(Some(BucketConfig::Cloud(config.with_values(of))))
}
