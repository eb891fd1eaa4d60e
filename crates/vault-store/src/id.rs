//! The names of vaults.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};

const FORMAT: &[BorrowedFormatItem<'static>] =
    format_description!("[year][month][day]T[hour][minute][second]");

/// The name of a vault: the UTC second it was asked for, `YYYYMMDDTHHMMSS`. Orders by time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VaultId(String);

/// A text is not a vault id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a backup id: expected a UTC time such as 20261123T140000")]
pub struct IdError;

impl VaultId {
    /// The id of the second in which `time` lies, or `None` outside the years 0 to 9999.
    #[must_use]
    pub fn from_time(time: OffsetDateTime) -> Option<Self> {
        let utc = time.checked_to_offset(time::UtcOffset::UTC)?;
        let text = utc.format(FORMAT).ok()?;
        text.parse().ok()
    }

    /// The second that the id names.
    #[must_use]
    pub fn time(&self) -> OffsetDateTime {
        // Checked when the id was made.
        parse(&self.0).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// The id of the following second, or `None` after the year 9999.
    #[must_use]
    pub fn next(&self) -> Option<Self> {
        Self::from_time(self.time().checked_add(Duration::SECOND)?)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn parse(text: &str) -> Option<OffsetDateTime> {
    if text.len() != 15 || !text.bytes().all(|b| b.is_ascii_digit() || b == b'T') {
        return None;
    }
    PrimitiveDateTime::parse(text, FORMAT)
        .ok()
        .map(PrimitiveDateTime::assume_utc)
}

impl FromStr for VaultId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        parse(text).map(|_| Self(text.to_owned())).ok_or(IdError)
    }
}

impl TryFrom<String> for VaultId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<VaultId> for String {
    fn from(id: VaultId) -> Self {
        id.0
    }
}

impl fmt::Display for VaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for VaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_seconds_are_ids() {
        for bad in [
            "",
            "20261123",
            "20261323T000000",
            "20260230T000000",
            "20261123T240000",
            "20261123T14:00:",
            "../../../../etc",
            "20261123t140000",
            "+0261123T140000",
            " 0261123T140000",
            "20261123T1400001",
        ] {
            assert_eq!(bad.parse::<VaultId>(), Err(IdError), "{bad:?}");
        }
        let id: VaultId = "20281231T235959".parse().unwrap();
        assert_eq!(VaultId::from_time(id.time()), Some(id.clone()));
        assert_eq!(id.next().unwrap().as_str(), "20290101T000000");
    }
}
