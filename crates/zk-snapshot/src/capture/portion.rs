//! What a capture hands on.

use crate::archive::{Amendment, Record};

/// What a capture hands on, in this order: records, then amendments; a restart voids all that came before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Portion {
    /// The walk begins anew.
    Restart,
    /// What the walk met, parents before children.
    Records(Vec<Record>),
    /// What became of znodes afterwards, parents before children; at most one for each.
    Amendments(Vec<Amendment>),
}
