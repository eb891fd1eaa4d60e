//! The first contact with a bucket.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use vault_store::{ObjectVaults, S3Config, StoreError};

use crate::SettingsError;

/// So long the bucket has to answer each time; after that the server starts without.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The settings that say where it is.
const PLACE: &str = "S3_URL, S3_BUCKET";

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

/// Where the bucket is, for people.
pub(crate) fn place(config: &S3Config) -> String {
    let below = match &*config.prefix {
        "" => String::new(),
        prefix => format!("/{prefix}"),
    };
    match &config.url {
        None => format!("s3://{}{below}", config.bucket),
        Some(url) => format!("{}/{}{below}", url.trim_end_matches('/'), config.bucket),
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
pub(crate) fn open(config: &S3Config, purpose: Purpose) -> Result<ObjectVaults, SettingsError> {
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
    config: &S3Config,
    purpose: Purpose,
) -> Result<(ObjectVaults, Option<String>), SettingsError> {
    let vaults = config.open().map_err(|error| mistake(config, purpose, &error))?;
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
        Some(Ok(Err(error))) => Some(format!("{} may not be written: {error}", place(config))),
        Some(Err(error)) if error.is_transient() => {
            Some(format!("{} cannot be reached: {error}", place(config)))
        }
        Some(Err(error)) => return Err(mistake(config, purpose, &error)),
        None => Some(format!("{} has not answered for {PATIENCE:?}", place(config))),
    };
    Ok((vaults, warning))
}

/// What is answered within [`PATIENCE`] to what `ask` asks on a thread of its own.
pub(crate) fn in_time<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, told) = mpsc::sync_channel(1);
    thread::spawn(move || {
        // Whoever asked may have stopped waiting.
        let _ = tell.send(ask());
    });
    told.recv_timeout(PATIENCE).ok()
}

fn mistake(config: &S3Config, purpose: Purpose, error: &StoreError) -> SettingsError {
    let text = error.to_string();
    let known = MISTAKES.iter().find(|(sign, _)| text.contains(sign));
    let setting = known.map_or(PLACE, |(_, setting)| setting);
    SettingsError::new(format!("{}: {}: {text}", named(setting, purpose), place(config)))
}

/// The names of the settings of that bucket.
fn named(settings: &str, purpose: Purpose) -> String {
    match purpose {
        Purpose::Backups | Purpose::Sharing => settings.to_owned(),
        Purpose::Copies => settings
            .replace("S3_ENABLED", PLACE)
            .replace("S3_", "SECONDARY_S3_"),
    }
}

/// What a bucket that ignores `condition` cannot be used for.
pub(crate) fn ignores(config: &S3Config, purpose: Purpose, condition: &str) -> String {
    let risk = match (purpose, condition) {
        (Purpose::Copies, _) => "two servers with this second copy by mistake would not be kept apart",
        (_, "If-Match") => "two servers could both lead, and jobs be lost",
        _ => "of two that write one backup, one could overwrite the other's, which was committed",
    };
    format!(
        "{}: {} ignores {condition} in a PUT, which a write depends on: {risk}. Take a server that knows it",
        named(PLACE, purpose),
        place(config)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_bucket_ignores_is_named_with_the_risk_and_the_settings() {
        let config = S3Config::new("backups");
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
