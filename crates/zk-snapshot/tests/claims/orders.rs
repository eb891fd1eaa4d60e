//! Members of an ensemble, which list the same children in another order.

use std::sync::Arc;

use async_trait::async_trait;
use zk_snapshot::restore::{RestoreOptions, restore};
use zk_snapshot::tree::{
    Acl, AclFound, ClientError, History, MemoryTree, Reading, WriteError, WriteOp, ZnodePath, ZnodeReader,
    ZnodeWriter,
};

use crate::{captured, now};

/// Another member, with the same znodes.
struct Backwards<'a>(&'a MemoryTree);

#[async_trait]
impl ZnodeReader for Backwards<'_> {
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError> {
        let mut readings = self.0.read_many(paths, history).await?;
        for reading in &mut readings {
            if let Reading::Found(found) = reading {
                found.children.reverse();
            }
        }
        Ok(readings)
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
}

#[async_trait]
impl ZnodeWriter for Backwards<'_> {
    async fn write_many(&self, ops: &[WriteOp]) -> Vec<Result<(), WriteError>> {
        self.0.write_many(ops).await
    }

    fn working_acl(&self) -> Acl {
        self.0.working_acl()
    }
}

/// What is compared in pages may be asked of another member for each.
#[test]
fn whichever_member_is_compared_with_differences_come_in_the_same_order() {
    let tree = MemoryTree::new();
    for top in ["/b", "/a", "/c"] {
        for child in ["", "/z", "/x", "/y"] {
            tree.put(&format!("{top}{child}"), b"", Acl::open()).unwrap();
        }
    }
    let backup = Arc::new(captured(&MemoryTree::new(), &[]).records);
    let options = RestoreOptions {
        dry_run: true,
        show: 100,
        ..RestoreOptions::default()
    };
    let report = now(restore(backup.clone(), &tree, &options)).unwrap();
    let backwards = now(restore(backup, &Backwards(&tree), &options)).unwrap();
    assert_eq!(report.differences.len(), 12);
    assert_eq!(report.differences, backwards.differences);
}
