//! The znodes above a place to which something is renamed, where the backup has none.

use super::error::Stop;
use super::plan::LiveZnode;
use super::scope::Placed;
use super::state::RestoreState;
use crate::archive::{Record, Role};
use crate::tree::{Acl, History, Reading, Stat, ZnodePath, ZnodeReader, ZnodeWriter};

impl<T: ZnodeReader + ZnodeWriter + ?Sized> RestoreState<'_, T> {
    /// Whether something can be created below `parent`. What is missing above a renamed subtree is created, without
    /// data and with the ACL of the nearest znode above it; if that is still to be restored itself, it is too early.
    pub(super) async fn has_way(&mut self, parent: &ZnodePath) -> Result<bool, Stop> {
        if !self.scope.is_missing_above(parent) || self.known_above.contains(parent) {
            return Ok(true);
        }
        let mut way = parent.ancestors();
        way.push(parent.clone());
        for path in way {
            if !self.scope.is_missing_above(&path) || self.known_above.contains(&path) {
                continue;
            }
            let above = path.parent().unwrap_or_else(ZnodePath::root);
            let place = self.writer.places.at(&above);
            if place.is_failed() {
                self.writer.places.fail(&path);
                return Ok(false);
            }
            if place.is_shut() {
                return Ok(false);
            }
            let new = self.is_surely_empty(place);
            let unfinished = self.writer.unfinished.contains_key(&path);
            if new || unfinished || self.writer.beside(is_missing(self.live, &path)).await? {
                let Some(acl) = self.acl_of(&above).await? else {
                    return Ok(false);
                };
                if acl.is_masked() {
                    let why = "it is missing, and the ACL of the znode above it is shown without its digests";
                    self.writer.report.fail(&path, why.to_owned());
                    self.writer.places.fail(&path);
                    return Ok(false);
                }
                let record = Record {
                    path: path.clone(),
                    role: Role::Ancestor,
                    data: Vec::new(),
                    acl,
                    stat: Stat::default(),
                };
                let placed = Placed {
                    record,
                    renamed: true,
                    named: false,
                };
                if unfinished && !new {
                    self.look(vec![placed]).await?;
                } else {
                    self.plan_one(placed, &LiveZnode::Missing).await?;
                }
            }
            self.known_above.insert(path);
        }
        Ok(true)
    }

    /// The ACL that the znode at `path` has, or will have when the restore is done; `None` if there is no such znode.
    async fn acl_of(&mut self, path: &ZnodePath) -> Result<Option<Acl>, Stop> {
        if let Some(last) = self.final_acls.get(path) {
            return Ok(Some(last.acl.clone()));
        }
        if self.options.dry_run && self.writer.places.at(path).is_created() {
            return Ok(Some(Acl::open()));
        }
        self.writer.drain().await?;
        let mut guards = self.live.read_acls(std::slice::from_ref(path)).await?;
        Ok(match guards.pop() {
            Some(Reading::Found(guard)) => Some(guard.acl),
            _ => None,
        })
    }
}

async fn is_missing<T: ZnodeReader + ?Sized>(live: &T, path: &ZnodePath) -> Result<bool, Stop> {
    let readings = live.read_many(std::slice::from_ref(path), History::Any).await?;
    Ok(matches!(readings.first(), Some(Reading::Missing)))
}
