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
    /// Those of them that a server with `emulate353TTLNodes` takes for TTL znodes of 3.5.3, and keeps.
    pub like_ttl_353: u64,
    /// The first 20 orphans.
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
            let exists = self.sessions.contains_key(&session);
            for at in owned {
                let path = self.path(self.node(at)).to_vec();
                if exists {
                    dropped.ephemerals += 1;
                } else {
                    dropped.orphans += 1;
                    dropped.like_ttl_353 += u64::from(is_like_ttl_353(session));
                    if dropped.orphan_paths.len() < 20 {
                        dropped.orphan_paths.push(name_of(&path));
                    }
                }
                match self.node(at).has_children() {
                    false => {}
                    true if exists => return Err(Fault::Children(name_of(&path))),
                    true => return Err(Fault::Orphan(name_of(&path))),
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

/// Whether this may be the mark of 3.5.3. Since 3.5.4 a mark begins with `ff`; sessions of servers from number 128 on begin like either.
fn is_like_ttl_353(owner: i64) -> bool {
    owner < 0 && owner >> 56 != -1
}
