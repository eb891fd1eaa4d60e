//! Who may read what while a restore is under way.

use crate::tree::{Acl, AclEntry};

const READ: u32 = 1;
const ALL: u32 = 31;

/// The lists under which a znode stands until its own can be set.
pub(super) struct Guards {
    /// For a znode that holds nothing of the backup yet, or that only we may read.
    pub(super) working: Acl,
    /// For one that holds data of the backup: nobody else may read it.
    pub(super) narrow: Acl,
}

impl Guards {
    /// From an ACL under which our connection may do everything. Where the server knows no identity of ours, that is
    /// everybody's; then data are kept from readers by an ACL that lets nobody read, ourselves included.
    pub(super) fn new(working: Acl) -> Self {
        let narrow = if working.lets_anyone_read() {
            Acl::new(vec![AclEntry {
                perms: ALL & !READ,
                scheme: "world".to_owned(),
                id: "anyone".to_owned(),
            }])
        } else {
            working.clone()
        };
        Self { working, narrow }
    }

    /// Whether only we may read what stands under the working ACL.
    pub(super) fn hides(&self) -> bool {
        !self.working.lets_anyone_read()
    }

    /// The list under which we may do everything with a live znode that is to become `wanted`, and which shows nobody
    /// more than that.
    pub(super) fn admitting(&self, live: &Acl, wanted: &Acl) -> &Acl {
        if self.hides() || (live.lets_anyone_read() && wanted.lets_anyone_read()) {
            &self.working
        } else {
            &self.narrow
        }
    }

    /// Whether `live` is one of these lists. The server has put our identities where `auth` was said.
    pub(super) fn is_ours(&self, live: &Acl) -> bool {
        if self.hides() {
            let identity = |entry: &AclEntry| entry.perms == ALL && entry.scheme != "world";
            !live.entries().is_empty() && live.entries().iter().all(identity)
        } else {
            live.same_as(&self.working) || live.same_as(&self.narrow)
        }
    }
}

/// Whether `live` lets somebody read whom `wanted` does not.
pub(super) fn exposes(live: &Acl, wanted: &Acl) -> bool {
    let reads = |entry: &&AclEntry| entry.perms & READ != 0;
    let masked = live.is_masked() || wanted.is_masked();
    !wanted.lets_anyone_read()
        && live.entries().iter().filter(reads).any(|entry| {
            !wanted
                .entries()
                .iter()
                .filter(reads)
                .any(|other| is_whom(entry, other, masked))
        })
}

/// Whether both name the same client. Of digests that the server may have hidden, only the users' names are known.
fn is_whom(entry: &AclEntry, other: &AclEntry, masked: bool) -> bool {
    let user = |id: &'_ str| id.split_once(':').map(|(user, _)| user.to_owned());
    let is_digest = entry.scheme == "digest";
    entry.scheme == other.scheme
        && (entry.id == other.id || (is_digest && masked && user(&entry.id) == user(&other.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[(u32, &str, &str)]) -> Acl {
        let entry = |(perms, scheme, id): &(u32, &str, &str)| AclEntry {
            perms: *perms,
            scheme: (*scheme).to_owned(),
            id: (*id).to_owned(),
        };
        Acl::new(entries.iter().map(entry).collect())
    }

    #[test]
    fn what_shows_more_than_the_backup_is_told() {
        let bob = acl(&[(31, "digest", "bob:h")]);
        let both = acl(&[(31, "digest", "bob:h"), (1, "digest", "eve:h")]);
        let writes = acl(&[(31, "digest", "bob:h"), (30, "world", "anyone")]);
        let masked = acl(&[(31, "digest", "bob:x")]);
        for (live, wanted, expected) in [
            (&Acl::open(), &bob, true),
            (&both, &bob, true),
            (&bob, &both, false),
            (&writes, &bob, false),
            (&bob, &masked, false),
            (&both, &masked, true),
            (&bob, &Acl::open(), false),
            (&both, &Acl::open(), false),
        ] {
            assert_eq!(exposes(live, wanted), expected, "{live:?} {wanted:?}");
        }
    }

    #[test]
    fn no_list_of_ours_shows_data_to_anybody_else() {
        let bob = acl(&[(31, "digest", "bob:h")]);
        let known = Guards::new(Acl::creator());
        assert!(known.hides() && known.is_ours(&bob) && !known.is_ours(&Acl::open()));
        assert_eq!(*known.admitting(&Acl::open(), &bob), Acl::creator());
        let unknown = Guards::new(Acl::open());
        assert!(!unknown.hides() && !unknown.narrow.lets_anyone_read());
        assert!(unknown.is_ours(&Acl::open()) && unknown.is_ours(&unknown.narrow) && !unknown.is_ours(&bob));
        assert_eq!(*unknown.admitting(&Acl::open(), &bob), unknown.narrow);
        assert_eq!(*unknown.admitting(&Acl::open(), &Acl::open()), Acl::open());
    }
}
