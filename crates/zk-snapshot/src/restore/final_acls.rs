//! The backup's own ACLs, when nothing is left to be done below them, and what stays unfinished.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::StreamExt;

use super::error::Stop;
use super::guard::is_shown_as;
use super::scope::ahead;
use super::state::RestoreState;
use super::step::FinalAcl;
use crate::archive::RecordSource;
use crate::tree::{AclFound, Reading, WriteError, ZnodePath, ZnodeReader, ZnodeWriter};

/// ACLs in one call.
const AT_ONCE: usize = 256;

impl<T: ZnodeReader + ZnodeWriter + ?Sized> RestoreState<'_, T> {
    /// Sets the own ACLs of the znodes that stood under another until now. What others have changed meanwhile is planned
    /// again, and may come back here.
    pub(super) async fn guard_at_last(&mut self, source: &Arc<dyn RecordSource>) -> Result<(), Stop> {
        let mut waiting = BTreeMap::new();
        for (path, last) in std::mem::take(&mut self.final_acls) {
            let place = self.writer.places.at(&path);
            if self.writer.broken.contains(&path) || place.is_failed() {
                continue; // its own ACL might keep what it lacks from it for ever
            }
            if place.is_pending() {
                continue; // it is not what this was planned for
            }
            if last.data.is_some() {
                waiting.insert(path, last);
            } else {
                self.writer.push(vec![last.step(&path)]).await?;
            }
        }
        if !waiting.is_empty() && !self.options.dry_run {
            self.bring_data(source, waiting).await?;
        }
        self.plan_again(source).await?;
        self.guard_above().await
    }

    /// Looks at what no record of the backup is of, and has not got its own ACL: that is set in the next round, unless it was refused, or
    /// somebody else has set another one.
    async fn guard_above(&mut self) -> Result<(), Stop> {
        let unguarded: Vec<_> = std::mem::take(&mut self.writer.unguarded).into_iter().collect();
        for some in unguarded.chunks(AT_ONCE) {
            let paths: Vec<_> = some.iter().map(|(path, _)| path.clone()).collect();
            for ((path, (last, error)), guard) in some.iter().zip(self.live.read_acls(&paths).await?) {
                let noted = self.writer.unfinished.get(path);
                let mut last = last.clone();
                let is_missing = matches!(guard, Reading::Missing);
                if let Reading::Found(AclFound { acl, stat }) = guard {
                    if !noted.is_some_and(|noted| noted.is_left(&stat, &acl, &self.guards)) {
                        self.writer.end(path, is_shown_as(&acl, &last.acl));
                        continue;
                    }
                    last.version = stat.aversion;
                }
                match error {
                    WriteError::NoNode if is_missing => {
                        self.writer.end(path, false);
                        self.writer.fail_once(path, error.to_string());
                    }
                    WriteError::Unknown(_) | WriteError::Changed | WriteError::NoNode => {
                        self.final_acls.insert(path.clone(), last);
                    }
                    refused => self.writer.fail_once(path, refused.to_string()),
                }
            }
        }
        Ok(())
    }

    /// Writes the data that had to wait. They are read from the backup again, since there may be many.
    async fn bring_data(
        &mut self,
        source: &Arc<dyn RecordSource>,
        mut waiting: BTreeMap<ZnodePath, FinalAcl>,
    ) -> Result<(), Stop> {
        let mut frames = Box::pin(ahead(source, |source, index| source.frame(index)));
        while let Some(records) = frames.next().await {
            for record in records? {
                let Some(placed) = self.scope.place(record) else {
                    continue;
                };
                let record = &placed.record;
                if let Some(last) = waiting.remove(&record.path)
                    && let Some(version) = last.data
                {
                    let steps = last.with_data(record, &self.guards, version);
                    self.writer.push(steps).await?;
                }
            }
        }
        Ok(())
    }

    /// Looks at what earlier restores left unfinished and this one did not meet: what is gone, or was given another ACL
    /// since, is no concern of ours any more.
    pub(super) async fn look_at_unfinished(&mut self) -> Result<(), Stop> {
        // What this one has begun itself is not looked for: a server that is behind may not have it yet.
        let is_other = |path: &&ZnodePath| {
            let noted = self.writer.unfinished.get(*path);
            noted.is_some_and(|noted| noted.opened.is_none())
        };
        let left: Vec<_> = self.writer.earlier.iter().filter(is_other).cloned().collect();
        if self.options.dry_run {
            return Ok(());
        }
        for paths in left.chunks(AT_ONCE) {
            for (path, guard) in paths.iter().zip(self.live.read_acls(paths).await?) {
                let Some(noted) = self.writer.unfinished.get(path) else {
                    continue;
                };
                let is_over = match guard {
                    Reading::Missing => true,
                    Reading::Found(guard) => noted.is_over(&guard.stat, &guard.acl, &self.guards),
                    // Somebody has closed what was open to all.
                    Reading::Denied => noted.acl_unknown,
                    Reading::Undecodable(_) => false,
                };
                if is_over {
                    self.writer.end(path, false);
                }
            }
        }
        Ok(())
    }
}
