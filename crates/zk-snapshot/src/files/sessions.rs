//! What sessions own in a tree, and leaving that out.

use super::Fault;
use super::acls::Acls;
use super::paths::{name_of, parent};
use super::tree::FileTree;
use crate::tree::Kind;

/// What was left out, since it belongs to sessions that are not there any more after a restore.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Sessions.
    pub sessions: u64,
    /// Their ephemeral znodes.
    pub ephemerals: u64,
    /// Znodes owned by a session that does not exist: a server that loads them deletes them. TTL znodes of 3.5.3
    /// look like that.
    pub orphans: u64,
    /// The first 20 of these.
    pub orphan_paths: Vec<String>,
}

impl FileTree {
    pub(super) fn own(&mut self, at: u32) {
        let owner = self.node(at).stat.owner;
        if self.kind(owner) == Kind::Ephemeral {
            self.owned.entry(owner).or_default().insert(at);
        }
    }

    pub(super) fn release(&mut self, at: u32) {
        let owner = self.node(at).stat.owner;
        if let Some(owned) = self.owned.get_mut(&owner) {
            owned.remove(&at);
        }
    }

    /// What an owner says. A session may have a number that looks like the mark of a TTL znode.
    pub(super) fn kind(&self, owner: i64) -> Kind {
        match Kind::of_owner(owner) {
            Kind::Ttl(_) if self.sessions.contains_key(&owner) => Kind::Ephemeral,
            kind => kind,
        }
    }

    /// Leaves out what belongs to sessions, and checks that what is left is whole.
    pub(super) fn drop_sessions(&mut self) -> Result<Dropped, Fault> {
        let mut dropped = Dropped {
            sessions: self.sessions.len() as u64,
            ..Dropped::default()
        };
        for (session, owned) in std::mem::take(&mut self.owned) {
            for at in owned {
                let path = self.path(self.node(at)).to_vec();
                if self.sessions.contains_key(&session) {
                    dropped.ephemerals += 1;
                } else {
                    dropped.orphans += 1;
                    if dropped.orphan_paths.len() < 20 {
                        dropped.orphan_paths.push(name_of(&path));
                    }
                }
                if self.node(at).has_children() {
                    return Err(Fault::Children(name_of(&path)));
                }
                let above = parent(&path).and_then(|path| self.find(path));
                self.remove(at, above);
            }
        }
        self.sessions.clear();
        match self.seen().find(|seen| seen.node.acl == Acls::UNKNOWN) {
            Some(seen) => Err(Fault::NoAcl(name_of(seen.path))),
            None => Ok(dropped),
        }
    }
}
