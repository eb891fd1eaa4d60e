//! The znodes above a place to which something is renamed, where the backup has none.

use super::error::Stop;
use super::question::LiveZnode;
use super::scope::Placed;
use super::state::RestoreState;
use crate::archive::{Record, Role};
use crate::tree::{Acl, AclFound, History, Reading, Stat, ZnodePath, ZnodeReader, ZnodeWriter};

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
            let noted = self.writer.unfinished.get(&path);
            // What else is unfinished a backup says, which is not this one.
            let unfinished = noted.is_some_and(|noted| noted.above);
            if new || unfinished || self.writer.beside(is_missing(self.live, &path)).await? {
                let acl = match self.acl_of(&above).await? {
                    Some(Ok(acl)) => acl,
                    Some(Err(why)) => {
                        self.writer
                            .report
                            .fail(&path, format!("it is missing, and the {why}"));
                        self.writer.places.fail(&path);
                        return Ok(false);
                    }
                    None => return Ok(false),
                };
                let record = Record {
                    path: path.clone(),
                    role: Role::Ancestor,
                    data: Vec::new(),
                    acl,
                    stat: Stat::default(),
                };
                let placed = Placed {
                    record,
                    from: None,
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

    /// The ACL that the znode at `path` has, or will have when the restore is done, or why that is not known; `None` if there is no such znode.
    async fn acl_of(&mut self, path: &ZnodePath) -> Result<Option<Result<Acl, &'static str>>, Stop> {
        if let Some(last) = self.final_acls.get(path) {
            return Ok(Some(Ok(last.acl.clone())));
        }
        if self.options.dry_run && self.writer.places.at(path).is_created() {
            return Ok(Some(Ok(Acl::open())));
        }
        self.writer.drain().await?;
        let mut guards = self.live.read_acls(std::slice::from_ref(path)).await?;
        let Some(Reading::Found(AclFound { acl, stat })) = guards.pop() else {
            return Ok(None);
        };
        let noted = self.writer.unfinished.get(path);
        Ok(Some(if acl.is_masked() {
            Err("ACL of the znode above it is shown without its digests")
        } else if noted.is_some_and(|noted| noted.is_left(&stat, &acl, &self.guards)) {
            Err("znode above it is unfinished, so that its ACL is not known")
        } else {
            Ok(acl)
        }))
    }
}

async fn is_missing<T: ZnodeReader + ?Sized>(live: &T, path: &ZnodePath) -> Result<bool, Stop> {
    let readings = live.read_many(std::slice::from_ref(path), History::Any).await?;
    Ok(matches!(readings.first(), Some(Reading::Missing)))
}
