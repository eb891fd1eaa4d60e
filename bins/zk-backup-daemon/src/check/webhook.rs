//! Whether `WEBHOOK_URL` can be reached. It is told nothing: to a `HEAD` whoever listens only says that it is there.

use reqwest::StatusCode;
use time::OffsetDateTime;

use super::finding::Finding;
use super::zookeeper::OFF;
use crate::Settings;
use crate::webhook::{Greeted, Receiver};

pub(super) async fn look(settings: &Settings, now: impl Fn() -> OffsetDateTime) -> Vec<Finding> {
    let Some(webhook) = &settings.webhook else {
        return Vec::new();
    };
    let receiver = match Receiver::new(webhook) {
        Ok(receiver) => receiver,
        Err(error) => return vec![Finding::fails("webhook", error.to_string())],
    };
    match receiver.greet().await {
        Ok(greeted) => findings_of(&greeted, now()),
        // The URL may hold a secret, and is not shown.
        Err(why) => vec![Finding::fails("webhook", format!("WEBHOOK_URL: {why}"))],
    }
}

fn findings_of(greeted: &Greeted, now: OffsetDateTime) -> Vec<Finding> {
    let status = greeted.status;
    let answers = format!(
        "WEBHOOK_URL is reached, and answers a HEAD by {}",
        status.as_u16()
    );
    // Whoever only takes what is posted need not know more than that.
    let is_unknown = status == StatusCode::NOT_IMPLEMENTED;
    let finding = if status.is_redirection() {
        Finding::warning(
            "webhook",
            format!("{answers}: redirects are not followed, name the URL that it leads to"),
        )
    } else if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED || status.is_server_error() && !is_unknown {
        Finding::warning(
            "webhook",
            format!("{answers}: if it answers so to what it is told, that waits until it does not"),
        )
    } else {
        Finding::ok(
            "webhook",
            format!("{answers}: whether it takes what it is told is seen then"),
        )
    };
    let clock = greeted.at.map(|at| clock(now - at));
    [finding].into_iter().chain(clock).collect()
}

/// By how much this machine is `ahead` of the one that has answered: either may be wrong.
fn clock(ahead: time::Duration) -> Finding {
    let seconds = ahead.whole_seconds().unsigned_abs();
    let message = match ahead.abs() > OFF {
        false => return Finding::ok("clock", "that of WEBHOOK_URL's machine is about the same"),
        true if ahead.is_positive() => format!("{seconds} seconds ahead of"),
        true => format!("{seconds} seconds behind"),
    };
    Finding::warning(
        "clock",
        format!("that of this machine is {message} that of WEBHOOK_URL's: set the one that is wrong"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-25 12:00:00 UTC);

    fn found(status: StatusCode, at: Option<OffsetDateTime>) -> Vec<Value> {
        let findings = findings_of(&Greeted { status, at }, NOW);
        findings.iter().map(|finding| json!(finding)).collect()
    }

    #[test]
    fn only_what_would_be_no_better_for_news_is_a_warning() {
        for (status, outcome, says) in [
            (
                204,
                "ok",
                "answers a HEAD by 204: whether it takes what it is told",
            ),
            (404, "ok", "404"),
            (405, "ok", "405"),
            (501, "ok", "501"),
            (301, "warning", "name the URL that it leads to"),
            (407, "warning", "waits until it does not"),
            (502, "warning", "waits until it does not"),
        ] {
            let found = found(StatusCode::from_u16(status).unwrap(), None);
            assert_eq!(found.len(), 1, "{found:?}");
            let message = found[0]["message"].as_str().unwrap();
            assert!(
                found[0]["outcome"] == outcome && message.contains(says),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_clock_that_is_another_is_told_in_either_direction() {
        for (seconds, outcome, says) in [
            (-61, "warning", "is 61 seconds ahead of that"),
            (-60, "ok", "about the same"),
            (0, "ok", "about the same"),
            (3_600, "warning", "is 3600 seconds behind that"),
        ] {
            let at = NOW + time::Duration::seconds(seconds);
            let found = found(StatusCode::OK, Some(at));
            let message = found[1]["message"].as_str().unwrap();
            assert!(
                found[1]["check"] == "clock" && found[1]["outcome"] == outcome && message.contains(says),
                "{found:?}"
            );
        }
    }
}
