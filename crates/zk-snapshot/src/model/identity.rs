//! Who a client is, and what an ACL lets it do.

use crate::tree::{Acl, AclEntry, WriteError};

/// As whom a connection is known to the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    digest: Option<String>,
    is_super: bool,
}

impl Identity {
    /// Nobody in particular.
    #[must_use]
    pub fn anyone() -> Self {
        Self {
            digest: None,
            is_super: false,
        }
    }

    /// A `digest` identity; `hash` stands for that of its password.
    #[must_use]
    pub fn digest(user: &str, hash: &str) -> Self {
        Self {
            digest: Some(format!("{user}:{hash}")),
            is_super: false,
        }
    }

    /// The one that passes every check.
    #[must_use]
    pub fn superuser() -> Self {
        Self {
            is_super: true,
            ..Self::digest("super", "hash")
        }
    }

    /// As whom the server tells the client to be known (`whoAmI`), which it does without digests.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let user = self.digest.as_ref().and_then(|id| id.split(':').next());
        let user = user.map(|user| format!("digest:{user}"));
        let is_super = self.is_super.then(|| "super:".to_owned());
        is_super
            .into_iter()
            .chain(user)
            .chain([String::from("ip:127.0.0.1")])
            .collect()
    }

    /// A list under which only this identity may do anything; for [`anyone`](Self::anyone), everybody.
    #[must_use]
    pub fn only(&self) -> Acl {
        self.digest.as_ref().map_or_else(Acl::open, |id| {
            Acl::new(vec![AclEntry {
                perms: 31,
                scheme: "digest".to_owned(),
                id: id.clone(),
            }])
        })
    }

    /// An ACL under which a connection of this identity may do everything.
    #[must_use]
    pub fn working_acl(&self) -> Acl {
        if self.digest.is_some() {
            Acl::creator()
        } else {
            Acl::open()
        }
    }

    /// Whether `acl` grants one of `permissions` (`ZooKeeperServer.checkACL`).
    #[must_use]
    pub fn may(&self, acl: &Acl, permissions: u32) -> bool {
        let is_us = |entry: &AclEntry| match entry.scheme.as_str() {
            "world" => true,
            "digest" => self.digest.as_ref() == Some(&entry.id),
            _ => false,
        };
        let grants = |entry: &AclEntry| entry.perms & permissions != 0 && is_us(entry);
        self.is_super || acl.entries().is_empty() || acl.entries().iter().any(grants)
    }

    /// The list that is stored where this one is asked for (`PrepRequestProcessor.fixupACL`).
    pub(super) fn fixed(&self, acl: &Acl) -> Result<Acl, WriteError> {
        let mut fixed: Vec<AclEntry> = Vec::new();
        for entry in acl.entries() {
            let id = match (entry.scheme.as_str(), entry.id.as_str()) {
                ("world", "anyone") | ("ip", _) => entry.clone(),
                ("digest", id) if id.split(':').count() == 2 => entry.clone(),
                ("auth", _) => AclEntry {
                    perms: entry.perms,
                    scheme: "digest".to_owned(),
                    id: self.digest.clone().ok_or(WriteError::InvalidAcl)?,
                },
                _ => return Err(WriteError::InvalidAcl),
            };
            if !fixed.contains(&id) {
                fixed.push(id);
            }
        }
        if fixed.is_empty() {
            return Err(WriteError::InvalidAcl);
        }
        Ok(Acl::new(fixed))
    }

    /// What `getACL` shows of it: the digests to whom has ADMIN alone.
    pub(super) fn shown(&self, acl: &Acl) -> Acl {
        if self.may(acl, 16) {
            return acl.clone();
        }
        let mask = |entry: &AclEntry| {
            let user = entry.id.split(':').next().unwrap_or_default();
            let id = if entry.scheme == "digest" {
                format!("{user}:x")
            } else {
                entry.id.clone()
            };
            AclEntry { id, ..entry.clone() }
        };
        Acl::new(acl.entries().iter().map(mask).collect())
    }
}
