//! What went wrong below, in words that help.

use std::fmt::Display;

use object_store::Error;

use crate::StoreError;

/// Whether there is no such object; a bucket that is not there is another matter.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. })
        && between(&error.to_string(), "<Code>", "<") != Some("NoSuchBucket")
}

/// Tells what failed, and whether the same may succeed later.
pub(super) fn told(what: impl Display, error: &Error) -> StoreError {
    let text = error.to_string();
    let code = between(&text, "<Code>", "<");
    let (hint, transient) = match code {
        Some("RequestTimeTooSkewed") => ("the clock of this machine is off", false),
        Some("NoSuchBucket") => ("there is no such bucket", false),
        Some("InvalidAccessKeyId") => ("the key id is not known", false),
        Some("SignatureDoesNotMatch") => ("the secret is not that of the key id", false),
        Some("ExpiredToken" | "TokenRefreshRequired") => ("the credentials have expired", true),
        Some("AccessDenied" | "AllAccessDisabled") => ("the credentials may not do this", false),
        Some("BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch") => {
            ("the bytes were changed on their way", true)
        }
        Some("SlowDown" | "ServiceUnavailable" | "InternalError" | "RequestTimeout" | "OperationAborted") => {
            ("the storage is busy", true)
        }
        _ => ("", passes(error, &text)),
    };
    match code {
        Some(code) if !hint.is_empty() => {
            let said = between(&text, "<Message>", "<").unwrap_or_default();
            StoreError::failed(what, transient, format!("{hint} ({code}: {said})"))
        }
        _ => StoreError::failed(what, transient, text),
    }
}

/// Whether a failure without a known code may pass.
fn passes(error: &Error, text: &str) -> bool {
    match status(text) {
        Some(status) => status >= 500 || matches!(status, 408 | 409 | 429),
        // Connections, timeouts, disks.
        None => matches!(error, Error::Generic { .. } | Error::JoinError { .. }),
    }
}

fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    Some(rest.split_once(end)?.0)
}

/// Whether a deletion was refused because the object is under retention or a legal hold.
pub(super) fn is_retained(error: &Error) -> bool {
    let text = error.to_string().to_lowercase();
    [
        "object lock",
        "objectlock",
        "worm protected",
        "retention",
        "legal hold",
        "immutable",
    ]
    .iter()
    .any(|word| text.contains(word))
}
