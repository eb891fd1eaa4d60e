//! What a writer tells the ledger, and holds of it.

use super::Change;
use super::error::Stop;
use super::ledger::Unfinished;
use super::noted::{Noted, Owed};
use super::writer::Writer;
use crate::tree::{ZnodePath, ZnodeReader, ZnodeWriter};

impl<T: ZnodeReader + ZnodeWriter + ?Sized> Writer<'_, T> {
    /// Notes that these are created, and deleted again: what an interruption leaves of them is known.
    pub(super) async fn begin(&mut self, helpers: &[ZnodePath]) -> Result<(), Stop> {
        if self.dry_run || helpers.is_empty() {
            return Ok(());
        }
        let begun = helpers.iter().map(|path| Unfinished::new(path.clone(), true));
        let begun: Vec<_> = begun.collect();
        self.ledger.begin(&begun).await?;
        self.unfinished.extend(begun.into_iter().map(Noted::earlier));
        Ok(())
    }

    /// What is still to be counted of a znode that this restore has begun.
    pub(super) fn owed(&mut self, path: &ZnodePath) -> Option<&mut Owed> {
        self.unfinished.get_mut(path)?.owed.as_mut()
    }

    /// Notes what has become known of znodes that are noted.
    pub(super) async fn note(&mut self, known: &[Unfinished]) -> Result<(), Stop> {
        if !known.is_empty() {
            self.ledger.begin(known).await?;
        }
        Ok(())
    }

    /// Notes that a znode is no longer unfinished, and whether that is because it was `finished`.
    pub(super) fn end(&mut self, path: &ZnodePath, finished: bool) {
        self.opened.remove(path);
        if self.unfinished.remove(path).is_some() {
            self.ended.push(path.clone());
            let earlier = self.earlier.remove(path);
            self.report.finished += u64::from(earlier && finished);
        }
    }

    /// Notes that a znode which was to be deleted is not there.
    pub(super) fn gone(&mut self, path: &ZnodePath) {
        let known = self.surprises.get_mut(path);
        let ours = known.and_then(|known| known.unsure.take());
        self.count(path, ours.filter(|change| *change == Change::Delete));
        self.end(path, false);
    }

    /// Names what may have been written, where the restore ends before that can be looked up.
    pub(super) fn name_unsure(&mut self) {
        let unsure = self.surprises.iter().filter(|(_, known)| known.unsure.is_some());
        let unsure: Vec<_> = unsure.map(|(path, _)| path.clone()).collect();
        for path in &unsure {
            self.fail_once(path, "whether it was written is not known".to_owned());
        }
    }

    /// Tells the ledger what was finished.
    pub(super) async fn note_ends(&mut self) -> Result<(), Stop> {
        let not_begun = std::mem::take(&mut self.not_begun).into_iter();
        let known = not_begun.filter_map(|path| Some(self.unfinished.get(&path)?.note(&path)));
        let known: Vec<_> = known.collect();
        self.note(&known).await?;
        let mut ended = std::mem::take(&mut self.ended);
        ended.retain(|path| !self.unfinished.contains_key(path)); // it may have been begun again
        if !ended.is_empty() && !self.dry_run {
            self.ledger.end(&ended).await?;
        }
        Ok(())
    }
}
