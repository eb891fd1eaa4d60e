//! One znode as an archive holds it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::tree::{Acl, Stat, ZnodePath};

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
    /// It could not be read, or is deeper or longer than a capture goes: data, ACL and children are unknown, and a restore
    /// leaves it alone.
    Unreadable,
}

impl Record {
    /// One of a znode of which nothing is known but that it is there.
    #[must_use]
    pub fn unreadable(path: ZnodePath) -> Self {
        Self {
            path,
            role: Role::Unreadable,
            data: Vec::new(),
            acl: Acl::default(),
            stat: Stat::default(),
        }
    }

    /// Appends the record as a line of JSON: what serde would write, without the detours.
    pub(super) fn write_line(
        &self,
        last_acl: &mut (Acl, Vec<u8>),
        out: &mut Vec<u8>,
    ) -> serde_json::Result<()> {
        if last_acl.1.is_empty() || last_acl.0 != self.acl {
            *last_acl = (self.acl.clone(), serde_json::to_vec(&self.acl)?);
        }
        out.extend_from_slice(br#"{"path":"#);
        serde_json::to_writer(&mut *out, &self.path)?;
        if !self.role.is_captured() {
            out.extend_from_slice(br#","role":"#);
            serde_json::to_writer(&mut *out, &self.role)?;
        }
        out.extend_from_slice(br#","data":""#);
        let begin = out.len();
        out.resize(begin + self.data.len().div_ceil(3) * 4, 0);
        // No character of base64 needs escaping, and the room is what the encoding takes.
        let written = STANDARD
            .encode_slice(&self.data, &mut out[begin..])
            .map_err(serde::ser::Error::custom)?;
        out.truncate(begin + written);
        out.extend_from_slice(br#"","acl":"#);
        out.extend_from_slice(&last_acl.1);
        out.extend_from_slice(br#","stat":"#);
        serde_json::to_writer(&mut *out, &self.stat)?;
        out.extend_from_slice(b"}\n");
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::AclEntry;

    #[test]
    fn a_line_is_what_serde_writes() {
        let closed = Acl::new(vec![AclEntry {
            perms: 1,
            scheme: "digest".to_owned(),
            id: "b\"ob:ZWxzZXdoZXJlIQ==".to_owned(),
        }]);
        let mut last = (Acl::default(), Vec::new());
        for (path, role, length, acl) in [
            ("/", Role::Captured, 0, Acl::default()),
            ("/a", Role::Ancestor, 1, Acl::open()),
            ("/a b/\"ł\\", Role::Captured, 256, closed.clone()),
            ("/c", Role::Unreadable, 2, closed),
            ("/d", Role::Captured, 3, Acl::open()),
        ] {
            let record = Record {
                path: ZnodePath::parse(path).unwrap(),
                role,
                data: (0..length).map(|byte| byte as u8).collect(),
                acl,
                stat: Stat {
                    czxid: i64::MIN,
                    mtime: i64::MAX,
                    version: -1,
                    ..Stat::default()
                },
            };
            let mut line = Vec::new();
            record.write_line(&mut last, &mut line).unwrap();
            assert_eq!(
                String::from_utf8(line).unwrap(),
                serde_json::to_string(&record).unwrap() + "\n"
            );
        }
    }
}
