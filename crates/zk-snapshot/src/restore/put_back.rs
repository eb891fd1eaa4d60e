//! Giving znodes that the backup lacks, and that stay, the lists back that they had before a restore opened them.

use super::error::Stop;
use super::noted::Noted;
use super::state::RestoreState;
use super::writer::Opening;
use crate::tree::{AclFound, Reading, WriteError, WriteOp, ZnodePath, ZnodeReader, ZnodeWriter};

/// Lists that are put back together.
const AT_ONCE: usize = 256;
/// A write whose outcome is not known is looked at again this often.
const ATTEMPTS: usize = 3;

impl<T: ZnodeReader + ZnodeWriter + ?Sized> RestoreState<'_, T> {
    /// Of what earlier restores have opened and could not put back. Whoever has set another list since is left alone.
    pub(super) async fn put_back_earlier(&mut self) -> Result<(), Stop> {
        if self.options.dry_run {
            return Ok(());
        }
        let is_opened = |(path, noted): (&ZnodePath, &Noted)| noted.opened.is_some().then(|| path.clone());
        let mut left: Vec<_> = self.writer.unfinished.iter().filter_map(is_opened).collect();
        left.sort();
        if !left.is_empty() {
            self.writer.check_permit()?;
            self.put_back(&left).await; // what stays is named as unfinished
        }
        Ok(())
    }

    /// Of what this restore has opened, and what is still there.
    pub(super) async fn put_back_opened(&mut self) -> Vec<(ZnodePath, String)> {
        let opened: Vec<_> = self.writer.opened.keys().cloned().collect();
        self.put_back(&opened).await
    }

    /// However the restore ends. What could not be put back is told, and stays noted.
    pub(super) async fn put_back_at_last(&mut self) {
        for (path, why) in self.put_back_opened().await {
            let why = format!(
                "its ACL was changed so that what is below it could be deleted, and could not be put back: {why}"
            );
            self.writer.report.fail(&path, why);
        }
    }

    /// Those are handed back that are still under a working ACL, or may be.
    async fn put_back(&mut self, paths: &[ZnodePath]) -> Vec<(ZnodePath, String)> {
        let mut left = Vec::new();
        for paths in paths.chunks(AT_ONCE) {
            let mut asked: Vec<_> = paths.iter().map(|path| (path.clone(), String::new())).collect();
            for _ in 0..ATTEMPTS {
                asked = self.put_back_once(asked).await;
                if asked.is_empty() {
                    break;
                }
            }
            left.extend(asked);
        }
        left
    }

    async fn put_back_once(&mut self, paths: Vec<(ZnodePath, String)>) -> Vec<(ZnodePath, String)> {
        let (mut ops, mut left, mut unsure) = (Vec::new(), Vec::new(), Vec::new());
        for (path, why) in paths {
            match self.list_of(&path) {
                Some(op) if self.writer.opened.get(&path) == Some(&Opening::Done) => ops.push(op),
                Some(op) => unsure.push((path, op, why)),
                None => {}
            }
        }
        let asked: Vec<_> = unsure.iter().map(|(path, ..)| path.clone()).collect();
        match self.live.read_acls(&asked).await {
            _ if asked.is_empty() => {}
            Ok(guards) => {
                for ((path, op, _), guard) in unsure.into_iter().zip(guards) {
                    match self.stands(&path, &guard) {
                        Some(true) => ops.push(op),
                        Some(false) => self.writer.end(&path, false),
                        None => left.push((path, "its ACL may not be read".to_owned())),
                    }
                }
            }
            Err(error) => left.extend(unsure.into_iter().map(|(path, ..)| (path, error.to_string()))),
        }
        for ops in ops.chunks(self.live.write_batch().max(1)) {
            let outcomes = match self.options.permit.may_write() {
                Ok(()) => self.live.write_many(ops).await,
                Err(why) => vec![Err(why.into()); ops.len()],
            };
            for (op, outcome) in ops.iter().zip(outcomes) {
                let path = op.path();
                match outcome {
                    // Ours lets us set it: where it is refused, somebody has set another list.
                    Ok(()) | Err(WriteError::NoNode | WriteError::Changed | WriteError::NoAuth) => {
                        self.writer.end(path, false);
                    }
                    Err(error) => {
                        if matches!(error, WriteError::Unknown(_)) && self.writer.opened.contains_key(path) {
                            self.writer.opened.insert(path.clone(), Opening::Unsure);
                        }
                        left.push((path.clone(), error.to_string()));
                    }
                }
            }
        }
        left
    }

    /// What gives the znode its list back, as long as ours stands there.
    fn list_of(&self, path: &ZnodePath) -> Option<WriteOp> {
        let opened = self.writer.unfinished.get(path)?.opened.as_ref()?;
        Some(WriteOp::SetAcl {
            path: path.clone(),
            acl: opened.acl.clone(),
            version: Some(opened.aversion.wrapping_add(1)),
        })
    }

    /// Whether our list may stand there; `None`: that cannot be seen.
    fn stands(&self, path: &ZnodePath, guard: &Reading<AclFound>) -> Option<bool> {
        let guard = match guard {
            Reading::Found(guard) => guard,
            Reading::Missing => return Some(false),
            Reading::Denied | Reading::Undecodable(_) => return None,
        };
        let noted = self.writer.unfinished.get(path)?;
        let opened = noted.opened.as_ref()?;
        // A server that is behind shows what was there before; then the write finds out.
        let is_as_before = noted.czxid == Some(guard.stat.czxid) && guard.stat.aversion == opened.aversion;
        Some(is_as_before || noted.is_opened(guard, &self.guards))
    }
}
