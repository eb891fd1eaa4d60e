//! What was found when a vault was checked.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The result of reading a whole vault and comparing it with its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// When it was done.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What is wrong; empty for a sound vault.
    pub damage: Vec<Damage>,
}

impl Verification {
    /// Whether the vault is what was committed.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// Something in a vault that is not what was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// The frame, from 0, where the damage lies in one.
    pub frame: Option<usize>,
    /// What does not hold, in plain words.
    pub what: String,
}
