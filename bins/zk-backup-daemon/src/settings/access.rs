//! Whose credentials are good for what.

use super::values::{SettingsError, pair};
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
        (Some((name, _)), Some((same, _))) if name == same => Err(SettingsError(format!(
            "{user}: the operator has this name already"
        ))),
        (Some((name, password)), reader) => {
            let access = Access::new(Credentials::new(&name, &password), protect_reads);
            Ok(match reader {
                None => access,
                Some((name, password)) => access.with_reader(Credentials::new(&name, &password)),
            })
        }
    }
}
