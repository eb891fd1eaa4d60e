//! What becomes of jobs that nobody does any more.

use std::sync::Arc;

use time::OffsetDateTime;

use super::{Renewal, Steps};
use crate::{Job, QueueError};

impl Steps {
    async fn cut_off(&self, lapsed_before: Option<OffsetDateTime>) -> Result<Vec<Job>, QueueError> {
        let worker = Arc::clone(&self.worker);
        self.with_store(move |store| store.cut_off(&worker, lapsed_before))
            .await
    }

    /// Fails what was cut off, once the handler was told.
    pub(super) async fn recover(
        &self,
        lapsed_before: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Result<Vec<Job>, QueueError> {
        let (mut lapsed_before, mut cut) = (lapsed_before, self.cut_off(lapsed_before).await?);
        let is_beside = |job: &Job| self.beside.iter().any(|name| job.worker.as_ref() == Some(name));
        if cut.iter().any(is_beside) {
            // Its own is left all the same, as it does nothing.
            lapsed_before = None;
            cut = self.cut_off(None).await?;
        }
        if cut.is_empty() {
            return Ok(cut);
        }
        self.handler.cut_off(&cut).await?;
        let worker = Arc::clone(&self.worker);
        self.with_store(move |store| store.recover(&worker, lapsed_before, now))
            .await
    }

    /// Fails what others have begun and are not heard of, and says whether there was any.
    pub(super) async fn recover_lapsed(
        &self,
        renewal: Renewal,
        now: OffsetDateTime,
    ) -> Result<bool, QueueError> {
        let Some(lapse) = renewal.lapse else {
            return Ok(false);
        };
        let cut = self.recover(Some(now - lapse * 3 / 2), now).await?;
        for job in &cut {
            log::warn!("job {} was interrupted: nobody has renewed its claim", job.id);
            self.ended.send_modify(|ended| *ended += 1);
        }
        Ok(!cut.is_empty())
    }
}
