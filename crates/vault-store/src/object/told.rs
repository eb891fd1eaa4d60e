//! What went wrong below, in words that help.

use std::fmt::Display;

use object_store::Error;

use crate::StoreError;

/// Whether there is no such object. A bucket or a key that is not there is another matter, which some servers tell by the same status.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. })
        && matches!(
            between(&error.to_string(), "<Code>", "<"),
            None | Some("NoSuchKey")
        )
}

/// Tells what failed, and whether the same may succeed later.
pub(super) fn told(what: impl Display, error: &Error) -> StoreError {
    let text = with_cause(error);
    let code = between(&text, "<Code>", "<").unwrap_or_default();
    let said = match between(&text, "<Message>", "<") {
        Some(said) => format!("{code}: {said}"),
        None => text.clone(),
    };
    let (hint, transient) = match code {
        "RequestTimeTooSkewed" => ("the clock of this machine is off", false),
        "NoSuchBucket" => ("there is no such bucket", false),
        "InvalidAccessKeyId" | "XAdminUserNotFound" => ("the key id is not known", false),
        "SignatureDoesNotMatch" => ("the secret is not that of the key id", false),
        "ExpiredToken" | "TokenRefreshRequired" => ("the credentials have expired", true),
        "AccessDenied" | "AllAccessDisabled" => ("the credentials may not do this", false),
        "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" => {
            ("the bytes were changed on their way", true)
        }
        "SlowDown" | "ServiceUnavailable" | "InternalError" | "RequestTimeout" | "OperationAborted" => {
            ("the storage is busy", true)
        }
        _ if text.contains("invalid peer certificate") => {
            ("the certificate of the server is not trusted", false)
        }
        _ => return StoreError::failed(what, passes(error, &text), said),
    };
    StoreError::failed(what, transient, format!("{hint} ({said})"))
}

/// The text of an error, with that of what it comes from at last where it does not say it.
fn with_cause(error: &Error) -> String {
    let mut text = error.to_string();
    let mut last: &dyn std::error::Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    let cause = last.to_string();
    if !text.contains(&cause) {
        text = format!("{text}: {cause}");
    }
    text
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
