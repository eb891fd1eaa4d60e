//! What was found when a vault was checked, and what came of restoring it for a test.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Stands for what is wrong where nobody here opens the words that say it.
pub(crate) const WRONG: &str = "what is wrong is sealed";

/// The result of reading a whole vault and comparing it with its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// When it was done.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What is wrong; empty for a sound vault.
    pub damage: Vec<Damage>,
    /// The last time that it was restored for a test; absent where it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<Tested>,
}

impl Verification {
    /// The result of a check at `at` that found `damage`, of a vault that was not restored for a test.
    #[must_use]
    pub fn new(at: OffsetDateTime, damage: Vec<Damage>) -> Self {
        Self {
            at,
            damage,
            tested: None,
        }
    }

    /// Whether the vault is what was committed.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// Something in a vault that is not what was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Damage {
    /// The file.
    pub file: String,
    /// The frame, from 0, where the damage lies in one.
    pub frame: Option<usize>,
    /// What does not hold, in plain words.
    pub what: String,
}

impl Damage {
    /// Whether it was found, and sealed, by somebody else who could open the vault: it may lie deeper than the checksums of what is sealed.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.what == WRONG
    }
}

/// `archive.zst, frame 3: it is cut`.
impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if let Some(frame) = self.frame {
            write!(f, ", frame {frame}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// What came of restoring a vault for a test, and comparing what was restored with it znode by znode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Tested {
    /// When it ended.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// How long it took, in ms.
    pub took_ms: u64,
    /// To where it was restored: `memory`, or an ensemble.
    pub place: String,
    /// The job that did it.
    pub job: String,
    /// Who asked for it: `schedule`, or whoever did.
    pub by: String,
    /// Znodes that were read anew and compared.
    pub znodes: u64,
    /// SHA-256 of what was read of them, in lower-case hex.
    pub sha256: String,
    /// What differs, in plain words; absent where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub difference: Option<String>,
}

impl Tested {
    /// Whether all that was restored is as in the vault.
    #[must_use]
    pub fn is_proof(&self) -> bool {
        self.difference.is_none()
    }
}
