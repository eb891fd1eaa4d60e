//! What is known of a znode whose writes met something else than what was read.

use super::Change;
use super::plan::Hint;

/// What is known of a znode whose writes did not go as planned.
#[derive(Debug, Default)]
pub(super) struct Surprise {
    pub(super) hint: Hint,
    pub(super) tries: u8,
    /// Its request was one of several that a connection was lost with, or the only one: it goes out alone.
    pub(super) alone: bool,
    pub(super) lost_alone: u8,
    /// How often it was opened to us, so that it could be looked at.
    pub(super) opened: u8,
    /// Somebody else had created it.
    pub(super) met: bool,
    /// What may have been done all the same.
    pub(super) unsure: Option<Change>,
}
