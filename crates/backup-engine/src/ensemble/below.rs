//! A subtree of an ensemble that stands for all of it.

use async_trait::async_trait;
use zk_snapshot::tree::reserved;
use zk_snapshot::tree::{
    Acl, AclFound, Changes, ClientError, ClientErrorKind, History, Reading, Served, TreeWatch, WriteError,
    WriteOp, ZnodePath, ZnodeReader, ZnodeWriter,
};

use super::traits::Client;

/// A connection whose `/` is a znode of the tree: paths are mapped here, and nowhere else.
pub(crate) struct Below {
    client: Box<dyn Client>,
    chroot: ZnodePath,
}

impl Below {
    /// # Errors
    /// Where there is no such znode; and where it has a child `zookeeper`, which would be taken for the server's own.
    pub(crate) async fn new(
        client: Box<dyn Client>,
        chroot: ZnodePath,
        address: &str,
    ) -> Result<Self, ClientError> {
        let reading = client
            .read_many(std::slice::from_ref(&chroot), History::One)
            .await;
        let why = match reading?.pop() {
            None | Some(Reading::Missing) => format!("the chroot {chroot} does not exist"),
            Some(Reading::Found(found)) if found.children.iter().any(|name| name == reserved::NAME) => {
                format!(
                    "{chroot}/{name} exists, and below a chroot it cannot be told from the server's own /{name}",
                    name = reserved::NAME
                )
            }
            Some(Reading::Found(_) | Reading::Denied | Reading::Undecodable(_)) => {
                return Ok(Self { client, chroot });
            }
        };
        client.close().await;
        Err(ClientError::new(address, why).of_kind(ClientErrorKind::Settings))
    }

    /// The paths that the servers know these by.
    fn absolute(&self, paths: &[ZnodePath]) -> Vec<ZnodePath> {
        paths.iter().map(|path| path.below(&self.chroot)).collect()
    }
}

#[async_trait]
impl ZnodeReader for Below {
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError> {
        self.client.read_many(&self.absolute(paths), history).await
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        self.client.read_acls(&self.absolute(paths)).await
    }

    fn batch_size(&self) -> usize {
        self.client.batch_size()
    }

    fn batches_in_flight(&self) -> usize {
        self.client.batches_in_flight()
    }

    fn epoch(&self) -> u64 {
        self.client.epoch()
    }

    async fn identities(&self) -> Result<Option<Vec<String>>, ClientError> {
        self.client.identities().await
    }

    async fn served(&self) -> Result<Served, ClientError> {
        Ok(match self.client.served().await? {
            Served::ByKeeper { .. } => Served::ByKeeper { shows_own: false },
            other => other,
        })
    }

    async fn reads_everything(&self) -> Result<bool, ClientError> {
        self.client.reads_everything().await
    }

    async fn applied(&self) -> Option<i64> {
        self.client.applied().await
    }

    async fn session(&self) -> Result<Option<i64>, ClientError> {
        self.client.session().await
    }

    async fn sync(&self) -> Result<bool, ClientError> {
        self.client.sync().await
    }

    async fn read_at_once(&self, paths: &[ZnodePath]) -> Result<Option<Vec<Reading>>, ClientError> {
        self.client.read_at_once(&self.absolute(paths)).await
    }

    async fn watch(&self, roots: &[ZnodePath]) -> Result<Option<Box<dyn TreeWatch>>, ClientError> {
        let watch = self.client.watch(&self.absolute(roots)).await?;
        Ok(watch.map(|watch| {
            let chroot = self.chroot.clone();
            Box::new(WatchBelow { watch, chroot }) as Box<dyn TreeWatch>
        }))
    }
}

struct WatchBelow {
    watch: Box<dyn TreeWatch>,
    chroot: ZnodePath,
}

impl TreeWatch for WatchBelow {
    fn take(&mut self) -> Changes {
        match self.watch.take() {
            // The parent of the chroot changes with it.
            Changes::Of(paths) => Changes::Of(
                paths
                    .iter()
                    .map(|path| path.seen_from(&self.chroot).unwrap_or_else(ZnodePath::root))
                    .collect(),
            ),
            Changes::Lost => Changes::Lost,
        }
    }
}

#[async_trait]
impl ZnodeWriter for Below {
    async fn write_many(&self, ops: &[WriteOp]) -> Vec<Result<(), WriteError>> {
        let mut ops = ops.to_vec();
        for op in &mut ops {
            match op {
                WriteOp::Create { path, .. }
                | WriteOp::SetData { path, .. }
                | WriteOp::SetAcl { path, .. }
                | WriteOp::Delete { path, .. } => *path = path.below(&self.chroot),
            }
        }
        self.client.write_many(&ops).await
    }

    fn keeps_order(&self) -> bool {
        self.client.keeps_order()
    }

    fn write_batch(&self) -> usize {
        self.client.write_batch()
    }

    fn working_acl(&self) -> Acl {
        self.client.working_acl()
    }
}

#[async_trait]
impl Client for Below {
    async fn close(self: Box<Self>) {
        self.client.close().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use zk_snapshot::tree::MemoryTree;

    use super::*;
    use crate::MemoryEnsemble;

    /// What serves a tree of these znodes, as one below `/ch` sees it.
    fn served_below(znodes: &[&str]) -> Served {
        let tree = MemoryTree::new();
        for znode in znodes {
            tree.put(znode, b"1", Acl::open()).unwrap();
        }
        let client = Box::new(MemoryEnsemble::new(Arc::new(tree)));
        let chroot = ZnodePath::parse("/ch").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let below = Below::new(client, chroot, "memory").await.unwrap();
            below.served().await.unwrap()
        })
    }

    #[test]
    fn what_serves_a_tree_is_seen_from_below_and_its_own_znode_is_not() {
        let keeper = served_below(&["/ch", "/keeper/api_version"]);
        assert_eq!(keeper, Served::ByKeeper { shows_own: false });
        let zookeeper = served_below(&["/ch/keeper/api_version", "/zookeeper/quota"]);
        assert_eq!(zookeeper, Served::ByZooKeeper);
    }
}
