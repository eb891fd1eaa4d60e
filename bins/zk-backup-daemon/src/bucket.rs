//! The first contact with a bucket.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use vault_store::object_store::ObjectStore;
use vault_store::{CloudConfig, ObjectVaults, S3Config, StoreError};

use crate::SettingsError;
use crate::contact::{PATIENCE, in_time};

/// The settings that say where it is.
const PLACE: &str = "S3_URL, S3_BUCKET";
/// The setting of all that is not reached as S3 is.
const URL: &str = "STORAGE_URL";

/// What settings of S3 are called in a file of aliases; the names of all are told.
const OF_ALIAS: [(&str, &str); 7] = [
    ("S3_URL", "s3Url"),
    ("S3_BUCKET", "bucketName"),
    ("S3_KEY_ID", "accessKeyId"),
    ("S3_KEY_SECRET", "accessKeySecret"),
    ("S3_REGION", "region"),
    ("S3_CERTS_PATH", "s3CertsPath"),
    ("S3_SSL_VERIFY", "s3SslVerify"),
];

/// What the store and S3 call a mistake, and the setting that it is in.
const MISTAKES: [(&str, &str); 7] = [
    ("the key id is not known", "S3_KEY_ID"),
    ("the secret is not that of the key id", "S3_KEY_SECRET"),
    ("there is no such bucket", "S3_BUCKET"),
    ("the region is not that of the bucket", "S3_REGION"),
    ("the credentials may not do this", "S3_KEY_ID"),
    ("the clock of this machine is off", "S3_ENABLED"),
    ("certificate", "S3_CERTS_PATH, S3_SSL_VERIFY"),
];

/// A bucket, and how it is reached.
#[derive(Debug, Clone)]
pub enum BucketConfig {
    /// As S3 is.
    S3(Box<S3Config>),
    /// The same, as a file of aliases says.
    Alias(Box<AliasConfig>),
    /// As Azure's containers and Google's buckets are.
    Cloud(CloudConfig),
}

/// A bucket, as a file of aliases says.
#[derive(Debug, Clone)]
pub struct AliasConfig {
    /// Its name there.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// How it is reached.
    pub config: S3Config,
}

impl BucketConfig {
    /// How it is reached, if as S3 is.
    fn s3(&self) -> Option<&S3Config> {
        match self {
            Self::S3(config) => Some(config),
            Self::Alias(alias) => Some(&alias.config),
            Self::Cloud(_) => None,
        }
    }

    /// Whether it has the same keys of the same bucket as another one.
    pub(crate) fn is_place_of(&self, other: &Self) -> bool {
        let url = |of: &S3Config| of.url.as_deref().map(|url| url.trim_end_matches('/').to_owned());
        let place = |of: &S3Config| (url(of), of.bucket.clone(), of.prefix.trim_matches('/').to_owned());
        matches!((self.s3(), other.s3()), (Some(a), Some(b)) if place(a) == place(b))
    }

    pub(crate) fn objects(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        match self {
            Self::S3(config) => Ok(config.objects()?),
            Self::Alias(alias) => Ok(alias.config.objects()?),
            Self::Cloud(config) => config.objects(),
        }
    }

    pub(crate) fn vaults(&self) -> Result<ObjectVaults, StoreError> {
        match self {
            Self::S3(config) => config.open(),
            Self::Alias(alias) => alias.config.open(),
            Self::Cloud(config) => config.open(),
        }
    }

    pub(crate) fn prefix(&self) -> &str {
        match self {
            Self::S3(config) => &config.prefix,
            Self::Alias(alias) => &alias.config.prefix,
            Self::Cloud(config) => config.prefix(),
        }
    }

    pub(crate) fn retrying_for(self, retry_for: Duration) -> Self {
        match self {
            Self::S3(config) => Self::S3(Box::new(S3Config { retry_for, ..*config })),
            Self::Alias(mut alias) => {
                alias.config.retry_for = retry_for;
                Self::Alias(alias)
            }
            Self::Cloud(config) => Self::Cloud(config.with_retry_for(retry_for)),
        }
    }
}

/// Where it is, for people.
impl fmt::Display for BucketConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = match self {
            Self::S3(config) => config,
            Self::Alias(alias) => &alias.config,
            Self::Cloud(config) => return config.fmt(f),
        };
        match &config.url {
            None => write!(f, "s3://{}", config.bucket)?,
            Some(url) => write!(f, "{}/{}", url.trim_end_matches('/'), config.bucket)?,
        }
        match &*config.prefix {
            "" => Ok(()),
            prefix => write!(f, "/{prefix}"),
        }
    }
}

/// What a bucket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// One server keeps backups there.
    Backups,
    /// Several do.
    Sharing,
    /// Second copies.
    Copies,
}

/// The vaults of the bucket, which has answered, or cannot be reached just now: that is logged.
///
/// # Errors
/// As [`contact`].
pub(crate) fn open(config: &BucketConfig, purpose: Purpose) -> Result<ObjectVaults, SettingsError> {
    let (vaults, warning) = contact(config, purpose)?;
    if let Some(warning) = warning {
        log::warn!("{warning}");
    }
    Ok(vaults)
}

/// The vaults of the bucket, and what is wrong with it all the same: it cannot be reached just now, or written.
///
/// # Errors
/// What is wrong with the settings, with the one that it is in; a bucket that ignores conditions of writes, unless it is for copies.
pub(crate) fn contact(
    config: &BucketConfig,
    purpose: Purpose,
) -> Result<(ObjectVaults, Option<String>), SettingsError> {
    let vaults = config
        .vaults()
        .map_err(|error| mistake(config, purpose, &error))?;
    let asked = vaults.clone();
    let answer = in_time(move || {
        let checked = asked.check();
        checked.map(|()| asked.ignored_condition(purpose == Purpose::Sharing))
    });
    let warning = match answer {
        Some(Ok(Ok(None))) => None,
        Some(Ok(Ok(Some(condition)))) => {
            let why = ignores(config, purpose, condition);
            match purpose {
                Purpose::Backups | Purpose::Sharing => return Err(SettingsError::new(why)),
                Purpose::Copies => Some(why),
            }
        }
        Some(Ok(Err(error))) => Some(format!("{config} may not be written: {error}")),
        Some(Err(error)) if error.may_pass() => Some(format!("{config} cannot be reached: {error}")),
        Some(Err(error)) => return Err(mistake(config, purpose, &error)),
        None => Some(format!("{config} has not answered for {PATIENCE:?}")),
    };
    Ok((vaults, warning))
}

fn mistake(config: &BucketConfig, purpose: Purpose, error: &StoreError) -> SettingsError {
    let text = error.to_string();
    let known = MISTAKES.iter().find(|(sign, _)| text.contains(sign));
    let setting = known.map_or(PLACE, |(_, setting)| setting);
    SettingsError::new(format!("{}: {config}: {text}", named(config, setting, purpose)))
}

/// The names of the settings of that bucket.
fn named(config: &BucketConfig, settings: &str, purpose: Purpose) -> String {
    match config {
        BucketConfig::S3(_) => {}
        BucketConfig::Cloud(_) => return URL.to_owned(),
        BucketConfig::Alias(alias) => {
            let settings = settings.replace("S3_ENABLED", PLACE);
            let of_file = OF_ALIAS
                .iter()
                .fold(settings, |text, (ours, theirs)| text.replace(ours, theirs));
            return format!(
                "ALIASES_PATH: {}: alias {}: {of_file}",
                alias.file.display(),
                alias.name
            );
        }
    }
    match purpose {
        Purpose::Backups | Purpose::Sharing => settings.to_owned(),
        Purpose::Copies => settings
            .replace("S3_ENABLED", PLACE)
            .replace("S3_", "SECONDARY_S3_"),
    }
}

/// What a bucket that ignores `condition` cannot be used for.
pub(crate) fn ignores(config: &BucketConfig, purpose: Purpose, condition: &str) -> String {
    let risk = match (purpose, condition) {
        (Purpose::Copies, _) => "two servers with this second copy by mistake would not be kept apart",
        (_, "If-Match") => "two servers could both lead, and jobs be lost",
        _ => "of two that write one backup, one could overwrite the other's, which was committed",
    };
    format!(
        "{}: {} ignores {condition} in a PUT, which a write depends on: {risk}. Take a server that knows it",
        named(config, PLACE, purpose),
        config
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_an_alias_is_named_as_its_file_has_it() {
        let config = BucketConfig::Alias(Box::new(AliasConfig {
            name: "archive".to_owned(),
            file: "/aliases/s3_aliases.json".into(),
            config: S3Config::new("cold"),
        }));
        for (text, setting) in [
            ("there is no such bucket", "bucketName"),
            ("the secret is not that of the key id", "accessKeySecret"),
            ("the clock of this machine is off", "s3Url, bucketName"),
            ("a bad certificate", "s3CertsPath, s3SslVerify"),
        ] {
            let error = StoreError::failed("GET", false, text);
            let said = mistake(&config, Purpose::Backups, &error).to_string();
            let place =
                format!("ALIASES_PATH: /aliases/s3_aliases.json: alias archive: {setting}: s3://cold: ");
            assert!(said.starts_with(&place), "{said}");
        }
    }

    #[test]
    fn what_a_bucket_ignores_is_named_with_the_risk_and_the_settings() {
        let config = BucketConfig::S3(Box::new(S3Config::new("backups")));
        for (purpose, condition, settings, risk) in [
            (
                Purpose::Backups,
                "If-None-Match",
                "S3_URL, S3_BUCKET: ",
                "overwrite",
            ),
            (Purpose::Sharing, "If-Match", "S3_URL, S3_BUCKET: ", "both lead"),
            (
                Purpose::Copies,
                "If-None-Match",
                "SECONDARY_S3_URL, SECONDARY_S3_BUCKET: ",
                "kept apart",
            ),
        ] {
            let said = ignores(&config, purpose, condition);
            let has_all = [condition, risk, "s3://backups"]
                .iter()
                .all(|part| said.contains(part));
            assert!(said.starts_with(settings) && has_all, "{said}");
        }
    }
}
