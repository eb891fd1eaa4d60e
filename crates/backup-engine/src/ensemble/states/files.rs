//! The data directory of one server, read while it runs.

use async_trait::async_trait;
use zk_snapshot::files::{DataDirs, Gathered};

use super::lineage::confirmed;
use super::looks::Looks;
use super::source::{StateError, StateSource};
use crate::ensemble::traits::Ensemble;

/// The data directory of one server, which is read while the server runs.
///
/// What was logged after the newest zxid that any server of the ensemble tells (`srvr`) is not taken: it may not
/// have been committed. Where one tells, some znodes are compared with those of the ensemble, and another one's files refused.
#[derive(Debug, Clone)]
pub struct FilesSource(pub DataDirs);

#[async_trait]
impl StateSource for FilesSource {
    fn name(&self) -> &'static str {
        "files"
    }

    async fn gather(&self, ensemble: &dyn Ensemble) -> Result<Gathered, StateError> {
        let mut looks = Looks::default();
        loop {
            let committed = ensemble.committed_zxid().await;
            let (dirs, read) = (self.0.clone(), looks.reading());
            let found = tokio::task::spawn_blocking(move || read(&dirs, committed))
                .await
                .map_err(|error| error.to_string())?;
            if let Some(kept) = looks.keep(found.map_err(StateError::from)) {
                return confirmed(kept?, committed, ensemble).await;
            }
        }
    }
}
