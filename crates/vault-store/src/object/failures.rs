//! What went wrong below, in words that help.

use std::fmt::Display;

use object_store::Error;

use crate::StoreError;

/// Whether there is no such object. A bucket or a key that is not there is another matter, which some servers tell by the same status.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. })
        && matches!(
            between(&error.to_string(), "<Code>", "<"),
            None | Some("NoSuchKey" | "BlobNotFound")
        )
}

const WRONG_REGION: &str = "the region is not that of the bucket";

/// Tells what failed, and whether the same may succeed later.
pub(super) fn store_error(what: impl Display, error: &Error) -> StoreError {
    let text = with_cause(error);
    let code = between(&text, "<Code>", "<").unwrap_or_default();
    let said = match between(&text, "<Message>", "<") {
        Some(said) => format!("{code}: {said}"),
        None => text.clone(),
    };
    let (hint, transient) = match code {
        "RequestTimeTooSkewed" => ("the clock of this machine is off", false),
        "NoSuchBucket" | "ContainerNotFound" => ("there is no such bucket", false),
        "InvalidAccessKeyId" | "XAdminUserNotFound" => ("the key id is not known", false),
        "SignatureDoesNotMatch" => ("the secret is not that of the key id", false),
        "ExpiredToken" | "TokenRefreshRequired" => ("the credentials have expired", true),
        "AuthenticationFailed" | "InvalidAuthenticationInfo" => ("the credentials are refused", false),
        "AccessDenied" | "AllAccessDisabled" | "AuthorizationFailure" | "AuthorizationPermissionMismatch" => {
            ("the credentials may not do this", false)
        }
        "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" => {
            ("the bytes were changed on their way", true)
        }
        "SlowDown" | "ServerBusy" | "ServiceUnavailable" | "InternalError" | "RequestTimeout"
        | "OperationAborted" => ("the storage is busy", true),
        "AuthorizationHeaderMalformed" | "PermanentRedirect" => (WRONG_REGION, false),
        // As some answer who was asked in another region than theirs.
        _ if text.contains("Received redirect without LOCATION") => (WRONG_REGION, false),
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

/// Whether a deletion was refused because the object is under retention or a legal hold. Only the server's own words tell it: buckets and keys
/// are named as people like.
pub(super) fn is_retained(error: &Error) -> bool {
    let text = error.to_string();
    let Some(400 | 403 | 409) = status(&text) else {
        return false;
    };
    let code = between(&text, "<Code>", "<").unwrap_or_default();
    let message = between(&text, "<Message>", "<").unwrap_or_default();
    let words = message.split_whitespace().filter(|word| !word.contains("arn:"));
    let said: Vec<_> = std::iter::once(code).chain(words).collect();
    let said = said.join(" ").to_lowercase();
    [
        "object lock",
        "objectlock",
        "worm protected",
        "retention",
        "legal hold",
        "immutable",
    ]
    .iter()
    .any(|word| said.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a request fails whose URL has these words.
    fn failed(answer: &str) -> Error {
        let url = "https://s3.example/retention/immutable/manifests/20261123T140000.json";
        Error::Generic {
            store: "S3",
            source: format!("Error performing DELETE {url} in 1ms - {answer}").into(),
        }
    }

    fn refused(status: &str, code: &str, message: &str) -> Error {
        failed(&format!(
            "Server returned non-2xx status code: {status}: <Error><Code>{code}</Code><Message>{message}</Message></Error>"
        ))
    }

    #[test]
    fn a_failed_deletion_where_something_is_named_retention_is_not_one_that_is_retained() {
        let denied = "User: arn:aws:iam::1:user/retention is not authorized to perform: s3:DeleteObject on \
                      arn:aws:s3:::immutable-backups/retention";
        for error in [
            failed("HTTP error: connection closed before message completed"),
            refused("403 Forbidden", "AccessDenied", "Access Denied"),
            refused("403 Forbidden", "AccessDenied", denied),
            refused("503 Service Unavailable", "SlowDown", "look at the retention"),
        ] {
            assert!(!is_retained(&error), "{error}");
        }
        for error in [
            refused(
                "403 Forbidden",
                "AccessDenied",
                "Access Denied because object protected by object lock.",
            ),
            refused(
                "400 Bad Request",
                "InvalidRequest",
                "Object is WORM protected and cannot be overwritten",
            ),
            refused("409 Conflict", "ObjectImmutable", "no"),
        ] {
            assert!(is_retained(&error), "{error}");
        }
    }

    #[test]
    fn what_an_answer_says_is_named_and_whether_it_may_pass() {
        for (status, code, named, may_pass) in [
            (
                "403 Forbidden",
                "RequestTimeTooSkewed",
                "the clock of this machine is off",
                false,
            ),
            (
                "400 Bad Request",
                "ExpiredToken",
                "the credentials have expired",
                true,
            ),
            ("503 Service Unavailable", "SlowDown", "the storage is busy", true),
            (
                "400 Bad Request",
                "BadDigest",
                "the bytes were changed on their way",
                true,
            ),
        ] {
            let error = store_error("manifests", &refused(status, code, "in other words"));
            let said = error.to_string();
            assert!(
                said.contains(&format!("{named} ({code}: in other words)")),
                "{said}"
            );
            assert!(!said.contains("s3.example"), "{said}");
            assert_eq!(error.may_pass(), may_pass, "{said}");
        }
        // Of what has no name the status tells.
        for (status, may_pass) in [
            ("503 Service Unavailable", true),
            ("429 Too Many Requests", true),
            ("400 Bad Request", false),
        ] {
            let error = store_error("manifests", &refused(status, "Unheard", "in other words"));
            let said = error.to_string();
            assert!(said.contains("Unheard: in other words"), "{said}");
            assert_eq!(error.may_pass(), may_pass, "{said}");
        }
    }

    #[test]
    fn a_wrong_region_does_not_pass() {
        let redirect =
            "Received redirect without LOCATION, this normally indicates an incorrectly configured region";
        let error = store_error("manifests", &failed(redirect));
        assert!(
            !error.may_pass() && error.to_string().contains("the region is not that of the bucket"),
            "{error}"
        );
        assert!(store_error("manifests", &failed("HTTP error: timed out")).may_pass());
    }
}
