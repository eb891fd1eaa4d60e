//! The model of an ensemble, whose servers check ACLs, as bob reaches it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use backup_engine::{Client, Ensemble, MembersUnknown};
use health_metrics::ZooKeeperHealth;
use zk_snapshot::model::{self, Identity, Manner, Rules};
use zk_snapshot::tree::{
    Acl, AclEntry, AclFound, ClientError, History, Kind, Reading, TreeWatch, WriteError, WriteOp, ZnodePath,
    ZnodeReader, ZnodeWriter,
};

pub(crate) const READ: u32 = 1;
pub(crate) const ADMIN: u32 = 16;
pub(crate) const ALL: u32 = 31;

/// Every path, with its data and ACL.
pub(crate) type Dump = BTreeMap<String, (Vec<u8>, Acl)>;

/// A list of bob and eve, with what they may do.
pub(crate) fn acl(bob: u32, eve: u32) -> Acl {
    let entry = |(perms, id): (u32, &str)| AclEntry {
        perms,
        scheme: "digest".to_owned(),
        id: id.to_owned(),
    };
    let both = [(bob, "bob:hash"), (eve, "eve:hash")].into_iter();
    Acl::new(both.filter(|(perms, _)| *perms > 0).map(entry).collect())
}

/// The ensemble, whoever else may write to it.
#[derive(Clone)]
pub(crate) struct Modelled(model::Ensemble);

impl Modelled {
    /// With nothing but the root.
    pub(crate) fn new() -> Self {
        Self(model::Ensemble::new(Rules::default()))
    }

    /// Carries this out, whatever ACLs say.
    fn write(&self, op: &WriteOp) {
        self.0.with_tree(|tree| tree.write(op).unwrap());
    }

    pub(crate) fn create(&self, path: &str, data: &[u8], acl: Acl) {
        self.write(&creation(path, data, acl));
    }

    pub(crate) fn create_ephemeral(&self, path: &str) {
        let op = creation(path, b"", Acl::open());
        self.0.with_tree(|tree| tree.write_ephemeral(&op, 77).unwrap());
    }

    /// Has other data and another ACL there.
    pub(crate) fn change(&self, path: &str, data: &[u8], acl: Acl) {
        let path = ZnodePath::parse(path).unwrap();
        self.write(&WriteOp::SetData {
            path: path.clone(),
            data: data.to_vec(),
            version: None,
        });
        self.write(&WriteOp::SetAcl {
            path,
            acl,
            version: None,
        });
    }

    pub(crate) fn delete(&self, path: &str) {
        let path = ZnodePath::parse(path).unwrap();
        self.write(&WriteOp::Delete { path, version: None });
    }

    pub(crate) fn dump(&self) -> Dump {
        self.0.with_tree(|tree| {
            let there = tree.paths().filter_map(|path| Some((path, tree.get(path)?)));
            there
                .map(|(path, znode)| (path.to_string(), (znode.data.clone(), znode.acl.clone())))
                .collect()
        })
    }
}

fn creation(path: &str, data: &[u8], acl: Acl) -> WriteOp {
    WriteOp::Create {
        path: ZnodePath::parse(path).unwrap(),
        data: data.to_vec(),
        acl,
        kind: Kind::Persistent,
    }
}

/// A connection of bob's.
struct Bob(model::Client);

#[async_trait]
impl ZnodeReader for Bob {
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

    async fn session(&self) -> Result<Option<i64>, ClientError> {
        self.0.session().await
    }

    async fn identities(&self) -> Result<Option<Vec<String>>, ClientError> {
        self.0.identities().await
    }

    async fn sync(&self) -> Result<bool, ClientError> {
        self.0.sync().await
    }

    async fn read_at_once(&self, paths: &[ZnodePath]) -> Result<Option<Vec<Reading>>, ClientError> {
        self.0.read_at_once(paths).await
    }

    async fn watch(&self, roots: &[ZnodePath]) -> Result<Option<Box<dyn TreeWatch>>, ClientError> {
        self.0.watch(roots).await
    }
}

#[async_trait]
impl ZnodeWriter for Bob {
    async fn write_many(&self, ops: &[WriteOp]) -> Vec<Result<(), WriteError>> {
        self.0.write_many(ops).await
    }

    fn keeps_order(&self) -> bool {
        self.0.keeps_order()
    }

    fn write_batch(&self) -> usize {
        self.0.write_batch()
    }

    fn working_acl(&self) -> Acl {
        self.0.working_acl()
    }
}

#[async_trait]
impl Client for Bob {
    async fn close(self: Box<Self>) {}
}

#[async_trait]
impl Ensemble for Modelled {
    fn name(&self) -> String {
        "model".to_owned()
    }

    async fn connect(&self) -> Result<Box<dyn Client>, ClientError> {
        let manner = Manner {
            write_batch: 2,
            ..Manner::default()
        };
        Ok(Box::new(Bob(self
            .0
            .client(Identity::digest("bob", "hash"), manner))))
    }

    async fn probe(&self) -> ZooKeeperHealth {
        ZooKeeperHealth {
            reachable: true,
            ..ZooKeeperHealth::default()
        }
    }

    async fn other_members(&self) -> Result<Vec<Arc<dyn Ensemble>>, MembersUnknown> {
        Ok(Vec::new())
    }
}
