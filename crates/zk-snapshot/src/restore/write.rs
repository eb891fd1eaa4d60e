//! Writing many operations at once, and finding out what became of each.

use std::collections::HashMap;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesOrdered, StreamExt};

use super::places::Places;
use super::{RestoreOptions, RestoreReport, Stop};
use crate::{AclFound, Found, History, Reading, WriteError, WriteOp, ZnodeReader, ZnodeWriter};

/// A write whose outcome is unknown is looked at again this often.
const ATTEMPTS: usize = 3;
/// Calls in flight together.
const IN_FLIGHT: usize = 8;
/// Bytes of data in one call.
const BYTES: usize = 512 << 10;

/// Znodes that are read again at once; any of them may be large.
const RECONSIDERED: usize = 32;

type Outcomes = (Vec<WriteOp>, Vec<Result<(), WriteError>>);

/// Sends operations in batches, several at a time, and counts what became of them.
pub(super) struct Writer<'a, T: ?Sized> {
    live: &'a T,
    dry_run: bool,
    pub(super) report: RestoreReport,
    pub(super) places: Places,
    batch: Vec<WriteOp>,
    bytes: usize,
    in_flight: FuturesOrdered<BoxFuture<'a, Outcomes>>,
    again: Vec<WriteOp>,
}

impl<'a, T: ZnodeReader + ZnodeWriter + ?Sized> Writer<'a, T> {
    pub(super) fn new(live: &'a T, options: &RestoreOptions, places: Places) -> Self {
        Self {
            live,
            dry_run: options.dry_run,
            report: RestoreReport::default(),
            places,
            batch: Vec::new(),
            bytes: 0,
            in_flight: FuturesOrdered::new(),
            again: Vec::new(),
        }
    }

    /// Adds an operation, after those that were added before where the client keeps their order.
    pub(super) async fn push(&mut self, op: WriteOp) -> Result<(), Stop> {
        if self.dry_run {
            self.count(&op);
            return Ok(());
        }
        self.bytes += match &op {
            WriteOp::Create { data, .. } | WriteOp::SetData { data, .. } => data.len(),
            _ => 0,
        };
        self.batch.push(op);
        if self.batch.len() >= self.live.write_batch().max(1) || self.bytes >= BYTES {
            self.send();
            // Let it go out at once, and see what has come back.
            while let Some(Some(outcomes)) = self.in_flight.next().now_or_never() {
                self.judge(outcomes, 1)?;
            }
            while self.in_flight.len() >= IN_FLIGHT {
                let Some(outcomes) = self.in_flight.next().await else {
                    break;
                };
                self.judge(outcomes, 1)?;
            }
        }
        Ok(())
    }

    /// Waits until the outcome of everything is known; what can be tried again is.
    pub(super) async fn flush(&mut self) -> Result<(), Stop> {
        for attempt in 1..=ATTEMPTS {
            self.send();
            while let Some(outcomes) = self.in_flight.next().await {
                self.judge(outcomes, attempt)?;
            }
            if self.again.is_empty() {
                break;
            }
            let again = std::mem::take(&mut self.again);
            self.batch = self.reconsider(again).await?;
        }
        Ok(())
    }

    fn send(&mut self) {
        let live = self.live;
        self.bytes = 0;
        let mut rest = std::mem::take(&mut self.batch);
        while !rest.is_empty() {
            let ops = rest;
            let mut bytes = 0;
            let fits = ops.iter().position(|op| {
                bytes += op.path().as_str().len();
                if let WriteOp::Create { data, .. } | WriteOp::SetData { data, .. } = op {
                    bytes += data.len();
                }
                bytes > 2 * BYTES
            });
            let mut ops = ops;
            rest = ops.split_off(
                fits.map_or(ops.len(), |at| at.max(1))
                    .min(live.write_batch().max(1)),
            );
            let call = async move {
                let outcomes = live.write_many(&ops).await;
                (ops, outcomes)
            };
            self.in_flight.push_back(call.boxed());
        }
    }

    fn judge(&mut self, (ops, outcomes): Outcomes, attempt: usize) -> Result<(), Stop> {
        let more = attempt < ATTEMPTS;
        for (op, outcome) in ops.into_iter().zip(outcomes) {
            match outcome {
                Ok(()) => self.count(&op),
                Err(WriteError::NoNode) if matches!(op, WriteOp::Delete { .. }) => self.count(&op),
                Err(WriteError::Unknown(error)) if !more => return Err(error.into()),
                // Its parent may be among those that are tried again.
                Err(WriteError::NoNode) if more && matches!(op, WriteOp::Create { .. }) => {
                    self.again.push(op);
                }
                Err(WriteError::NodeExists | WriteError::Unknown(_)) if more => self.again.push(op),
                Err(error) => self.report.fail(op.path(), error.to_string()),
            }
        }
        Ok(())
    }

    /// Reads again what unknown or surprising outcomes left, and says what is still to be done.
    async fn reconsider(&mut self, ops: Vec<WriteOp>) -> Result<Vec<WriteOp>, Stop> {
        let mut left = Vec::new();
        for some in ops.chunks(RECONSIDERED) {
            let paths: Vec<_> = some.iter().map(|op| op.path().clone()).collect();
            let readings = self.live.read_many(&paths, History::Any).await?;
            let there: Vec<_> = paths
                .iter()
                .zip(&readings)
                .filter(|(_, reading)| matches!(reading, Reading::Found(_)))
                .map(|(path, _)| path.clone())
                .collect();
            let guards = self.live.read_acls(&there).await?;
            let guards: HashMap<_, _> = there.into_iter().zip(guards).collect();
            for (op, reading) in some.iter().zip(readings) {
                match (reading, guards.get(op.path())) {
                    (Reading::Found(found), Some(Reading::Found(guard))) => {
                        let more = still_to_do(op, &found, guard);
                        if more.is_empty() {
                            self.count(op);
                        }
                        left.extend(more);
                    }
                    _ => left.push(op.clone()),
                }
            }
        }
        Ok(left)
    }

    fn count(&mut self, op: &WriteOp) {
        match op {
            WriteOp::Create { .. } => self.report.created += 1,
            WriteOp::Delete { .. } => self.report.deleted += 1,
            // What completes a creation is part of it.
            WriteOp::SetData { path, .. } | WriteOp::SetAcl { path, .. } if self.places.is_created(path) => {}
            WriteOp::SetData { .. } => self.report.data_changed += 1,
            WriteOp::SetAcl { .. } => self.report.acl_changed += 1,
        }
    }
}

fn still_to_do(op: &WriteOp, found: &Found, guard: &AclFound) -> Vec<WriteOp> {
    match op {
        WriteOp::Create { path, data, acl, .. } => {
            let mut left = Vec::new();
            if found.data != *data {
                left.push(WriteOp::SetData {
                    path: path.clone(),
                    data: data.clone(),
                    version: None,
                });
            }
            if !guard.acl.same_as(acl) {
                left.push(WriteOp::SetAcl {
                    path: path.clone(),
                    acl: acl.clone(),
                    version: None,
                });
            }
            left
        }
        WriteOp::SetData { data, .. } if found.data == *data => Vec::new(),
        WriteOp::SetAcl { acl, .. } if guard.acl.same_as(acl) => Vec::new(),
        _ => vec![op.clone()],
    }
}
