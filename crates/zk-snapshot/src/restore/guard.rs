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
    /// The names that the server puts where `auth` is said, each with its scheme. `None`: it does not tell.
    names: Option<Vec<(String, String)>>,
}

impl Guards {
    /// From an ACL under which our connection may do everything. Where the server knows no identity of ours, that is
    /// everybody's; then data are kept from readers by an ACL that lets nobody read, ourselves included.
    pub(super) fn new(working: Acl) -> Self {
        let narrow = if working.lets_anyone_read() {
            all_but_read()
        } else {
            working.clone()
        };
        Self {
            working,
            narrow,
            names: None,
        }
    }

    /// Notes as whom the server knows us. It tells of digests no more than the user.
    pub(super) fn know(&mut self, identities: Option<Vec<String>>) {
        let names = identities.unwrap_or_default().into_iter().filter_map(|identity| {
            let (scheme, id) = identity.split_once(':')?;
            // Neither is put into a list.
            let is_listed = !matches!(scheme, "ip" | "super");
            is_listed.then(|| (scheme.to_owned(), name_of(scheme, id).to_owned()))
        });
        self.names = Some(names.collect()).filter(|names: &Vec<_>| !names.is_empty());
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

    /// Whether `live` can be one of these lists, of whichever identities where we have some.
    pub(super) fn is_ours(&self, live: &Acl) -> bool {
        can_be_of(!self.hides(), live)
    }

    /// Whether `live` is one of these lists as the server makes it of our identities, and nobody else is in it. Where it does not tell
    /// them, a list of one.
    pub(super) fn is_just_ours(&self, live: &Acl) -> bool {
        if !self.hides() || !self.is_ours(live) {
            return self.is_ours(live);
        }
        let entries = live.entries();
        let Some(names) = &self.names else {
            return entries.len() == 1;
        };
        entries
            .iter()
            .all(|entry| names.iter().any(|name| is_of(entry, name)))
            && names
                .iter()
                .all(|name| entries.iter().any(|entry| is_of(entry, name)))
    }

    /// Whether it [is](Self::is_just_ours), or can be one of a restore that had other identities than ours.
    pub(super) fn may_be_ours(&self, live: &Acl) -> bool {
        let mut names = self.names.iter().flatten();
        let mut has_us = || names.any(|name| live.entries().iter().any(|entry| is_of(entry, name)));
        self.is_just_ours(live) || (self.is_ours(live) && !has_us())
    }
}

/// Everybody may do all but read.
fn all_but_read() -> Acl {
    Acl::new(vec![AclEntry {
        perms: ALL & !READ,
        scheme: "world".to_owned(),
        id: "anyone".to_owned(),
    }])
}

/// Whether `live` can be a list of a restore that had no identity (`anonymous`), or of one that had some: the server has put them where
/// `auth` was said, and they need not be ours.
pub(super) fn can_be_of(anonymous: bool, live: &Acl) -> bool {
    if anonymous {
        return live.same_as(&Acl::open()) || live.same_as(&all_but_read());
    }
    // The server takes no address for an identity.
    let identity = |entry: &AclEntry| entry.perms == ALL && !matches!(entry.scheme.as_str(), "world" | "ip");
    !live.entries().is_empty() && live.entries().iter().all(identity)
}

/// Whether the entry names whom the server calls so.
pub(super) fn is_of(entry: &AclEntry, (scheme, name): &(String, String)) -> bool {
    entry.scheme == *scheme && name_of(scheme, &entry.id) == name
}

/// What an identity is called without its digest.
pub(super) fn name_of<'a>(scheme: &str, id: &'a str) -> &'a str {
    match id.split_once(':') {
        Some((user, _)) if scheme == "digest" => user,
        _ => id,
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

/// Whether `live` is `wanted`, as far as the server shows it.
pub(super) fn is_shown_as(live: &Acl, wanted: &Acl) -> bool {
    let is_in = |entry: &AclEntry, list: &Acl| {
        let mut list = list.entries().iter();
        list.any(|other| entry.perms == other.perms && is_whom(entry, other, true))
    };
    live.same_as(wanted)
        || (live.is_masked()
            && live.entries().iter().all(|entry| is_in(entry, wanted))
            && wanted.entries().iter().all(|entry| is_in(entry, live)))
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
        assert!(!known.is_ours(&acl(&[(31, "ip", "127.0.0.1")])));
        assert_eq!(*known.admitting(&Acl::open(), &bob), Acl::creator());
        let unknown = Guards::new(Acl::open());
        assert!(!unknown.hides() && !unknown.narrow.lets_anyone_read());
        assert!(unknown.is_ours(&Acl::open()) && unknown.is_ours(&unknown.narrow) && !unknown.is_ours(&bob));
        assert_eq!(*unknown.admitting(&Acl::open(), &bob), unknown.narrow);
        assert_eq!(*unknown.admitting(&Acl::open(), &Acl::open()), Acl::open());
    }

    #[test]
    fn a_list_with_somebody_else_in_it_is_not_just_ours() {
        let told = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        let bob = acl(&[(31, "digest", "bob:h")]);
        let eve = acl(&[(31, "digest", "eve:h")]);
        let both = acl(&[(31, "digest", "bob:h"), (31, "digest", "eve:h")]);
        let mut guards = Guards::new(Acl::creator());
        for (names, of_bob, of_eve, of_both) in [
            (None, true, true, false),
            (told(&["ip:127.0.0.1"]), true, true, false),
            (told(&["ip:127.0.0.1", "digest:bob"]), true, false, false),
            (told(&["super:", "digest:bob"]), true, false, false),
            (told(&["digest:eve", "digest:bob"]), false, false, true),
            (told(&["x509:bob"]), false, false, false),
        ] {
            guards.know(names.clone());
            let just = [&bob, &eve, &both].map(|list| guards.is_just_ours(list));
            assert_eq!(just, [of_bob, of_eve, of_both], "{names:?}");
        }
        let mut open = Guards::new(Acl::open());
        open.know(told(&["ip:127.0.0.1"]));
        assert!(open.is_just_ours(&Acl::open()) && !open.is_just_ours(&bob));
    }
}
