//! Times in requests.

use serde::{Deserialize as _, Deserializer};
use serde_json::Value;

/// Seconds since the Unix epoch are below this until the year 5138, milliseconds above it since 1973.
const FEWEST_MS: i64 = 100_000_000_000;
/// In the year 33,658.
const MOST_MS: i64 = 999_999_999_999_999;

/// A number, or a text that holds one.
pub(super) fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let ms = match Value::deserialize(deserializer)? {
        Value::Null => return Ok(None),
        Value::String(text) => text,
        other => other.to_string(),
    };
    time(&ms).map(Some).map_err(serde::de::Error::custom)
}

/// Milliseconds since the Unix epoch, or what is wrong with them. A fraction, as Python's `time.time() * 1000` has one, is cut off.
pub(super) fn time(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let whole = text.parse().ok();
    let cut = || {
        let ms: f64 = text.parse().ok()?;
        (ms.abs() <= MOST_MS as f64).then_some(ms.floor() as i64)
    };
    match whole.or_else(cut) {
        None => Err("a number of milliseconds since the Unix epoch is expected".to_owned()),
        Some(ms) if ms < FEWEST_MS => Err(format!(
            "{ms} is too small for milliseconds since the Unix epoch: are these seconds?"
        )),
        Some(ms) if ms > MOST_MS => Err(format!("{ms} is too large for milliseconds since the Unix epoch")),
        Some(ms) => Ok(ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_milliseconds_and_no_seconds() {
        assert_eq!(time(" 1764201600123 "), Ok(1_764_201_600_123));
        assert_eq!(time("1764201600123.987"), Ok(1_764_201_600_123));
        assert_eq!(time("1.7642016001239e12"), Ok(1_764_201_600_123));
        for (text, why) in [
            ("1764201600", "are these seconds?"),
            ("1764201600.5", "are these seconds?"),
            ("-5", "too small"),
            ("9223372036854775807", "too large"),
            ("1e300", "is expected"),
            ("NaN", "is expected"),
            ("now", "is expected"),
            ("", "is expected"),
        ] {
            let refused = time(text).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}
