//! The buckets that backups are kept in, and copied to.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use vault_store::{S3Config, S3Keys, S3Secret};

use super::values::{SettingsError, bad, flag, given, is_origin, secret};
use crate::Args;

/// What is said of one bucket.
pub(super) struct Said<'a> {
    /// What the names of its settings begin with, such as `S3`.
    pub(super) name: &'static str,
    pub(super) url: Option<&'a String>,
    pub(super) bucket: Option<&'a String>,
    pub(super) region: Option<&'a String>,
    pub(super) prefix: Option<&'a String>,
    pub(super) ssl_verify: Option<&'a String>,
    pub(super) certs_path: Option<&'a String>,
}

fn said(args: &Args) -> Said<'_> {
    Said {
        name: "S3",
        url: args.s3_url.as_ref(),
        bucket: args.s3_bucket.as_ref(),
        region: args.s3_region.as_ref(),
        prefix: args.s3_prefix.as_ref(),
        ssl_verify: args.s3_ssl_verify.as_ref(),
        certs_path: args.s3_certs_path.as_ref(),
    }
}

/// What all keys begin with, in the buckets of aliases too.
pub(super) fn prefix(args: &Args) -> Result<String, SettingsError> {
    said(args).prefix()
}

/// What `S3_ENABLED` asks for.
pub(super) fn s3(
    args: &Args,
    secrets: Option<&Path>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<S3Config>, SettingsError> {
    let said = said(args);
    said.verify_tls()?;
    if !flag("S3_ENABLED", args.s3_enabled.as_ref(), false)? {
        return Ok(None);
    }
    match said.read(secrets, environment)? {
        Some(bucket) => Ok(Some(bucket)),
        None => Err(SettingsError(
            "S3_BUCKET: it is needed with S3_ENABLED=true".to_owned(),
        )),
    }
}

impl Said<'_> {
    /// The bucket; `None` where none is named.
    pub(super) fn read(
        &self,
        secrets: Option<&Path>,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<S3Config>, SettingsError> {
        let Some(bucket) = given(self.bucket) else {
            return Ok(None);
        };
        let (id, secret) = (self.setting("KEY_ID"), self.setting("KEY_SECRET"));
        let read = |name: &str| key(name, secrets, &environment);
        let keys = match (read(&id)?, read(&secret)?) {
            (Some(id), Some(secret)) => Some(S3Keys { id, secret }),
            (None, None) => None,
            _ => {
                let why = format!("{id} and {secret}: one is given without the other");
                return Err(SettingsError(why));
            }
        };
        Ok(Some(S3Config {
            url: self.url()?,
            region: given(self.region),
            prefix: self.prefix()?,
            keys,
            verify_tls: self.verify_tls()?,
            certificates: self.certificates()?,
            ..S3Config::new(bucket)
        }))
    }

    fn setting(&self, rest: &str) -> String {
        format!("{}_{rest}", self.name)
    }

    fn verify_tls(&self) -> Result<bool, SettingsError> {
        flag(&self.setting("SSL_VERIFY"), self.ssl_verify, true)
    }

    fn url(&self) -> Result<Option<String>, SettingsError> {
        let Some(url) = given(self.url) else {
            return Ok(None);
        };
        match is_origin(&url) {
            true => Ok(Some(url)),
            false => Err(SettingsError(format!(
                "{}: http:// or https:// with a host, and a port if need be, is expected; the bucket is {}",
                self.setting("URL"),
                self.setting("BUCKET")
            ))),
        }
    }

    fn prefix(&self) -> Result<String, SettingsError> {
        let prefix = given(self.prefix).unwrap_or_default();
        let prefix = prefix.trim_matches('/').to_owned();
        let usable = |part: &str| !part.is_empty() && part != "." && part != "..";
        if prefix.is_empty() || prefix.split('/').all(usable) {
            return Ok(prefix);
        }
        Err(bad(
            &self.setting("PREFIX"),
            &prefix,
            "names with / between them, such as backups/zookeeper,",
        ))
    }

    fn certificates(&self) -> Result<Option<PathBuf>, SettingsError> {
        let Some(path) = given(self.certs_path).map(PathBuf::from) else {
            return Ok(None);
        };
        match path.exists() {
            true => Ok(Some(path)),
            false => Err(SettingsError(format!(
                "{}: there is no {}",
                self.setting("CERTS_PATH"),
                path.display()
            ))),
        }
    }
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
    Ok(
        secret(name, None, &environment)?.map(|text| match environment(&format!("{name}_FILE")) {
            Some(file) => S3Secret::File(file.into()),
            None => S3Secret::Text(text),
        }),
    )
}
