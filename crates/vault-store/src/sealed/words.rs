//! What checks say of what was read, in words and hashes: sealed where it is kept.

use std::io::{Read as _, Write as _};

use age::{Decryptor, Encryptor};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::keys::{Identities, Recipients};
use crate::verification::WRONG;
use crate::{Damage, StoreError, VERIFIED, Verification};

/// What sealed words begin with; base64 of an age file follows.
const MARK: &str = "age:";
/// Stands for a hash that nobody here opens.
const HASH: &str = "sealed";

/// A verification as it is kept in the place of `before`: what that has and nobody here opens stays as it lies there, where it is told again. All else is
/// sealed to `readers`, if there are any.
pub(super) fn sealed(
    result: &Verification,
    before: Option<Verification>,
    readers: Option<&Recipients>,
    identities: Option<&Identities>,
) -> Result<Verification, StoreError> {
    let mut result = result.clone();
    let (damage, tested) = before
        .map(|before| (before.damage, before.tested))
        .unwrap_or_default();
    let is_closed = |words: &String| open(words, identities).is_none();
    let mut closed: Vec<_> = damage
        .into_iter()
        .filter(|damage| is_closed(&damage.what))
        .collect();
    for damage in &mut result.damage {
        let place = |of: &Damage| (of.file.clone(), of.frame);
        let same = |lying: &Damage| damage.is_sealed() && place(lying) == place(damage);
        damage.what = match closed.iter().position(same) {
            Some(lying) => closed.remove(lying).what,
            None => seal(&damage.what, readers)?,
        };
    }
    if let Some(now) = &mut result.tested {
        let before = tested.filter(|before| before.at == now.at);
        let (hash, difference) = before
            .map(|before| (Some(before.sha256), before.difference))
            .unwrap_or_default();
        now.sha256 = match hash.filter(is_closed) {
            Some(lying) if now.sha256 == HASH => lying,
            _ => seal(&now.sha256, readers)?,
        };
        if let Some(words) = &mut now.difference {
            *words = match difference.filter(is_closed) {
                Some(lying) if *words == WRONG => lying,
                _ => seal(words, readers)?,
            };
        }
    }
    Ok(result)
}

/// Whether any of them are.
pub(super) fn are_sealed(result: &Verification) -> bool {
    let is_sealed = |words: &str| words.starts_with(MARK);
    let tested = result.tested.as_ref().is_some_and(|tested| {
        is_sealed(&tested.sha256) || tested.difference.as_deref().is_some_and(is_sealed)
    });
    tested || result.damage.iter().any(|damage| is_sealed(&damage.what))
}

/// A verification as it was, as far as the identities open it.
pub(super) fn opened(mut result: Verification, identities: Option<&Identities>) -> Verification {
    let told = |words: &str, or_else: &str| open(words, identities).unwrap_or_else(|| or_else.to_owned());
    for damage in &mut result.damage {
        damage.what = told(&damage.what, WRONG);
    }
    if let Some(tested) = &mut result.tested {
        tested.sha256 = told(&tested.sha256, HASH);
        if let Some(difference) = &mut tested.difference {
            *difference = told(difference, WRONG);
        }
    }
    result
}

/// Words as they are kept: as they are where there are no readers.
fn seal(words: &str, readers: Option<&Recipients>) -> Result<String, StoreError> {
    let Some(readers) = readers else {
        return Ok(words.to_owned());
    };
    let encryptor = Encryptor::with_recipients(readers.iter())
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

/// Words as they were sealed; others as they are; `None` where nobody here opens them.
fn open(words: &str, identities: Option<&Identities>) -> Option<String> {
    let Some(sealed) = words.strip_prefix(MARK) else {
        return Some(words.to_owned());
    };
    let identities = identities?;
    let sealed = STANDARD.decode(sealed).ok()?;
    let decryptor = Decryptor::new(&sealed[..]).ok()?;
    let mut text = String::new();
    let mut reader = decryptor.decrypt(identities.iter()).ok()?;
    reader.read_to_string(&mut text).ok()?;
    Some(text)
}
