//! Single values: what is given, what it can be, and how a bad one is named.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::Args;
use crate::truth::truth;

/// What a port to listen on can be.
pub(super) const PORTS: &str = "a port up to 65535, 0 for any free one,";

/// A setting that cannot be used; the message names it, its value, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(pub(super) String);

impl SettingsError {
    pub(crate) fn new(message: String) -> Self {
        Self(message)
    }
}

pub(super) fn bad(name: &str, value: &str, allowed: &str) -> SettingsError {
    SettingsError(format!("{name}={value}: {allowed} is expected"))
}

/// Without blanks around it; empty is not given.
pub(super) fn given(value: Option<&String>) -> Option<String> {
    value
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}

/// Where files of secrets are. A directory that is not there would be taken for one without any.
pub(super) fn secrets_dir(args: &Args) -> Result<Option<PathBuf>, SettingsError> {
    let Some(directory) = given(args.secrets_dir.as_ref()) else {
        return Ok(None);
    };
    // What is in it has to be reached; it need not be listed.
    match std::fs::metadata(Path::new(&directory).join(".")) {
        Ok(_) => Ok(Some(PathBuf::from(directory))),
        Err(error) => Err(SettingsError(format!(
            "BACKUP_DAEMON_SECRETS_DIR={directory}: {error}"
        ))),
    }
}

/// A secret: from its file in `directory`, or from the environment. Empty is not given.
pub(super) fn secret(
    name: &str,
    directory: Option<&Path>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<String>, SettingsError> {
    if let Some(secret) = secret_of_file(name, directory)? {
        return Ok(Some(secret));
    }
    match environment(name) {
        None => Ok(None),
        Some(value) => match value.to_str() {
            Some(text) => Ok(not_empty(text)),
            None => Err(SettingsError(format!("{name}: it is no UTF-8"))),
        },
    }
}

/// A secret from its file in `directory`, if that is there and not empty.
pub(super) fn secret_of_file(name: &str, directory: Option<&Path>) -> Result<Option<String>, SettingsError> {
    let Some(path) = directory.map(|directory| directory.join(name)) else {
        return Ok(None);
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(not_empty(text.trim_end_matches(['\r', '\n']))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SettingsError(format!("{}: {error}", path.display()))),
    }
}

fn not_empty(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// A user and a password: both, or none.
pub(super) fn pair(
    secret: impl Fn(&str) -> Result<Option<String>, SettingsError>,
    user: &str,
    password: &str,
) -> Result<Option<(String, String)>, SettingsError> {
    match (secret(user)?, secret(password)?) {
        (Some(user), Some(password)) => Ok(Some((user, password))),
        (None, None) => Ok(None),
        _ => Err(SettingsError(format!(
            "{user} and {password}: one is given without the other"
        ))),
    }
}

pub(super) fn number<T: FromStr>(
    name: &str,
    value: Option<&String>,
    default: T,
    allowed: &str,
    fits: impl Fn(&T) -> bool,
) -> Result<T, SettingsError> {
    match given(value) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(fits)
            .ok_or_else(|| bad(name, &text, allowed)),
    }
}

pub(super) fn seconds(name: &str, value: Option<&String>, least: u64) -> Result<Duration, SettingsError> {
    let allowed = format!("a number of seconds from {least} to 86400");
    number(name, value, 30, &allowed, |s| (least..=86_400).contains(s)).map(Duration::from_secs)
}

pub(super) fn flag(name: &str, value: Option<&String>, default: bool) -> Result<bool, SettingsError> {
    let Some(text) = given(value) else {
        return Ok(default);
    };
    truth(&text).ok_or_else(|| bad(name, &text, "true or false"))
}

/// Whether it is `http://` or `https://` with a host, and no more than a port: credentials in it would be told wherever it is.
pub(super) fn is_origin(url: &str) -> bool {
    let address = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let address = address.map(|address| address.trim_end_matches('/'));
    address.is_some_and(|address| !address.is_empty() && !address.contains(['/', '?', '#', '@', ' ']))
}
