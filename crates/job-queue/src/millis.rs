//! Times as they are stored: whole milliseconds since the Unix epoch.

use time::{Duration, OffsetDateTime};

pub(crate) fn millis(time: OffsetDateTime) -> i64 {
    // Any date that `time` can hold is far below the limit.
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

pub(crate) fn from_millis(millis: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::milliseconds(millis))
}

#[cfg(any(feature = "object-store", feature = "sqlite"))]
pub(crate) fn whole_millis(time: OffsetDateTime) -> OffsetDateTime {
    from_millis(millis(time))
}
