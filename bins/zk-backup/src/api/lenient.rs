//! How a field of an answer is read that an older server lacks, and a newer one may have changed.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// What is expected, or anything else.
#[derive(Deserialize)]
#[serde(untagged)]
enum Either<T> {
    This(T),
    Odd(IgnoredAny),
}

impl<T: Default> Either<T> {
    fn or_default(self) -> T {
        match self {
            Self::This(value) => value,
            Self::Odd(_) => T::default(),
        }
    }
}

/// What is null, or of another kind, is as if nothing was said.
pub(super) fn or_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Either::deserialize(from)?.or_default())
}

/// A list, none of whose entries gets lost: of one of another kind only nothing is known.
pub(super) fn entries<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    let entries: Vec<Either<T>> = or_default(from)?;
    Ok(entries.into_iter().map(Either::or_default).collect())
}

/// What is null is as if nothing was said; what is of another kind is refused.
pub(super) fn unless_null<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
