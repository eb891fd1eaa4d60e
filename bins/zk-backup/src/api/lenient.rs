//! How a field of an answer is read that an older server lacks, and a newer one may have changed.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

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

/// What an object says; of anything else nothing is known. (A list would be taken for one by its places.)
pub(super) fn if_object<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let object = Map::deserialize(from);
    Ok(object
        .ok()
        .and_then(|object| T::deserialize(Value::Object(object)).ok()))
}

/// Whether something is said that is not `false`: a warning that is not understood is one.
pub(super) fn unless_false<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    let said = Value::deserialize(from)?;
    Ok(!said.is_null() && said != false)
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
