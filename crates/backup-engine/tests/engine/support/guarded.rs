//! An ensemble in memory of which some may not be read, and whose writes wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use backup_engine::{Client, Ensemble, MembersUnknown, MemoryEnsemble};
use health_metrics::ZooKeeperHealth;
use tokio::sync::oneshot;
use zk_snapshot::tree::{
    Acl, AclFound, ClientError, History, MemoryTree, Reading, TreeWatch, WriteError, WriteOp, ZnodePath,
    ZnodeReader, ZnodeWriter,
};

/// The tree, of which some may not be read, or shows another ACL with all else alike.
#[derive(Clone)]
pub(crate) struct Guarded {
    tree: MemoryEnsemble,
    rules: Arc<Mutex<Rules>>,
}

#[derive(Default)]
struct Rules {
    denied: BTreeSet<String>,
    acls: BTreeMap<String, Acl>,
    /// How many calls that write come before one that tells and waits.
    held: Option<Held>,
    /// Whoever connects waits for ever.
    no_connections: bool,
    /// Whoever connects panics.
    panics: bool,
    every_acl: Option<Acl>,
    /// The epoch that it is in, where it tells. Every connection begins another.
    epoch: Option<i64>,
}

type Held = (usize, oneshot::Sender<()>, oneshot::Receiver<()>);

impl Guarded {
    pub(crate) fn new(tree: &Arc<MemoryTree>) -> Self {
        Self {
            tree: MemoryEnsemble::new(Arc::clone(tree)),
            rules: Arc::default(),
        }
    }

    pub(crate) fn deny(&self, path: &str) {
        self.rules.lock().unwrap().denied.insert(path.to_owned());
    }

    /// Has the call that writes after the next `calls` wait, once it has told, until what is returned is dropped.
    pub(crate) fn hold_writes(&self, calls: usize) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let ((tell, told), (go, wait)) = (oneshot::channel(), oneshot::channel());
        self.rules.lock().unwrap().held = Some((calls, tell, wait));
        (told, go)
    }

    /// Has whoever connects wait for ever, or not any more.
    pub(crate) fn keep_waiting(&self, waits: bool) {
        self.rules.lock().unwrap().no_connections = waits;
    }

    pub(crate) fn panic(&self) {
        self.rules.lock().unwrap().panics = true;
    }

    pub(crate) fn show_acl(&self, path: &str, acl: Acl) {
        self.rules.lock().unwrap().acls.insert(path.to_owned(), acl);
    }

    /// Has it tell, from now on, that it is in this epoch, or one that is later by as many as have connected.
    pub(crate) fn tell_epoch(&self, epoch: i64) {
        self.rules.lock().unwrap().epoch = Some(epoch);
    }

    /// The epoch that it is in.
    pub(crate) fn told_epoch(&self) -> Option<i64> {
        self.rules.lock().unwrap().epoch
    }

    /// Of whatever no other one is told.
    pub(crate) fn show_every_acl(&self, acl: Acl) {
        self.rules.lock().unwrap().every_acl = Some(acl);
    }
}

#[async_trait]
impl ZnodeReader for Guarded {
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError> {
        let mut readings = self.tree.read_many(paths, history).await?;
        let rules = self.rules.lock().unwrap();
        for (reading, path) in readings.iter_mut().zip(paths) {
            if rules.denied.contains(path.as_str()) {
                *reading = Reading::Denied;
            }
        }
        Ok(readings)
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        let mut readings = self.tree.read_acls(paths).await?;
        let rules = self.rules.lock().unwrap();
        for (reading, path) in readings.iter_mut().zip(paths) {
            let shown = rules.acls.get(path.as_str()).or(rules.every_acl.as_ref());
            if let (Reading::Found(found), Some(acl)) = (reading, shown) {
                found.acl = acl.clone();
            }
        }
        Ok(readings)
    }

    fn batch_size(&self) -> usize {
        self.tree.batch_size()
    }

    fn batches_in_flight(&self) -> usize {
        self.tree.batches_in_flight()
    }

    fn epoch(&self) -> u64 {
        self.tree.epoch()
    }

    async fn sync(&self) -> Result<bool, ClientError> {
        self.tree.sync().await
    }

    async fn reads_everything(&self) -> Result<bool, ClientError> {
        self.tree.reads_everything().await
    }

    async fn watch(&self, roots: &[ZnodePath]) -> Result<Option<Box<dyn TreeWatch>>, ClientError> {
        self.tree.watch(roots).await
    }
}

#[async_trait]
impl ZnodeWriter for Guarded {
    async fn write_many(&self, ops: &[WriteOp]) -> Vec<Result<(), WriteError>> {
        let held = {
            let mut rules = self.rules.lock().unwrap();
            match &mut rules.held {
                Some((0, ..)) => rules.held.take(),
                Some((left, ..)) => {
                    *left -= 1;
                    None
                }
                None => None,
            }
        };
        if let Some((_, tell, wait)) = held {
            tell.send(()).unwrap();
            let _ = wait.await; // an error: it was let go
        }
        self.tree.write_many(ops).await
    }

    fn keeps_order(&self) -> bool {
        self.tree.keeps_order()
    }

    fn working_acl(&self) -> Acl {
        self.tree.working_acl()
    }
}

#[async_trait]
impl Client for Guarded {
    async fn close(self: Box<Self>) {}
}

#[async_trait]
impl Ensemble for Guarded {
    fn name(&self) -> String {
        "zk1:2181".to_owned()
    }

    async fn connect(&self) -> Result<Box<dyn Client>, ClientError> {
        let (waits, panics) = {
            let mut rules = self.rules.lock().unwrap();
            rules.epoch = rules.epoch.map(|epoch| epoch + 1);
            (rules.no_connections, rules.panics)
        };
        assert!(!panics, "it was to panic");
        if waits {
            std::future::pending::<()>().await;
        }
        Ok(Box::new(self.clone()))
    }

    async fn probe(&self) -> ZooKeeperHealth {
        self.tree.probe().await
    }

    async fn other_members(&self) -> Result<Vec<Arc<dyn Ensemble>>, MembersUnknown> {
        Ok(Vec::new())
    }

    async fn committed_zxid(&self) -> Option<i64> {
        self.told_epoch().map(|epoch| epoch << 32 | 1)
    }
}
