//! What is asked about one znode, before it is planned what it needs.

use super::Policy;
use super::guard::Guards;
use super::noted::Noted;
use crate::archive::Record;
use crate::tree::{Acl, Found, Stat, ZnodePath};

/// What is live where a record is to go.
#[derive(Debug, Clone)]
pub(super) enum LiveZnode {
    /// `acl` is `None` where it is known to be the record's, or of no interest.
    Found {
        found: Found,
        acl: Option<Acl>,
    },
    Missing,
    Denied,
    /// It may not be read, but its ACL may be changed.
    Shut(Stat, Acl),
    /// It stands under an ACL of ours that lets nobody read, ourselves included.
    Hidden(Stat),
    Undecodable(String),
    /// It changed each time it was looked at.
    Torn,
}

/// What an earlier attempt has shown of a znode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Hint {
    /// Its live ACL does not let us do what is to be done.
    pub(super) admit: bool,
    /// It does not let us set it either.
    pub(super) no_admin: bool,
    /// One request cannot carry data and ACL together.
    pub(super) split: bool,
}

/// What is to be planned.
pub(super) struct Question<'a> {
    pub(super) wanted: &'a Record,
    pub(super) live: &'a LiveZnode,
    pub(super) policy: Policy,
    /// Whether children are to be created or deleted below it, those that its counter needs included.
    pub(super) parent: bool,
    /// No backup says what it is to be: it is only above a place to which something is renamed.
    pub(super) above: bool,
    /// The path of the record in the backup, where that is another.
    pub(super) from: Option<&'a ZnodePath>,
    /// An earlier write of a restore left it unfinished.
    pub(super) unfinished: Option<&'a Noted>,
    pub(super) hint: Hint,
    pub(super) guards: &'a Guards,
}
