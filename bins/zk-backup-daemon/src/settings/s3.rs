//! The bucket that backups are kept in.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use vault_store::{S3Config, S3Keys, S3Secret};

use super::values::{SettingsError, bad, flag, given, is_origin, secret};
use crate::Args;

const ID: &str = "S3_KEY_ID";
const SECRET: &str = "S3_KEY_SECRET";

/// What `S3_ENABLED` asks for.
pub(super) fn bucket(
    args: &Args,
    secrets: Option<&Path>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<S3Config>, SettingsError> {
    if !flag("S3_ENABLED", args.s3_enabled.as_ref(), false)? {
        return Ok(None);
    }
    let Some(bucket) = given(args.s3_bucket.as_ref()) else {
        return Err(SettingsError(
            "S3_BUCKET: it is needed with S3_ENABLED=true".to_owned(),
        ));
    };
    let read = |name: &str| key(name, secrets, &environment);
    let keys = match (read(ID)?, read(SECRET)?) {
        (Some(id), Some(secret)) => Some(S3Keys { id, secret }),
        (None, None) => None,
        _ => {
            let why = format!("{ID} and {SECRET}: one is given without the other");
            return Err(SettingsError(why));
        }
    };
    Ok(Some(S3Config {
        url: url(args)?,
        region: given(args.s3_region.as_ref()),
        prefix: prefix(args)?,
        keys,
        verify_tls: flag("S3_SSL_VERIFY", args.s3_ssl_verify.as_ref(), true)?,
        certificates: certificates(args)?,
        ..S3Config::new(bucket)
    }))
}

/// A secret that is a file is read again for every request, so that it can be replaced.
fn key(
    name: &str,
    secrets: Option<&Path>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<S3Secret>, SettingsError> {
    if let Some(directory) = secrets
        && secret(name, Some(directory), |_| None)?.is_some()
    {
        return Ok(Some(S3Secret::File(directory.join(name))));
    }
    Ok(secret(name, None, environment)?.map(S3Secret::Text))
}

fn url(args: &Args) -> Result<Option<String>, SettingsError> {
    let Some(url) = given(args.s3_url.as_ref()) else {
        return Ok(None);
    };
    match is_origin(&url) {
        true => Ok(Some(url)),
        false => Err(SettingsError(
            "S3_URL: http:// or https:// with a host, and a port if need be, is expected; the bucket is S3_BUCKET".to_owned(),
        )),
    }
}

fn prefix(args: &Args) -> Result<String, SettingsError> {
    let prefix = given(args.s3_prefix.as_ref()).unwrap_or_default();
    let prefix = prefix.trim_matches('/').to_owned();
    let usable = |part: &str| !part.is_empty() && part != "." && part != "..";
    if prefix.is_empty() || prefix.split('/').all(usable) {
        return Ok(prefix);
    }
    Err(bad(
        "S3_PREFIX",
        &prefix,
        "names with / between them, such as backups/zookeeper,",
    ))
}

fn certificates(args: &Args) -> Result<Option<PathBuf>, SettingsError> {
    let Some(path) = given(args.s3_certs_path.as_ref()).map(PathBuf::from) else {
        return Ok(None);
    };
    match path.exists() {
        true => Ok(Some(path)),
        false => Err(SettingsError(format!(
            "S3_CERTS_PATH: there is no {}",
            path.display()
        ))),
    }
}
