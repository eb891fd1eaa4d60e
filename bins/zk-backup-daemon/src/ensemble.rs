//! The ensemble that is backed up, as it is connected to now: identity and certificates are read again while the server runs.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use backup_engine::{Client, Ensemble, MembersUnknown, ZooKeeperEnsemble};
use health_metrics::ZooKeeperHealth;
use zk_snapshot::tree::{ClientError, ZnodePath};

/// The same ensemble always, reached as was said last. What is connected stays so.
#[derive(Debug)]
pub(crate) struct Replaceable(RwLock<Arc<ZooKeeperEnsemble>>);

impl Replaceable {
    pub(crate) fn new(ensemble: ZooKeeperEnsemble) -> Self {
        Self(RwLock::new(Arc::new(ensemble)))
    }

    fn now(&self) -> Arc<ZooKeeperEnsemble> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace(&self, ensemble: ZooKeeperEnsemble) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ensemble);
    }
}

#[async_trait]
impl Ensemble for Replaceable {
    fn name(&self) -> String {
        self.now().name()
    }

    async fn connect(&self) -> Result<Box<dyn Client>, ClientError> {
        self.now().connect().await
    }

    fn chroot(&self) -> Option<ZnodePath> {
        self.now().chroot()
    }

    async fn probe(&self) -> ZooKeeperHealth {
        self.now().probe().await
    }

    fn members(&self) -> Vec<Arc<dyn Ensemble>> {
        self.now().members()
    }

    async fn other_members(&self) -> Result<Vec<Arc<dyn Ensemble>>, MembersUnknown> {
        self.now().other_members().await
    }

    async fn committed_zxid(&self) -> Option<i64> {
        self.now().committed_zxid().await
    }
}
