//! ClickHouse Keeper, which has other counters and watches.

use std::sync::Arc;

use async_trait::async_trait;
use zk_snapshot::capture::Consistency;
use zk_snapshot::restore::{RestoreOptions, restore};
use zk_snapshot::tree::{
    Acl, AclFound, Changes, ClientError, History, MemoryTree, Reading, Served, TreeWatch, ZnodePath,
    ZnodeReader,
};

use crate::{captured, held, now};

/// ClickHouse Keeper, by its specification: watches tell of their own path, and `cversion` and `pzxid` are its own.
struct Keeper(MemoryTree);

#[async_trait]
impl ZnodeReader for Keeper {
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError> {
        let mut readings = self.0.read_many(paths, history).await?;
        for reading in &mut readings {
            if let Reading::Found(found) = reading {
                (found.stat.pzxid, found.stat.cversion) = (0, found.stat.num_children);
            }
        }
        Ok(readings)
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        self.0.read_acls(paths).await
    }

    fn batch_size(&self) -> usize {
        2
    }

    fn batches_in_flight(&self) -> usize {
        1
    }

    fn epoch(&self) -> u64 {
        self.0.epoch()
    }

    async fn sync(&self) -> Result<bool, ClientError> {
        self.0.sync().await
    }

    async fn watch(&self, _roots: &[ZnodePath]) -> Result<Option<Box<dyn TreeWatch>>, ClientError> {
        Ok(Some(Box::new(Deceiving)))
    }
}

struct Deceiving;

impl TreeWatch for Deceiving {
    fn take(&mut self) -> Changes {
        Changes::Of(vec![ZnodePath::root()])
    }
}

#[test]
fn clickhouse_keeper_is_walked_twice_and_its_counters_are_not_known() {
    let tree = MemoryTree::new();
    for znode in [
        "/keeper/api_version",
        "/keeper/feature_flags",
        "/clickhouse/tables",
    ] {
        tree.put(znode, b"1", Acl::open()).unwrap();
    }
    let keeper = Keeper(tree);
    let captured = captured(&keeper, &[]);
    assert_eq!(captured.summary.consistency, Consistency::Consistent);
    assert!(!captured.summary.counters_known && captured.summary.rounds > 0);
    assert_eq!(held(&captured, "/keeper"), None);
    assert_eq!(held(&captured, "/clickhouse/tables"), Some(Some(b"1".to_vec())));
    assert!(!captured.summary.is_partial());
    // What it keeps for itself no backup has, and no restore deletes.
    let options = RestoreOptions::default();
    let report = now(restore(Arc::new(captured.records), &keeper.0, &options)).unwrap();
    assert_eq!((report.deleted, report.left_alone, report.failed), (0, 1, 0));
    assert!(keeper.0.data("/keeper/feature_flags").is_some());
}

/// As one below a chroot sees it.
struct Part(Keeper);

#[async_trait]
impl ZnodeReader for Part {
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

    async fn served(&self) -> Result<Served, ClientError> {
        Ok(Served::ByKeeper { shows_own: false })
    }
}

#[test]
fn below_a_chroot_a_znode_called_keeper_is_like_any_other() {
    let tree = MemoryTree::new();
    tree.put("/keeper/mine", b"1", Acl::open()).unwrap();
    let captured = captured(&Part(Keeper(tree)), &[]);
    assert!(!captured.summary.counters_known);
    assert_eq!(held(&captured, "/keeper/mine"), Some(Some(b"1".to_vec())));
}

#[test]
fn a_keeper_in_name_only_is_zookeeper() {
    let tree = MemoryTree::new();
    for znode in ["/keeper/api_version", "/zookeeper/quota"] {
        tree.put(znode, b"1", Acl::open()).unwrap();
    }
    let captured = captured(&tree, &[]);
    assert!(captured.summary.counters_known);
    assert_eq!(held(&captured, "/keeper/api_version"), Some(Some(b"1".to_vec())));
}
