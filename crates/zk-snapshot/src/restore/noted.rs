//! What is noted of znodes that are unfinished, as a restore holds it.

use super::guard::{Guards, can_be_of};
use super::ledger::{Opened, Unfinished};
use crate::tree::{Acl, AclFound, Stat, ZnodePath};

/// How a step makes its znode one that is neither what it was nor as in the backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Begins {
    /// It creates it under another list than its own, or, where the backup does not have that, open to all and without its data. `above`: it is
    /// only above a place to which something is renamed.
    Created {
        acl_unknown: bool,
        above: bool,
        from: Option<ZnodePath>,
    },
    /// It puts a working ACL on one that the backup has.
    Admitted {
        czxid: i64,
        ctime: i64,
        /// The `aversion` that it has then.
        aversion: i32,
        /// It stood under a list of ours before.
        again: bool,
        from: Option<ZnodePath>,
        /// What is still to be counted of it.
        owed: Owed,
    },
    /// It hides one that it has created until that has its data and its own ACL. The `aversion` that it has then.
    Narrowed { aversion: i32 },
    /// It puts a working ACL on one that the backup lacks.
    Opened { czxid: i64, was: Opened },
}

/// What a znode counts as when that is set at last: its own ACL, and its data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Owed {
    pub(super) acl: bool,
    pub(super) data: bool,
}

/// What is noted of one znode.
#[derive(Debug, Clone)]
pub(super) struct Noted {
    pub(super) created: bool,
    /// It stands open to all, as it is to stay, and lacks its data.
    pub(super) acl_unknown: bool,
    /// A restore without an identity has put a list on it.
    pub(super) anonymous: bool,
    /// No backup says what it is to be: it is only above a place to which something was renamed.
    pub(super) above: bool,
    /// The path in the backup of what it is to become, where that was renamed.
    pub(super) from: Option<ZnodePath>,
    pub(super) czxid: Option<i64>,
    pub(super) ctime: Option<i64>,
    /// Under the first and the last of our lists; `None`: not known.
    pub(super) aversions: Option<(i32, i32)>,
    pub(super) opened: Option<Opened>,
    /// Of one that this restore has begun.
    pub(super) owed: Option<Owed>,
    /// Whether this restore has surely created it.
    pub(super) made: bool,
    /// How often this restore has written its data since.
    pub(super) written: i32,
    /// What `czxid` was before it was to be created again: a server that is behind did not show it.
    pub(super) former: Option<i64>,
}

impl Noted {
    /// What an earlier restore has noted.
    pub(super) fn earlier(one: Unfinished) -> (ZnodePath, Self) {
        let noted = Self {
            created: one.created,
            acl_unknown: one.acl_unknown,
            anonymous: one.anonymous,
            above: one.above,
            from: one.renamed_from,
            czxid: one.czxid,
            ctime: one.ctime,
            aversions: one.aversions,
            opened: one.opened,
            owed: None,
            made: false,
            written: 0,
            former: None,
        };
        (one.path, noted)
    }

    /// What a step begins of a restore that has an identity or is `anonymous`, where this is what was known of its path before.
    pub(super) fn begun(begins: Begins, before: Option<&Self>, anonymous: bool) -> Self {
        let same = |czxid: i64| before.filter(|before| before.czxid == Some(czxid));
        match begins {
            Begins::Created {
                acl_unknown,
                above,
                from,
            } => Self {
                created: true,
                acl_unknown,
                anonymous,
                above,
                from,
                czxid: None,
                ctime: None,
                aversions: Some((0, 0)),
                opened: None,
                owed: Some(Owed::default()),
                made: before.is_some_and(|before| before.made),
                written: 0,
                former: before.and_then(|before| before.czxid),
            },
            // The list that stands there now may be a working one already.
            Begins::Admitted {
                czxid,
                ctime,
                aversion,
                again,
                from,
                owed,
            } => Self {
                created: same(czxid).is_some_and(|before| before.created),
                acl_unknown: false,
                anonymous: anonymous || before.is_some_and(|before| again && before.anonymous),
                above: same(czxid).is_some_and(|before| before.above),
                from,
                czxid: Some(czxid),
                ctime: Some(ctime),
                aversions: match before.filter(|_| again) {
                    Some(before) => before.until(aversion),
                    None => Some((aversion, aversion)),
                },
                opened: None,
                owed: same(czxid).and_then(|before| before.owed).or(Some(owed)),
                made: false,
                written: 0,
                former: None,
            },
            Begins::Narrowed { aversion } => match before {
                Some(before) => Self {
                    anonymous: anonymous || before.anonymous,
                    aversions: before.until(aversion),
                    ..before.clone()
                },
                None => Self {
                    aversions: Some((aversion, aversion)),
                    ..Self::begun(
                        Begins::Created {
                            acl_unknown: false,
                            above: false,
                            from: None,
                        },
                        None,
                        anonymous,
                    )
                },
            },
            Begins::Opened { czxid, was } => Self {
                created: false,
                acl_unknown: false,
                anonymous,
                above: false,
                from: None,
                czxid: Some(czxid),
                ctime: None,
                aversions: None,
                opened: Some(was),
                owed: Some(Owed::default()),
                made: false,
                written: 0,
                former: None,
            },
        }
    }

    /// As long as one more step of ours may be missing, both lists are ours. What an earlier version has noted stays unknown.
    fn until(&self, aversion: i32) -> Option<(i32, i32)> {
        self.aversions.map(|(first, _)| (first, aversion))
    }

    pub(super) fn note(&self, path: &ZnodePath) -> Unfinished {
        Unfinished {
            path: path.clone(),
            created: self.created,
            acl_unknown: self.acl_unknown,
            anonymous: self.anonymous,
            above: self.above,
            renamed_from: self.from.clone(),
            czxid: self.czxid,
            ctime: self.ctime,
            aversions: self.aversions,
            opened: self.opened.clone(),
        }
    }

    /// Whether a later znode has taken the place of the one that was noted. An older one is only shown by a server that is behind.
    pub(super) fn is_succeeded_by(&self, stat: &Stat) -> bool {
        self.czxid.is_some_and(|czxid| stat.czxid > czxid)
    }

    /// Whether the znode is the one that was noted, under the list that it got then, which nobody has set again. Where it is not known which
    /// one that was, nobody but us may be in the list.
    pub(super) fn is_left(&self, stat: &Stat, acl: &Acl, guards: &Guards) -> bool {
        let is_ours = |(first, last): (i32, i32)| (first..=last).contains(&stat.aversion);
        match self.czxid {
            _ if self.opened.is_some() || !self.aversions.is_none_or(is_ours) => false,
            _ if self.acl_unknown => {
                self.is_as_made(stat, acl, guards) && self.czxid.is_none_or(|czxid| czxid == stat.czxid)
            }
            Some(czxid) => czxid == stat.czxid && self.is_under_one(stat, acl, guards),
            None => guards.is_just_ours(acl),
        }
    }

    /// Whether the list can be one of ours, or, as long as it surely is the one that was noted, one of a restore that had no identity where
    /// we have one, or had one where we have none.
    fn is_under_one(&self, stat: &Stat, acl: &Acl, guards: &Guards) -> bool {
        let is_in = |(first, last): (i32, i32)| (first..=last).contains(&stat.aversion);
        let is_noted = self.czxid == Some(stat.czxid) && self.aversions.is_some_and(is_in);
        guards.is_ours(acl) || (is_noted && can_be_of(self.anonymous, acl))
    }

    /// Whether the znode stands under the list that it was opened by, to look at what is below it or to delete that.
    pub(super) fn is_opened(&self, guard: &AclFound, guards: &Guards) -> bool {
        self.opened.as_ref().is_some_and(|was| {
            self.czxid == Some(guard.stat.czxid)
                && guard.stat.aversion == was.aversion.wrapping_add(1)
                && (guards.may_be_ours(&guard.acl) || (self.anonymous && guard.acl.same_as(&Acl::open())))
        })
    }

    /// Whether it is surely the very znode that was noted, with the data that it was created with.
    pub(super) fn holds_its_first_data(&self, stat: &Stat) -> bool {
        self.created && self.czxid == Some(stat.czxid) && stat.version == 0
    }

    /// Whether a backup with this of the znode has what was noted, and not what it is to become.
    pub(super) fn is_recorded(&self, stat: &Stat, acl: &Acl, guards: &Guards) -> bool {
        let is_ours = |(first, last): (i32, i32)| (first..=last).contains(&stat.aversion);
        (self.czxid, self.ctime) == (Some(stat.czxid), Some(stat.ctime))
            && self.aversions.is_some_and(is_ours)
            && self.is_under_one(stat, acl, guards)
    }

    /// Whether nobody else has changed what the restore created.
    pub(super) fn is_as_made(&self, stat: &Stat, acl: &Acl, guards: &Guards) -> bool {
        let is_under_its_list = match self.acl_unknown {
            true => acl.same_as(&Acl::open()),
            false => guards.is_just_ours(acl),
        };
        (stat.version, stat.aversion) == (self.written, 0) && !stat.is_ephemeral() && is_under_its_list
    }

    /// Whether what stands there is no concern of a restore any more.
    pub(super) fn is_over(&self, stat: &Stat, acl: &Acl, guards: &Guards) -> bool {
        self.is_succeeded_by(stat)
            || match self.acl_unknown {
                true => !self.is_as_made(stat, acl, guards),
                // An older list is only shown by a server that is behind, or ours was not set.
                false => {
                    !self.is_under_one(stat, acl, guards)
                        || self.aversions.is_some_and(|(_, last)| stat.aversion > last)
                }
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::AclEntry;

    #[test]
    fn a_list_of_a_restore_that_was_somebody_else_is_known_where_nobody_has_set_it_again() {
        let bob = Acl::new(vec![AclEntry {
            perms: 31,
            scheme: "digest".to_owned(),
            id: "bob:h".to_owned(),
        }]);
        let path = ZnodePath::parse("/a").unwrap();
        for (us, anonymous, list) in [(Acl::creator(), true, &Acl::open()), (Acl::open(), false, &bob)] {
            let guards = Guards::new(us);
            let known = Unfinished {
                anonymous,
                czxid: Some(5),
                ctime: Some(9),
                aversions: Some((1, 2)),
                ..Unfinished::new(path.clone(), true)
            };
            for (czxid, aversion, is_it) in [
                (5, 1, true),
                (5, 2, true),
                (5, 0, false),
                (5, 3, false),
                (6, 2, false),
            ] {
                let stat = Stat {
                    czxid,
                    aversion,
                    ctime: 9,
                    ..Stat::default()
                };
                let noted = Noted::earlier(known.clone()).1;
                let told = [
                    noted.is_left(&stat, list, &guards),
                    noted.is_recorded(&stat, list, &guards),
                    !noted.is_over(&stat, list, &guards),
                ];
                assert_eq!(told, [is_it; 3], "{anonymous} {stat:?}");
                // Of whoever was as we are, that is no list.
                let other = Unfinished {
                    anonymous: !anonymous,
                    ..known.clone()
                };
                assert!(!Noted::earlier(other).1.is_left(&stat, list, &guards));
            }
        }
    }
}
