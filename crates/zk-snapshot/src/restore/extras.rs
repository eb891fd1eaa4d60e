//! Deleting what the backup lacks.

use std::collections::{BTreeMap, HashSet};

use super::apply::Run;
use super::{Change, Stop};
use crate::{Reading, WriteOp, ZnodePath, ZnodeReader, ZnodeWriter};

impl<T: ZnodeReader + ZnodeWriter + ?Sized> Run<'_, T> {
    /// Deletes the subtrees that the backup lacks, deepest first, but for live ephemerals and their parents.
    pub(super) async fn delete_extras(&mut self) -> Result<(), Stop> {
        let mut doomed: BTreeMap<usize, Vec<ZnodePath>> = BTreeMap::new();
        let mut kept = HashSet::new();
        let mut level = std::mem::take(&mut self.extras);
        while !level.is_empty() {
            let mut next = Vec::new();
            let readings = self.read_all(&level, &[]).await?;
            for (path, reading) in level.into_iter().zip(readings) {
                match reading {
                    Reading::Missing => {}
                    Reading::Found(found) if found.stat.is_ephemeral() => {
                        self.keep(&path, &mut kept);
                    }
                    Reading::Denied | Reading::Undecodable(_) => {
                        let why = "it is not in the backup, and may not be read";
                        self.writer.report.fail(&path, why.to_owned());
                        self.keep(&path, &mut kept);
                    }
                    Reading::Found(found) => {
                        next.extend(found.children.iter().filter_map(|name| path.child(name).ok()));
                        doomed.entry(path.depth()).or_default().push(path);
                    }
                }
            }
            level = next;
        }
        for (_, paths) in doomed.into_iter().rev() {
            for path in paths {
                if kept.contains(&path) {
                    self.writer.report.left_alone += 1;
                    continue;
                }
                self.writer.report.show(self.options.show, &path, Change::Delete);
                self.writer.push(WriteOp::Delete { path, version: None }).await?;
            }
            if !self.live.keeps_order() {
                self.writer.flush().await?;
            }
        }
        self.writer.flush().await
    }

    fn keep(&mut self, path: &ZnodePath, kept: &mut HashSet<ZnodePath>) {
        self.writer.report.left_alone += 1;
        kept.extend(path.ancestors());
    }
}
