use serde::{Deserialize, Serialize};

use crate::{Acl, Stat, ZnodePath};

/// One znode in an archive; one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Where it was.
    pub path: ZnodePath,
    /// Why it is in the archive.
    #[serde(default, skip_serializing_if = "Role::is_captured")]
    pub role: Role,
    /// Its data, in standard base64 with padding.
    #[serde(with = "base64_bytes")]
    pub data: Vec<u8>,
    /// Its access control list.
    pub acl: Acl,
    /// Its `Stat`.
    pub stat: Stat,
}

/// A record without what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Outline {
    /// Where it was.
    pub path: ZnodePath,
    /// Why it is in the archive.
    #[serde(default)]
    pub role: Role,
}

impl Outline {
    /// That of `record`.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self {
            path: record.path.clone(),
            role: record.role,
        }
    }
}

/// Why a record is in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It was asked for.
    #[default]
    Captured,
    /// It is above what was asked for, and is created at restore only where it is missing.
    Ancestor,
    /// The server refused to show it: data, ACL and children are unknown, and a restore leaves it alone.
    Unreadable,
}

impl Role {
    #[allow(clippy::trivially_copy_pass_by_ref)] // the signature serde asks for
    fn is_captured(&self) -> bool {
        *self == Self::Captured
    }
}

mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(data: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(data))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}
