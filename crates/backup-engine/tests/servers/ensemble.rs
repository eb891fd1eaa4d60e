//! The ensemble as a server reaches it, and who has written to it and when.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backup_engine::{Client, Ensemble, MembersUnknown, MemoryEnsemble};
use health_metrics::ZooKeeperHealth;
use zk_snapshot::tree::{
    Acl, AclFound, ClientError, History, Reading, TreeWatch, WriteError, WriteOp, ZnodePath, ZnodeReader,
    ZnodeWriter,
};

use crate::server::{Body, Luck};
use crate::world::{LONGEST, World};

/// The ensemble, as one server reaches it.
#[derive(Clone)]
pub(crate) struct Ours {
    tree: MemoryEnsemble,
    world: Arc<World>,
    server: Arc<Body>,
    luck: Luck,
}

/// A process that stood still for so long gives up what it was about to send (decision 26).
const GIVEN_UP: Duration = Duration::from_secs(5);

impl Ours {
    pub(crate) fn new(world: &Arc<World>, server: &Arc<Body>) -> Self {
        Self {
            tree: MemoryEnsemble::new(Arc::clone(&world.tree)),
            world: Arc::clone(world),
            server: Arc::clone(server),
            luck: server.luck(),
        }
    }

    fn lost(&self) -> ClientError {
        ClientError::new(&self.server.name, "the connection was lost")
    }

    /// What a process does that is dead comes to nothing.
    async fn takes_time(&self, most: u64) -> Result<(), ClientError> {
        self.server.goes_on(&self.world).await;
        let time = self.luck.draw(|seed| seed.time(1, most));
        self.world.sleep(time).await;
        self.server.goes_on(&self.world).await;
        match self.server.is_dead() {
            true => Err(self.lost()),
            false => Ok(()),
        }
    }

    fn unknown(&self, ops: &[WriteOp]) -> Vec<Result<(), WriteError>> {
        vec![Err(WriteError::Unknown(self.lost())); ops.len()]
    }
}

#[async_trait]
impl ZnodeReader for Ours {
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError> {
        self.takes_time(300).await?;
        self.tree.read_many(paths, history).await
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        self.takes_time(300).await?;
        self.tree.read_acls(paths).await
    }

    fn batch_size(&self) -> usize {
        4
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
impl ZnodeWriter for Ours {
    /// Whether it may was asked at this moment. It arrives within the time that was asked for, or never.
    async fn write_many(&self, ops: &[WriteOp]) -> Vec<Result<(), WriteError>> {
        if self.server.is_dead() {
            return self.unknown(ops);
        }
        let mut time = self.luck.draw(|seed| match seed.percent(25) {
            true => seed.between(2_000, LONGEST),
            false => seed.between(10, 800),
        });
        if self.luck.is_trouble(&self.world, 4) {
            // Just now, before anything has left.
            let (since, stopped) = (self.world.now(), self.luck.draw(|seed| seed.time(500, 60_000)));
            self.server.stop_for(&self.world, stopped);
            self.server.goes_on(&self.world).await;
            if self.world.now() >= since + GIVEN_UP {
                return self.unknown(ops);
            }
            time = time.min(LONGEST - 5_000);
        }
        self.world
            .tell(|| format!("{} writes {ops:?}, which takes {time} ms", self.server.name));
        let (ours, sent) = (self.clone(), ops.to_vec());
        // It is on its way, whatever becomes of who sent it.
        let arriving = self.world.runtime.spawn(async move {
            ours.world.sleep(Duration::from_millis(time)).await;
            let now = ours.world.now();
            ours.world.facts(|facts| facts.wrote(&ours.server.name, now));
            ours.tree.write_many(&sent).await
        });
        let outcomes = arriving.await.unwrap();
        self.server.goes_on(&self.world).await;
        match self.server.is_dead() || self.luck.is_trouble(&self.world, 4) {
            true => self.unknown(ops),
            false => outcomes,
        }
    }

    fn keeps_order(&self) -> bool {
        false // two that are on their way may overtake each other
    }

    fn write_batch(&self) -> usize {
        2
    }

    fn working_acl(&self) -> Acl {
        self.tree.working_acl()
    }
}

#[async_trait]
impl Client for Ours {
    async fn close(self: Box<Self>) {}
}

#[async_trait]
impl Ensemble for Ours {
    fn name(&self) -> String {
        "zk1:2181".to_owned()
    }

    async fn connect(&self) -> Result<Box<dyn Client>, ClientError> {
        self.takes_time(500).await?;
        Ok(Box::new(self.clone()))
    }

    async fn probe(&self) -> ZooKeeperHealth {
        self.tree.probe().await
    }

    async fn other_members(&self) -> Result<Vec<Arc<dyn Ensemble>>, MembersUnknown> {
        Ok(Vec::new())
    }
}
