//! Whose credentials are good for what.

use super::values::{SettingsError, pair};
use crate::hashes::Hashed;
use crate::{Access, Credentials};

/// Who may do what: the operator, and whoever only looks.
pub(super) fn access(
    secret: impl Fn(&str) -> Result<Option<String>, SettingsError>,
    operator: Option<(String, String)>,
    protect_reads: bool,
) -> Result<Access, SettingsError> {
    let user = "BACKUP_DAEMON_API_READER_USERNAME";
    let reader = pair(secret, user, "BACKUP_DAEMON_API_READER_PASSWORD")?;
    match (operator, reader) {
        (None, None) => Ok(Access::anonymous()),
        (None, Some(_)) => Err(SettingsError(format!(
            "{user}: without BACKUP_DAEMON_API_CREDENTIALS_USERNAME everybody may do everything"
        ))),
        (Some((name, _)), _) if name.contains(':') => {
            Err(has_colon("BACKUP_DAEMON_API_CREDENTIALS_USERNAME"))
        }
        (_, Some((name, _))) if name.contains(':') => Err(has_colon(user)),
        (Some((name, _)), Some((same, _))) if name == same => Err(SettingsError(format!(
            "{user}: the operator has this name already"
        ))),
        (Some((name, password)), reader) => {
            let operator = credentials(&name, &password, "BACKUP_DAEMON_API_CREDENTIALS_PASSWORD")?;
            let access = Access::new(operator, protect_reads);
            Ok(match reader {
                None => access,
                Some((name, password)) => access.with_reader(credentials(
                    &name,
                    &password,
                    "BACKUP_DAEMON_API_READER_PASSWORD",
                )?),
            })
        }
    }
}

/// What is sent ends the name at the first one (RFC 7617).
fn has_colon(setting: &str) -> SettingsError {
    SettingsError(format!("{setting}: nobody can log in by a name with a colon"))
}

/// A password, or an argon2 hash of one, in the setting `setting`.
fn credentials(name: &str, password: &str, setting: &str) -> Result<Credentials, SettingsError> {
    match Hashed::is_meant(password) {
        false => Ok(Credentials::new(name, password)),
        true => Credentials::hashed(name, password).map_err(|why| SettingsError(format!("{setting}: {why}"))),
    }
}
