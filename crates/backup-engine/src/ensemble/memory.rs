//! A tree in memory in place of an ensemble.

use std::sync::Arc;

use async_trait::async_trait;
use health_metrics::ZooKeeperHealth;
use zk_snapshot::tree::{
    Acl, AclFound, ClientError, History, MemoryTree, Reading, TreeWatch, WriteError, WriteOp, ZnodePath,
    ZnodeReader, ZnodeWriter,
};

use super::traits::{Client, Ensemble, MembersUnknown};

/// A tree in memory in place of an ensemble, for embedding and tests.
#[derive(Debug, Clone)]
pub struct MemoryEnsemble(Arc<MemoryTree>);

impl MemoryEnsemble {
    /// Every connection reads and writes `tree`.
    #[must_use]
    pub fn new(tree: Arc<MemoryTree>) -> Self {
        Self(tree)
    }
}

#[async_trait]
impl ZnodeReader for MemoryEnsemble {
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError> {
        self.0.read_many(paths, history).await
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        self.0.read_acls(paths).await
    }

    fn batch_size(&self) -> usize {
        self.0.batch_size()
    }

    fn batches_in_flight(&self) -> usize {
        self.0.batches_in_flight()
    }

    fn epoch(&self) -> u64 {
        self.0.epoch()
    }

    async fn sync(&self) -> Result<bool, ClientError> {
        self.0.sync().await
    }

    async fn read_at_once(&self, paths: &[ZnodePath]) -> Result<Option<Vec<Reading>>, ClientError> {
        self.0.read_at_once(paths).await
    }

    async fn reads_everything(&self) -> Result<bool, ClientError> {
        self.0.reads_everything().await
    }

    async fn watch(&self, roots: &[ZnodePath]) -> Result<Option<Box<dyn TreeWatch>>, ClientError> {
        self.0.watch(roots).await
    }
}

#[async_trait]
impl ZnodeWriter for MemoryEnsemble {
    async fn write_many(&self, ops: &[WriteOp]) -> Vec<Result<(), WriteError>> {
        self.0.write_many(ops).await
    }

    fn keeps_order(&self) -> bool {
        self.0.keeps_order()
    }

    fn working_acl(&self) -> Acl {
        self.0.working_acl()
    }
}

#[async_trait]
impl Client for MemoryEnsemble {
    async fn close(self: Box<Self>) {}
}

#[async_trait]
impl Ensemble for MemoryEnsemble {
    fn name(&self) -> String {
        format!("memory {:p}", Arc::as_ptr(&self.0))
    }

    async fn connect(&self) -> Result<Box<dyn Client>, ClientError> {
        Ok(Box::new(self.clone()))
    }

    async fn probe(&self) -> ZooKeeperHealth {
        ZooKeeperHealth {
            reachable: true,
            mode: Some("memory".to_owned()),
            ..ZooKeeperHealth::default()
        }
    }

    async fn other_members(&self) -> Result<Vec<Arc<dyn Ensemble>>, MembersUnknown> {
        Ok(Vec::new())
    }
}
