//! What went wrong below. Whoever may look at health is told it, so an answer's code and message are shown, and not what else is in it: ids of keys, signatures.

use object_store::Error;

use crate::QueueError;

/// # Errors
/// Always [`QueueError::Storage`].
pub(super) fn queue_error(error: &Error) -> QueueError {
    QueueError::storage(said(&with_cause(error)))
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

fn said(text: &str) -> String {
    if let (Some(code), Some(message)) = (between(text, "<Code>"), between(text, "<Message>")) {
        // Some put ids into further lines.
        let message = message.lines().next().unwrap_or_default();
        return format!("{code}: {message}");
    }
    for (begin, end) in [("status code: ", ": "), ("error response: ", "")] {
        if let Some(at) = text.find(begin) {
            let body = at + begin.len();
            let length = text.get(body..).and_then(|rest| rest.find(end)).unwrap_or(0);
            return text.get(..body + length).unwrap_or(text).to_owned();
        }
    }
    text.to_owned()
}

fn between<'a>(text: &'a str, begin: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    Some(rest.split_once('<')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_no_more_is_told_than_what_is_wrong() {
        let get =
            "Generic S3 error: Error performing GET http://s3/backups/jobs.json in 2ms - Server returned";
        for (answer, shown) in [
            (
                format!(
                    "{get} non-2xx status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code><Message>The signature does not match.\nRequestId:canary\
                     </Message><AWSAccessKeyId>canary</AWSAccessKeyId><StringToSign>canary</StringToSign></Error>"
                ),
                "SignatureDoesNotMatch: The signature does not match.".to_owned(),
            ),
            (
                format!("{get} non-2xx status code: 502 Bad Gateway: <html>canary</html>"),
                format!("{get} non-2xx status code: 502 Bad Gateway"),
            ),
            (
                format!("{get} error response: canary"),
                format!("{get} error response: "),
            ),
            ("no such place".to_owned(), "no such place".to_owned()),
        ] {
            assert_eq!(said(&answer), shown);
        }
    }
}
