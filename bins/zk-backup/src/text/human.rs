//! Sizes, ages and times as people read them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Such as `1.2 MiB`.
#[must_use]
pub(crate) fn bytes(bytes: u64) -> String {
    let mut unit = "B";
    let (mut whole, mut rest) = (bytes, 0);
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if whole < 1_024 {
            break;
        }
        (whole, rest, unit) = (whole / 1_024, whole % 1_024, next);
    }
    match unit {
        "B" => format!("{whole} B"),
        _ => format!("{whole}.{} {unit}", rest * 10 / 1_024),
    }
}

/// With a blank between thousands: `12 345`.
#[must_use]
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// Such as `3h ago`; `in 2min` for what is to come.
#[must_use]
pub(crate) fn age(then: OffsetDateTime, now: OffsetDateTime) -> String {
    let seconds = (now - then).whole_seconds();
    let length = seconds.unsigned_abs();
    let (number, unit) = match length {
        0..60 => (length, "s"),
        60..3_600 => (length / 60, "min"),
        3_600..86_400 => (length / 3_600, "h"),
        _ => (length / 86_400, "d"),
    };
    match seconds {
        0.. => format!("{number}{unit} ago"),
        _ => format!("in {number}{unit}"),
    }
}

/// In UTC, to the second: `2026-11-23 14:00:00 UTC`.
#[must_use]
pub(crate) fn exact(time: OffsetDateTime) -> String {
    let time = time.to_offset(time::UtcOffset::UTC);
    let (hour, minute, second) = time.to_hms();
    format!("{} {hour:02}:{minute:02}:{second:02} UTC", time.date())
}

/// The time of a number of ms since the beginning of 1970, or that beginning, where there is no such time.
#[must_use]
pub(crate) fn date(ms: i64) -> OffsetDateTime {
    let date = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    date.unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// What RFC 3339 says.
#[must_use]
pub(crate) fn parse_time(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// Such as `9.3 s`, of a number of ms.
#[must_use]
pub(crate) fn spent(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// How much of the whole it is, in percent.
#[must_use]
pub(crate) fn percent(part: u64, whole: u64) -> u64 {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    u64::try_from(percent).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    #[test]
    fn sizes_have_one_digit_after_the_point() {
        for (given, shown) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_300_000, "1.2 MiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(bytes(given), shown);
        }
        assert_eq!(
            [count(0), count(999), count(1_234_567)],
            ["0", "999", "1 234 567"]
        );
    }

    #[test]
    fn ages_have_the_greatest_unit_that_fits() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(365);
        for (back, shown) in [
            (Duration::seconds(0), "0s ago"),
            (Duration::minutes(59), "59min ago"),
            (Duration::hours(3), "3h ago"),
            (Duration::days(40), "40d ago"),
            (Duration::minutes(-2), "in 2min"),
        ] {
            assert_eq!(age(now - back, now), shown);
        }
        assert_eq!(exact(OffsetDateTime::UNIX_EPOCH), "1970-01-01 00:00:00 UTC");
        assert_eq!(
            [spent(12), spent(9_312), spent(61_000), spent(7_320_000)],
            ["12 ms", "9.3 s", "1 min 1 s", "2 h 2 min"]
        );
    }
}
