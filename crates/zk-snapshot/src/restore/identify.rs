//! Learning which znodes those are that a restore has created.

use super::error::Stop;
use super::state::RestoreState;
use crate::tree::{AclFound, Reading, ZnodePath, ZnodeReader, ZnodeWriter};

/// ACLs in one call.
const AT_ONCE: usize = 256;

impl<T: ZnodeReader + ZnodeWriter + ?Sized> RestoreState<'_, T> {
    /// Notes the `czxid` of what was created under another list than its own and is unfinished, so that no restore takes another
    /// znode in its place for it. The answer to a creation does not tell. What is not as it was created is planned again. Nothing is
    /// under way when this is called.
    pub(super) async fn identify(&mut self) -> Result<(), Stop> {
        let live = self.live;
        let fresh = std::mem::take(&mut self.writer.fresh);
        let is_open = |path: &ZnodePath| self.writer.unfinished.contains_key(path);
        let fresh: Vec<_> = fresh.into_iter().filter(is_open).collect();
        for paths in fresh.chunks(AT_ONCE) {
            let mut known = Vec::new();
            for (path, guard) in paths.iter().zip(live.read_acls(paths).await?) {
                let Reading::Found(AclFound { acl, stat }) = guard else {
                    continue; // a server that is behind may not have it yet
                };
                let guards = &self.guards;
                let noted = self.writer.unfinished.get_mut(path);
                if let Some(noted) = noted.filter(|noted| noted.is_as_made(&stat, &acl, guards)) {
                    (noted.czxid, noted.ctime) = (Some(stat.czxid), Some(stat.ctime));
                    known.push(noted.note(path));
                } else if self.writer.places.at(path).is_wanted() {
                    self.writer.places.pend(path, false);
                }
            }
            self.writer.note(&known).await?;
        }
        Ok(())
    }
}
