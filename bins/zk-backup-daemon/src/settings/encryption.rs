//! The keys that backups are sealed to, and those that open them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use vault_store::{Identities, KeyError, Recipients, SealedStore, VaultStore};

use super::values::{SettingsError, given};
use crate::Args;

const RECIPIENTS: &str = "ENCRYPTION_RECIPIENTS";
const RECIPIENTS_FILE: &str = "ENCRYPTION_RECIPIENTS_FILE";
const IDENTITY_FILE: &str = "ENCRYPTION_IDENTITY_FILE";

/// Backups are sealed.
#[derive(Debug, Clone)]
pub struct Encryption {
    /// To these public keys.
    pub recipients: Recipients,
    /// What opens them. Without, nothing can be restored here.
    pub identities: Option<Identities>,
}

impl Encryption {
    /// The store that seals what it puts into `below`, and opens what the identities open.
    #[must_use]
    pub fn around(&self, below: Arc<dyn VaultStore>) -> Arc<dyn VaultStore> {
        let (recipients, identities) = (self.recipients.clone(), self.identities.clone());
        Arc::new(SealedStore::new(below, recipients, identities))
    }
}

pub(super) fn encryption(args: &Args) -> Result<Option<Encryption>, SettingsError> {
    let identities = given(args.encryption_identity_file.as_ref());
    let identities = identities
        .map(|path| from_file(IDENTITY_FILE, &path))
        .transpose()?;
    let recipients = match (
        given(args.encryption_recipients.as_ref()),
        given(args.encryption_recipients_file.as_ref()),
    ) {
        (Some(_), Some(_)) => {
            return Err(SettingsError(format!(
                "{RECIPIENTS} and {RECIPIENTS_FILE}: one of them can be given"
            )));
        }
        (Some(text), None) => Some(parsed(RECIPIENTS, &text)?),
        (None, Some(path)) => Some(from_file(RECIPIENTS_FILE, &path)?),
        (None, None) => None,
    };
    match (recipients, identities) {
        (Some(recipients), identities) => Ok(Some(Encryption {
            recipients,
            identities,
        })),
        // Whoever has an identity does not mean to write in the clear.
        (None, Some(identities)) => Err(SettingsError(format!(
            "{IDENTITY_FILE} is given without {RECIPIENTS}: the public keys of its identities are {}",
            identities.recipients().join(", ")
        ))),
        (None, None) => Ok(None),
    }
}

fn from_file<T: FromStr<Err = KeyError>>(name: &str, path: &str) -> Result<T, SettingsError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| SettingsError(format!("{name}={path}: {error}")))?;
    parsed(&format!("{name}={path}"), &text)
}

fn parsed<T: FromStr<Err = KeyError>>(name: &str, text: &str) -> Result<T, SettingsError> {
    text.parse()
        .map_err(|error| SettingsError(format!("{name}: {error}")))
}

/// What the log says at start.
impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "backups are sealed to {}; ", self.recipients)?;
        f.write_str(match &self.identities {
            None => "without an identity none that is sealed can be restored, browsed or compared here",
            Some(identities) if identities.open(&self.recipients.names()) => {
                "they can be restored, browsed and compared here"
            }
            Some(_) => {
                "none of the identities opens them, so that only backups of earlier keys can be restored here"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
    const SECRET: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

    #[test]
    fn keys_come_from_text_or_files_and_an_identity_alone_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path.display().to_string())
        };
        let (public, secret) = (
            file("public", PUBLIC),
            file("secret", &format!("# mine\n{SECRET}\n")),
        );
        let given =
            |recipients: Option<&str>, recipients_file: &Option<String>, identity: &Option<String>| {
                encryption(&Args {
                    encryption_recipients: recipients.map(str::to_owned),
                    encryption_recipients_file: recipients_file.clone(),
                    encryption_identity_file: identity.clone(),
                    ..Args::default()
                })
                .map_err(|error| error.to_string())
            };
        assert!(given(Some(" "), &None, &None).unwrap().is_none());
        let by_text = given(Some(PUBLIC), &None, &None).unwrap().unwrap();
        assert!(by_text.to_string().contains("without an identity"), "{by_text}");
        let by_file = given(None, &public, &secret).unwrap().unwrap();
        assert_eq!(by_file.recipients, by_text.recipients);
        assert!(by_file.to_string().contains("can be restored"), "{by_file}");

        for (refused, why) in [
            (given(None, &None, &secret), PUBLIC),
            (given(Some(PUBLIC), &public, &None), "one of them"),
            (given(Some(SECRET), &None, &None), "a secret key stands"),
            (given(None, &secret, &None), "a secret key stands"),
            (
                given(Some(PUBLIC), &None, &public),
                "line 1: it is no X25519 identity",
            ),
            (
                given(Some(PUBLIC), &None, &Some("/nowhere".to_owned())),
                "ENCRYPTION_IDENTITY_FILE=/nowhere",
            ),
        ] {
            let refused = refused.unwrap_err();
            assert!(refused.contains(why) && !refused.contains("1GQ9778"), "{refused}");
        }
    }
}
