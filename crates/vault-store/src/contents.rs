//! What a vault holds, in the words of the capture that filled it: `mode` and `contents` of the manifest.
//!
//! What an earlier version did not note is `None`, never a guess.

use std::fmt;

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How a backup is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Mode {
    /// The znode tree, through the client API.
    #[default]
    Hierarchical,
    /// The state that ZooKeeper itself keeps, at one zxid: versions, container and TTL znodes included. Always all
    /// of it.
    Transactional,
}

impl Mode {
    /// Its name in manifests: `hierarchical` or `transactional`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hierarchical => "hierarchical",
            Self::Transactional => "transactional",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a backup shows one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Consistency {
    /// All of it is of one moment of the ensemble's history.
    Consistent,
    /// Its znodes may be of different moments.
    Fuzzy,
}

impl Consistency {
    /// Its name in manifests: `consistent` or `fuzzy`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consistent => "consistent",
            Self::Fuzzy => "fuzzy",
        }
    }
}

/// A transaction id of ZooKeeper; in manifests a text such as `0x10000002a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String, example = "0x10000002a"))]
pub struct Zxid(pub i64);

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

impl Serialize for Zxid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Zxid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = text.strip_prefix("0x").map(|hex| u64::from_str_radix(hex, 16));
        match number {
            Some(Ok(number)) => Ok(Self(number.cast_signed())),
            _ => Err(D::Error::custom(format!("{text:?} is no zxid"))),
        }
    }
}

/// What a vault holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[allow(clippy::large_enum_variant)] // there are few at once
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Contents {
    /// Of a backup through the client API.
    Hierarchical(Hierarchical),
    /// Of a backup of ZooKeeper's own state.
    Transactional(Transactional),
}

/// What is said of both kinds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Captured {
    /// Whether it shows one moment.
    pub consistency: Consistency,
    /// As of when.
    pub zxid: AsOf,
    /// Znodes that were captured; ancestors of what was asked for, and unreadable ones, are not counted.
    pub znodes: u64,
    /// Bytes of data in them.
    pub bytes: u64,
    /// Whether it is a good backup though something could not be read.
    #[serde(default)]
    pub allow_partial: bool,
    /// The ensemble that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub source: Option<String>,
}

/// As of when a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AsOf {
    /// The newest zxid that a captured znode speaks of, or that was replayed.
    pub newest: Zxid,
}

/// What a walk through the client API found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Hierarchical {
    /// What is said of both kinds.
    #[serde(flatten)]
    pub captured: Captured,
    /// How often what changed meanwhile was read again.
    pub rounds: Option<u32>,
    /// Znodes that still changed when the rounds were used up.
    pub moving: Option<Moving>,
    /// Ancestors of what was backed up that are of another moment.
    pub ancestors_apart: Option<u64>,
    /// Whether the counters of sequential children are known: `Stat`s of ClickHouse Keeper do not tell them.
    pub counters_known: Option<bool>,
    /// Znodes that disappeared between being listed and being read.
    pub vanished: u64,
    /// Znodes that are not in it.
    pub skipped: Skipped,
    /// Where the ACLs come from.
    pub acls: Option<AclsFrom>,
}

/// Znodes that would not keep still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Moving {
    /// How many.
    pub count: u64,
    /// The first 20.
    pub paths: Vec<String>,
}

/// Znodes that a walk left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Skipped {
    /// Ephemeral ones.
    pub ephemeral: u64,
    /// Those that could not be read in full.
    pub unreadable: u64,
    /// The first 20 of these.
    pub unreadable_paths: Vec<String>,
    /// The first 20 among them whose names are none, or which are too deep or too long, each after its parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub refused_names: Option<Vec<String>>,
}

/// How many ACLs were asked for, and how many were known from an earlier backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AclsFrom {
    pub read: u64,
    pub reused: u64,
}

/// What servers' own files, or a snapshot that one sent, made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Transactional {
    /// What is said of both kinds.
    #[serde(flatten)]
    pub captured: Captured,
    /// How many znodes are of which kind.
    pub kinds: Option<Kinds>,
    /// What was left out.
    pub skipped: Dropped,
    /// From what it was made.
    pub taken_from: TakenFrom,
}

/// How many znodes are of which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Kinds {
    pub persistent: u64,
    pub container: u64,
    pub ttl: u64,
}

/// What a state was cleaned of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Dropped {
    /// Ephemeral znodes.
    pub ephemeral: u64,
    /// Sessions.
    pub sessions: u64,
    /// Znodes of sessions that do not exist.
    pub orphans: u64,
    /// The first 20 of these.
    pub orphan_paths: Vec<String>,
    /// Always 0: files hide nothing.
    pub unreadable: u64,
    /// Always empty.
    pub unreadable_paths: Vec<String>,
}

/// From what a transactional backup was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TakenFrom {
    /// Which of the configured sources had it, such as `files`.
    pub source: String,
    /// Why those before it had not.
    pub not_possible: Vec<String>,
    /// The snapshot.
    pub snapshot: String,
    /// The logs whose transactions were replayed over it.
    pub logs: Vec<String>,
    /// How many transactions.
    pub replayed: u64,
    /// Files that were of no use, and why.
    pub passed_over: Vec<String>,
    /// How often the digest was compared with the server's, and differed.
    pub digests: Digests,
    /// Znodes that were read through the client API afterwards.
    pub read_later: u64,
    /// `exact`, or of which time the ACLs are.
    pub acls: String,
    /// Znodes that came meanwhile, of which nobody is told the kind.
    pub kind_unknown: u64,
    /// The first 20 of these.
    pub kind_unknown_paths: Vec<String>,
    /// Znodes with names that no server since 3.5 creates.
    pub old_names: u64,
    /// The first 20 of these.
    pub old_names_paths: Vec<String>,
    /// Why it is fuzzy, if it is. For a time this was a list.
    #[serde(deserialize_with = "one_or_several")]
    pub unsettled: Option<String>,
    /// What the ensemble was known to have committed before.
    pub committed: Option<Zxid>,
}

/// How often digests were compared, and differed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Digests {
    pub compared: u64,
    pub differing: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrSeveral {
    One(String),
    Several(Vec<String>),
}

fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Option::deserialize(deserializer)? {
        None => None,
        Some(OneOrSeveral::One(text)) => Some(text),
        Some(OneOrSeveral::Several(texts)) => Some(texts.join("; ")).filter(|text| !text.is_empty()),
    })
}

/// What tells contents of one mode from those of the other.
#[derive(Deserialize)]
struct Source {
    #[serde(default, deserialize_with = "there")]
    taken_from: bool,
}

/// Whether a field is there, null or not.
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'de> Deserialize<'de> for Contents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        // Only these name their source, and they always did.
        let source = Source::deserialize(&value).map_err(D::Error::custom)?;
        match source.taken_from {
            true => serde_json::from_value(value).map(Self::Transactional),
            false => serde_json::from_value(value).map(Self::Hierarchical),
        }
        .map_err(D::Error::custom)
    }
}

impl Contents {
    /// How it was taken.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self {
            Self::Hierarchical(_) => Mode::Hierarchical,
            Self::Transactional(_) => Mode::Transactional,
        }
    }

    /// What is said of both kinds.
    #[must_use]
    pub fn captured(&self) -> &Captured {
        match self {
            Self::Hierarchical(of) => &of.captured,
            Self::Transactional(of) => &of.captured,
        }
    }

    /// Whether the counters of sequential children are known. Where an earlier version did not note it, they are.
    #[must_use]
    pub fn counters_known(&self) -> bool {
        match self {
            Self::Hierarchical(of) => of.counters_known.unwrap_or(true),
            Self::Transactional(_) => true,
        }
    }

    /// TTL znodes that it is known to hold.
    #[must_use]
    pub fn ttl_znodes(&self) -> u64 {
        match self {
            Self::Transactional(of) => of.kinds.map_or(0, |kinds| kinds.ttl),
            Self::Hierarchical(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_backup_is_fuzzy_was_a_list_once() {
        let read = |unsettled: serde_json::Value| {
            let text = serde_json::json!({
                "consistency": "fuzzy", "zxid": { "newest": "0x7" }, "znodes": 1, "bytes": 0, "skipped": {},
                "taken_from": { "source": "files", "unsettled": unsettled },
            });
            match serde_json::from_value(text) {
                Ok(Contents::Transactional(contents)) => contents.taken_from.unsettled,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(read(serde_json::Value::Null), None);
        assert_eq!(read("late".into()).as_deref(), Some("late"));
        assert_eq!(read(serde_json::json!([])), None);
        assert_eq!(
            read(serde_json::json!(["late", "cut"])).as_deref(),
            Some("late; cut")
        );
    }
}
