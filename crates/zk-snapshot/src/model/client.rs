//! A client of the ensemble, as the traits have it.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::future::join_all;

use super::watch::Watch;
use super::wire::{Lost, Reply, Request};
use super::{Ensemble, Identity};
use crate::tree::{
    Acl, AclFound, ClientError, History, Reading, TreeWatch, WriteError, WriteOp, ZnodePath, ZnodeReader,
    ZnodeWriter,
};

/// A read is sent again this often over a new connection.
const ATTEMPTS: usize = 4;

/// How a client asks.
#[derive(Debug, Clone)]
pub struct Manner {
    /// Whether it sends many operations in one request over one connection, in order, and can watch; else each is a
    /// request of its own over one of several, and they arrive in any order.
    pub ordered: bool,
    /// How many connections it has.
    pub connections: usize,
    /// Znodes in one read.
    pub batch_size: usize,
    /// Operations in one call.
    pub write_batch: usize,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            ordered: true,
            connections: 1,
            batch_size: 64,
            write_batch: 32,
        }
    }
}

/// A client of an [`Ensemble`].
#[derive(Debug)]
pub struct Client {
    ensemble: Ensemble,
    identity: Identity,
    manner: Manner,
    first: usize,
    turn: AtomicUsize,
}

impl Client {
    pub(super) fn new(ensemble: Ensemble, identity: Identity, manner: Manner, first: usize) -> Self {
        Self {
            ensemble,
            identity,
            manner,
            first,
            turn: AtomicUsize::new(0),
        }
    }

    fn connection(&self, history: History) -> usize {
        if self.manner.ordered || history == History::One {
            return self.first;
        }
        self.first + self.turn.fetch_add(1, Ordering::Relaxed) % self.manner.connections.max(1)
    }

    async fn read(&self, connection: usize, request: Request) -> Result<Reply, ClientError> {
        for _ in 0..ATTEMPTS {
            if let Ok(reply) = self.ensemble.ask(connection, request.clone()).await {
                return Ok(reply);
            }
        }
        Err(lost())
    }

    async fn read_some(
        &self,
        connection: usize,
        paths: &[ZnodePath],
        children: bool,
    ) -> Result<Vec<Reading>, ClientError> {
        let Reply::Data(mut readings) = self.read(connection, Request::Data(paths.to_vec())).await? else {
            return Err(lost());
        };
        let is_parent =
            |reading: &Reading| matches!(reading, Reading::Found(found) if found.stat.num_children > 0);
        let parents: Vec<_> = (0..paths.len())
            .filter(|index| is_parent(&readings[*index]))
            .collect();
        if !children || parents.is_empty() {
            return Ok(readings);
        }
        let asked = parents.iter().map(|index| paths[*index].clone()).collect();
        let Reply::Children(lists) = self.read(connection, Request::Children(asked)).await? else {
            return Err(lost());
        };
        for (index, list) in parents.into_iter().zip(lists) {
            match (list, &mut readings[index]) {
                (Reading::Found(list), Reading::Found(found)) => found.children = list,
                (Reading::Denied, reading) => *reading = Reading::Denied,
                (_, reading) => *reading = Reading::Missing,
            }
        }
        Ok(readings)
    }

    /// As many as fit in one transaction; one that fails is done again one by one.
    async fn write_in_order(&self, ops: &[WriteOp]) -> Vec<Result<(), WriteError>> {
        let is_acl = |op: &WriteOp| matches!(op, WriteOp::SetAcl { .. });
        let parts: Vec<_> = ops.chunk_by(|a, b| !is_acl(a) && !is_acl(b)).collect();
        let answers = join_all(parts.iter().map(|part| self.write(self.first, part))).await;
        let mut outcomes = Vec::with_capacity(ops.len());
        for (part, answer) in parts.into_iter().zip(answers) {
            match answer {
                Err(WriteError::Unknown(_)) => outcomes.extend(part.iter().map(|_| answer.clone())),
                Err(_) if part.len() > 1 => {
                    let alone = part.chunks(1).map(|op| self.write(self.first, op));
                    outcomes.extend(join_all(alone).await);
                }
                answer => outcomes.extend(part.iter().map(|_| answer.clone())),
            }
        }
        outcomes
    }

    async fn write(&self, connection: usize, ops: &[WriteOp]) -> Result<(), WriteError> {
        match self.ensemble.ask(connection, Request::Write(ops.to_vec())).await {
            Ok(Reply::Written(outcome)) => outcome,
            Ok(_) | Err(Lost) => Err(WriteError::Unknown(lost())),
        }
    }
}

fn lost() -> ClientError {
    ClientError::new("model", "the connection was lost")
}

impl Ensemble {
    /// A client, connected.
    #[must_use]
    pub fn client(&self, identity: Identity, manner: Manner) -> Client {
        let mut wire = self.lock();
        let first = wire.connections();
        for _ in 0..manner.connections.max(1) {
            wire.connect(identity.clone());
        }
        drop(wire);
        Client::new(self.clone(), identity, manner, first)
    }
}

#[async_trait]
impl ZnodeReader for Client {
    async fn read_many(&self, paths: &[ZnodePath], history: History) -> Result<Vec<Reading>, ClientError> {
        if self.manner.ordered {
            return self.read_some(self.first, paths, true).await;
        }
        let each = paths
            .chunks(1)
            .map(|path| self.read_some(self.connection(history), path, true));
        let readings: Result<Vec<_>, _> = join_all(each).await.into_iter().collect();
        Ok(readings?.into_iter().flatten().collect())
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        let each = paths.iter().map(async |path| {
            let asked = Request::Acl(path.clone());
            match self.read(self.connection(History::Any), asked).await? {
                Reply::Acl(reading) => Ok(reading),
                _ => Err(lost()),
            }
        });
        join_all(each).await.into_iter().collect()
    }

    fn batch_size(&self) -> usize {
        self.manner.batch_size
    }

    fn batches_in_flight(&self) -> usize {
        2
    }

    fn epoch(&self) -> u64 {
        self.ensemble.lock().epoch(self.first)
    }

    async fn identities(&self) -> Result<Option<Vec<String>>, ClientError> {
        Ok(Some(self.identity.names()))
    }

    async fn session(&self) -> Result<Option<i64>, ClientError> {
        Ok(Some(self.ensemble.lock().session(self.first)))
    }

    async fn sync(&self) -> Result<bool, ClientError> {
        self.read(self.first, Request::Sync).await.map(|_| true)
    }

    async fn read_at_once(&self, paths: &[ZnodePath]) -> Result<Option<Vec<Reading>>, ClientError> {
        if !self.manner.ordered {
            return Ok(None);
        }
        self.read_some(self.first, paths, false).await.map(Some)
    }

    async fn watch(&self, roots: &[ZnodePath]) -> Result<Option<Box<dyn TreeWatch>>, ClientError> {
        if !self.manner.ordered {
            return Ok(None);
        }
        // It is set by a request of its own, before which anything may happen.
        self.read(self.first, Request::Data(roots.to_vec())).await?;
        let mut wire = self.ensemble.lock();
        Ok(Some(Box::new(Watch {
            ensemble: self.ensemble.clone(),
            connection: self.first,
            epoch: wire.epoch(self.first),
            identity: self.identity.clone(),
            roots: roots.to_vec(),
            told: wire.view(self.first),
        })))
    }
}

#[async_trait]
impl ZnodeWriter for Client {
    async fn write_many(&self, ops: &[WriteOp]) -> Vec<Result<(), WriteError>> {
        if self.manner.ordered {
            return self.write_in_order(ops).await;
        }
        let each = ops
            .chunks(1)
            .map(|op| self.write(self.connection(History::Any), op));
        join_all(each).await
    }

    fn keeps_order(&self) -> bool {
        self.manner.ordered
    }

    fn write_batch(&self) -> usize {
        self.manner.write_batch
    }

    fn working_acl(&self) -> Acl {
        self.identity.working_acl()
    }
}
