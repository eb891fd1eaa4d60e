//! How much of all that is stored.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A part of all bytes that are stored, in percent: more than 0, at most 100.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Share(f64);

/// A text is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no share of all bytes, such as 5%: more than 0% and at most 100%")]
pub struct ShareError(String);

impl Share {
    /// All of it.
    pub const ALL: Self = Self(100.0);

    /// So much of `bytes`, rounded up.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )] // a share of 2^53 bytes need not be exact
    pub fn of(self, bytes: u64) -> u64 {
        (bytes as f64 * self.0 / 100.0).ceil() as u64
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::ALL
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let number = text.trim().strip_suffix('%').map(str::trim_end);
        let percent = number.and_then(|number| number.parse::<f64>().ok());
        let percent = percent.filter(|percent| *percent > 0.0 && *percent <= 100.0);
        percent.map(Self).ok_or_else(|| ShareError(text.to_owned()))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_more_than_nothing_and_at_most_everything() {
        let share = |text: &str| text.parse::<Share>();
        assert_eq!(share("100%").unwrap(), Share::ALL);
        assert_eq!(share("5%").unwrap().of(1_001), 51);
        assert_eq!(share("0.5 %").unwrap().of(1_000), 5);
        assert_eq!(share("12.5%").unwrap().to_string(), "12.5%");
        for bad in ["", "5", "0%", "-5%", "101%", "NaN%", "inf%", "%", "5%%"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }
}
