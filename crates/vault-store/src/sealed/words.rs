//! Words about damage, which may quote what was read: sealed where they are kept.

use std::io::{Read as _, Write as _};

use age::{Decryptor, Encryptor};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::keys::{Identities, Recipients};
use crate::{StoreError, VERIFIED};

/// What sealed words begin with; base64 of an age file follows.
const MARK: &str = "age:";
/// What is said where nobody opens them.
const SEALED: &str = "what is wrong is sealed";

pub(super) fn seal(words: &str, recipients: &Recipients) -> Result<String, StoreError> {
    let encryptor = Encryptor::with_recipients(recipients.iter())
        .map_err(|error| StoreError::failed(VERIFIED, false, error))?;
    let mut sealed = Vec::new();
    let write = || {
        let mut writer = encryptor.wrap_output(&mut sealed)?;
        writer.write_all(words.as_bytes())?;
        writer.finish().map(drop)
    };
    write().map_err(|error| StoreError::io(VERIFIED, error))?;
    Ok(format!("{MARK}{}", STANDARD.encode(sealed)))
}

/// Words as they were sealed; others as they are.
pub(super) fn open(words: &str, identities: Option<&Identities>) -> String {
    let Some(sealed) = words.strip_prefix(MARK) else {
        return words.to_owned();
    };
    let opened = identities.and_then(|identities| {
        let sealed = STANDARD.decode(sealed).ok()?;
        let decryptor = Decryptor::new(&sealed[..]).ok()?;
        let mut text = String::new();
        let mut reader = decryptor.decrypt(identities.iter()).ok()?;
        reader.read_to_string(&mut text).ok()?;
        Some(text)
    });
    opened.unwrap_or_else(|| SEALED.to_owned())
}
