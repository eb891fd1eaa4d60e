//! What is to be done about writes that met something else than what was read.

use super::Change;
use super::step::FinalAcl;
use super::writer::{Began, Opening, UnderWay, Writer};
use crate::tree::{WriteError, WriteOp, ZnodePath, ZnodeReader, ZnodeWriter};

/// A znode is planned again this often because of what came between.
pub(super) const TRIES: u8 = 4;
/// So often a write may be refused while its parent is to let us in.
const REFUSED: u8 = 2;
/// A request that loses the connection by itself is sent again this often.
const LOST_ALONE: u8 = 3;
const TOO_LARGE: &str =
    "each request for it loses the connection: it may be larger than the server's jute.maxbuffer allows";

impl<T: ZnodeReader + ZnodeWriter + ?Sized> Writer<'_, T> {
    /// What is to be done about a write that was not carried out, or may not have been.
    pub(super) fn surprised(&mut self, op: &WriteOp, rest: &UnderWay, error: &WriteError, alone: bool) {
        let path = op.path();
        if matches!(op, WriteOp::Delete { .. }) {
            return self.not_deleted(path, error);
        }
        if rest.begins == Some(Began::Opened) {
            return self.not_opened(path, error);
        }
        if rest.begins == Some(Began::Created) {
            self.not_created(path, error);
        }
        self.not_admitted(path, rest, error);
        let creates = matches!(op, WriteOp::Create { .. });
        if !self.places.at(path).is_wanted() {
            // What is above a renamed subtree, or is to be deleted: what depends on it meets the same.
            if creates {
                self.ask_the_parent(path, error);
            } else if let WriteOp::SetAcl { acl, version, .. } = op {
                let last = FinalAcl {
                    acl: acl.clone(),
                    version: version.unwrap_or_default(),
                    counts: rest.counts.is_some(),
                    data: None,
                };
                self.unguarded.insert(path.clone(), (last, error.clone()));
            }
            return;
        }
        // Who does not let us create is the parent, and it may be gone.
        let admissible = creates && self.ask_the_parent(path, error);
        self.is_lost |= alone && matches!(error, WriteError::Unknown(_));
        if creates && *error == WriteError::NoAuth && !admissible {
            return self.give_up(op, error.to_string());
        }
        let known = self.surprises.entry(path.clone()).or_default();
        let mut why = None;
        match (error, op) {
            (WriteError::Unknown(_), _) => {
                known.unsure = known.unsure.or(rest.counts);
                known.alone = true;
                known.lost_alone += u8::from(alone);
                if known.lost_alone >= LOST_ALONE {
                    why = Some(TOO_LARGE.to_owned());
                } else if alone && creates {
                    known.hint.split = true;
                }
            }
            (WriteError::NodeExists, _) => known.met = true,
            (WriteError::NoNode | WriteError::Changed, _) => {}
            (WriteError::NoAuth, WriteOp::Create { .. }) if admissible => {}
            (WriteError::NoAuth, WriteOp::SetData { .. })
                if !known.hint.no_admin && known.tries < REFUSED =>
            {
                known.hint.admit = true;
            }
            (WriteError::NoAuth, WriteOp::SetAcl { .. }) if !rest.ends && !known.hint.no_admin => {
                known.hint.no_admin = true;
            }
            (other, _) => why = Some(other.to_string()),
        }
        known.tries += u8::from(!matches!(error, WriteError::Unknown(_)));
        if why.is_none() && known.tries >= TRIES {
            why = Some(format!("{error}; others keep changing it"));
        }
        match why {
            None => self.places.pend(path, creates),
            Some(why) => self.give_up(op, why),
        }
    }

    /// Tells why a znode is not as it should be, unless that was told.
    pub(super) fn fail_once(&mut self, path: &ZnodePath, why: String) {
        if self.places.report(path) {
            self.report.fail(path, why);
        }
    }

    fn give_up(&mut self, op: &WriteOp, why: String) {
        let path = op.path();
        self.fail_once(path, why);
        if matches!(op, WriteOp::Create { .. }) {
            self.places.fail(path);
        } else {
            self.broken.insert(path.clone());
        }
    }

    /// Has the parent of a znode that could not be created planned again, if that may help. `false` if we may not create
    /// there, and nothing is left to be done about it.
    fn ask_the_parent(&mut self, path: &ZnodePath, error: &WriteError) -> bool {
        let is_ours =
            |parent: &ZnodePath| self.places.at(parent).is_wanted() && !self.places.at(parent).is_failed();
        let Some(parent) = path.parent().filter(is_ours) else {
            return false;
        };
        match error {
            WriteError::NoNode | WriteError::EphemeralParent => {
                let known = self.surprises.entry(parent.clone()).or_default();
                known.misses |= *error == WriteError::NoNode;
                self.places.pend(&parent, false);
            }
            WriteError::NoAuth if self.hint(&parent).no_admin => return false,
            // Those that went out together with the first to be refused, or before we were admitted, get another try.
            WriteError::NoAuth
                if self
                    .surprises
                    .get(path)
                    .is_some_and(|known| known.tries >= REFUSED) =>
            {
                return false;
            }
            WriteError::NoAuth => self.admit(&parent),
            _ => {}
        }
        true
    }

    /// What the server has refused to create is not begun, unless an earlier attempt has or may have created it.
    fn not_created(&mut self, path: &ZnodePath, error: &WriteError) {
        if matches!(error, WriteError::Unknown(_)) {
            return;
        }
        let unsure = self.surprises.get(path).and_then(|known| known.unsure);
        match self.unfinished.get_mut(path) {
            Some(noted) if noted.made => noted.czxid = noted.former,
            _ if unsure == Some(Change::Create) => {}
            _ => self.end(path, false),
        }
    }

    /// Of one that the server has not put under a working ACL no more is noted than was before.
    pub(super) fn not_admitted(&mut self, path: &ZnodePath, rest: &UnderWay, error: &WriteError) {
        if rest.begins != Some(Began::Admitted) || matches!(error, WriteError::Unknown(_)) {
            return;
        }
        match &rest.before {
            Some(before) => {
                self.unfinished.insert(path.clone(), before.clone());
                self.not_begun.push(path.clone());
            }
            None => self.end(path, false),
        }
    }

    /// A znode that the backup lacks has not got the ACL under which we may do everything below it, or may not have got it.
    pub(super) fn not_opened(&mut self, path: &ZnodePath, error: &WriteError) {
        if matches!(error, WriteError::Unknown(_)) {
            self.opened.insert(path.clone(), Opening::Unsure);
            self.surprises.entry(path.clone()).or_default().alone = true;
        } else if self.opened.get(path) == Some(&Opening::Sent) {
            self.end(path, false);
        }
        if matches!(
            error,
            WriteError::NoAuth | WriteError::InvalidAcl | WriteError::Refused(_)
        ) {
            self.surprises.entry(path.clone()).or_default().hint.no_admin = true;
        }
    }

    fn not_deleted(&mut self, path: &ZnodePath, error: &WriteError) {
        let known = self.surprises.entry(path.clone()).or_default();
        known.tries += 1;
        match error {
            WriteError::NoNode => return self.gone(path),
            WriteError::Unknown(_) => {
                known.unsure = Some(Change::Delete);
                known.alone = true;
            }
            _ => {}
        }
        let tries = known.tries;
        if *error == WriteError::NoAuth
            && let Some(parent) = path.parent()
        {
            if self.is_tried(&parent) && (tries > REFUSED || self.hint(&parent).no_admin) {
                return self.leave(path, error.to_string());
            }
            if self.places.at(&parent).is_wanted() {
                self.admit(&parent);
            } else {
                self.surprises.entry(parent.clone()).or_default().hint.admit = true;
                self.shut_extras.entry(parent).or_insert(None);
            }
        }
        if tries >= TRIES || matches!(error, WriteError::Refused(_)) {
            self.leave(path, error.to_string());
        } else {
            self.undeleted.insert(path.clone());
        }
    }

    /// Gives a znode up that the backup lacks.
    pub(super) fn leave(&mut self, path: &ZnodePath, why: String) {
        self.fail_once(path, why);
        self.stuck.insert(path.clone());
    }

    /// Has the znode at `path` planned again so that we may do everything below it.
    pub(super) fn admit(&mut self, path: &ZnodePath) {
        self.surprises.entry(path.clone()).or_default().hint.admit = true;
        self.places.pend(path, false);
    }

    /// Whether it was not there when something was to be created below it.
    pub(super) fn misses(&self, path: &ZnodePath) -> bool {
        self.surprises.get(path).is_some_and(|known| known.misses)
    }

    /// Whether admitting ourselves was tried there.
    pub(super) fn is_tried(&self, path: &ZnodePath) -> bool {
        self.hint(path).admit
    }
}
