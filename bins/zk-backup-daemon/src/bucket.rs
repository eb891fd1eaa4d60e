//! The first contact with a bucket.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use vault_store::{ObjectVaults, S3Config, StoreError};

use crate::SettingsError;

/// So long the bucket has to answer each time; after that the server starts without.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

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

/// The vaults of the bucket, which has answered, or cannot be reached just now.
///
/// # Errors
/// What is wrong with the settings, with the one that it is in.
pub(crate) fn open(config: &S3Config) -> Result<ObjectVaults, SettingsError> {
    let vaults = config.open().map_err(|error| mistake(config, &error))?;
    let asked = vaults.clone();
    match in_time(move || asked.check()) {
        Some(Ok(())) => {}
        Some(Err(error)) if error.is_transient() => {
            log::warn!("{} cannot be reached: {error}", place(config));
        }
        Some(Err(error)) => return Err(mistake(config, &error)),
        None => log::warn!("{} has not answered for {PATIENCE:?}", place(config)),
    }
    Ok(vaults)
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

fn mistake(config: &S3Config, error: &StoreError) -> SettingsError {
    let text = error.to_string();
    let known = MISTAKES.iter().find(|(sign, _)| text.contains(sign));
    let setting = known.map_or("S3_URL, S3_BUCKET", |(_, setting)| setting);
    SettingsError::new(format!("{setting}: {}: {text}", place(config)))
}
