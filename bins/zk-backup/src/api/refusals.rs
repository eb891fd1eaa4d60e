//! What a server says as it refuses.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::lenient::or_default;

/// What a refusal says, as far as it says anything.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The server's own name for the kind of error.
    pub code: Option<String>,
    /// For people.
    pub message: Option<String>,
}

/// The forms in which it comes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    Told {
        #[serde(default, deserialize_with = "or_default")]
        code: Option<String>,
        #[serde(default, deserialize_with = "or_default")]
        message: Option<String>,
    },
    /// So an unknown backup is told.
    Text(String),
    /// Whatever else a proxy may say in JSON.
    Other(IgnoredAny),
}

impl Refusal {
    /// What the answer with this status code says.
    pub(super) fn of(status: u16, answer: &str) -> Self {
        match serde_json::from_str(answer) {
            // Older servers tell an unknown job without a code.
            Ok(Said::Told {
                code: None,
                message: Some(message),
            }) if status == 404 => Self {
                code: Some("job_not_found".to_owned()),
                message: Some(message),
            },
            Ok(Said::Told { code, message }) => Self { code, message },
            Ok(Said::Text(text)) => Self {
                code: None,
                message: Some(text),
            },
            Ok(Said::Other(_)) | Err(_) => Self::default(),
        }
    }
}

/// Whether an answer is of a job, whose status code says how it is: that of one that failed is the code of a server's fault.
pub(super) fn is_of_a_job(answer: &str) -> bool {
    #[derive(Deserialize)]
    struct Job {
        #[serde(rename = "task_id")]
        _id: IgnoredAny,
    }

    serde_json::from_str::<Job>(answer).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_it_says_and_no_more() {
        let of = |status, answer| {
            let Refusal { code, message } = Refusal::of(status, answer);
            (code.unwrap_or_default(), message.unwrap_or_default())
        };
        let told = |code: &str, message: &str| (code.to_owned(), message.to_owned());
        let full = r#"{"status": "Failed", "message": "no", "code": "backup_in_use"}"#;
        assert_eq!(of(409, full), told("backup_in_use", "no"));
        assert_eq!(of(404, r#""backup a not found""#), told("", "backup a not found"));
        assert_eq!(
            of(404, r#"{"message": "job a not found"}"#),
            told("job_not_found", "job a not found")
        );
        assert_eq!(of(500, r#"{"message": "why"}"#), told("", "why"));
        assert_eq!(of(409, r#"{"message": "why", "code": 7}"#), told("", "why"));
        for other in [
            "<html>",
            "",
            "null",
            "[]",
            "7",
            r#"{"error": "gone"}"#,
            r#"{"message": null}"#,
        ] {
            assert_eq!(of(404, other), told("", ""), "{other}");
        }
    }

    #[test]
    fn a_job_is_told_from_a_refusal() {
        assert!(is_of_a_job(
            r#"{"status": "Failed", "task_id": "a", "message": "why"}"#
        ));
        for other in [
            r#"{"status": "Failed", "message": "why", "code": "internal"}"#,
            "[]",
            "<html>",
        ] {
            assert!(!is_of_a_job(other), "{other}");
        }
    }
}
