//! What schedules of checks asked for last.

/// The checks that schedules asked for last.
#[derive(Debug, Default)]
pub(super) struct LastChecks {
    pub(super) verify: Option<String>,
    pub(super) test: Option<String>,
}
