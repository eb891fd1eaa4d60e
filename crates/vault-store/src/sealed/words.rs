//! What checks say of what was read, in words and hashes: sealed where it is kept.

use std::io::{Read as _, Write as _};

use age::{Decryptor, Encryptor};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::keys::{Identities, Recipients};
use crate::{StoreError, VERIFIED, Verification};

/// What sealed words begin with; base64 of an age file follows.
const MARK: &str = "age:";
/// What is said of damage and of differences where nobody opens them.
const WRONG: &str = "what is wrong is sealed";
/// What is said of a hash.
const HASH: &str = "sealed";

/// A verification as it is kept.
pub(super) fn sealed(result: &Verification, recipients: &Recipients) -> Result<Verification, StoreError> {
    let mut result = result.clone();
    for damage in &mut result.damage {
        damage.what = seal(&damage.what, recipients)?;
    }
    if let Some(tested) = &mut result.tested {
        tested.sha256 = seal(&tested.sha256, recipients)?;
        if let Some(difference) = &mut tested.difference {
            *difference = seal(difference, recipients)?;
        }
    }
    Ok(result)
}

/// A verification as it was, as far as the identities open it.
pub(super) fn opened(mut result: Verification, identities: Option<&Identities>) -> Verification {
    for damage in &mut result.damage {
        damage.what = open(&damage.what, identities, WRONG);
    }
    if let Some(tested) = &mut result.tested {
        tested.sha256 = open(&tested.sha256, identities, HASH);
        if let Some(difference) = &mut tested.difference {
            *difference = open(difference, identities, WRONG);
        }
    }
    result
}

fn seal(words: &str, recipients: &Recipients) -> Result<String, StoreError> {
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

/// Words as they were sealed; others as they are; `or_else` where nobody opens them.
fn open(words: &str, identities: Option<&Identities>, or_else: &str) -> String {
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
    opened.unwrap_or_else(|| or_else.to_owned())
}
