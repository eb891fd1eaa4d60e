//! The walk over a live tree.

use std::collections::VecDeque;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;

use crate::{ClientError, Found, Reading, Record, Role, Stat, ZnodePath, ZnodeReader};

/// How many unreadable znodes a summary names.
const NAMED: usize = 20;
/// Data in flight stays near this many bytes once the walk has seen how large the znodes are.
const BYTES_IN_FLIGHT: usize = 32 << 20;

/// What to capture.
#[derive(Debug, Clone, Default)]
pub struct CaptureOptions {
    /// The subtrees wanted; none means the whole tree.
    pub roots: Vec<ZnodePath>,
}

/// What a capture found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CaptureSummary {
    /// Znodes captured, ancestors and unreadable ones not counted.
    pub znodes: u64,
    /// Bytes of data in them.
    pub bytes: u64,
    /// Ephemeral znodes, which are never kept.
    pub ephemerals_skipped: u64,
    /// Znodes that disappeared between being listed and being read.
    pub vanished: u64,
    /// Znodes that the server refused to show, or whose ACL it showed without the digests.
    pub unreadable: u64,
    /// The first 20 of them.
    pub unreadable_paths: Vec<ZnodePath>,
    /// The newest zxid that any captured znode speaks of.
    pub newest_zxid: i64,
}

impl CaptureSummary {
    /// Whether something that was asked for is not in the capture as it was on the server.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.unreadable > 0
    }

    fn unreadable(&mut self, path: &ZnodePath) {
        self.unreadable += 1;
        if self.unreadable_paths.len() < NAMED {
            self.unreadable_paths.push(path.clone());
        }
    }
}

/// Why a capture ended without a summary.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// ZooKeeper could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A znode that was asked for by name is not there, or is ephemeral.
    #[error("no such znode to back up: {0}")]
    NoSuchRoot(ZnodePath),
    /// Nobody takes the records any more.
    #[error("the records could not be written")]
    SinkClosed,
}

/// Walks the tree and sends each znode as a [`Record`], parents before children.
///
/// The walk reads many znodes at once and holds no more of them than that; the channel's bound is the back
/// pressure. Znodes may change meanwhile: the result is fuzzy unless nothing was written.
///
/// # Errors
/// [`CaptureError`]; what was sent until then is not a backup.
pub async fn capture(
    reader: &dyn ZnodeReader,
    options: &CaptureOptions,
    records: mpsc::Sender<Record>,
) -> Result<CaptureSummary, CaptureError> {
    let roots = outermost(&options.roots);
    let mut walk = Walk {
        reader,
        records,
        summary: CaptureSummary::default(),
    };
    walk.ancestors(&roots).await?;
    walk.subtrees(roots).await?;
    Ok(walk.summary)
}

struct Walk<'a> {
    reader: &'a dyn ZnodeReader,
    records: mpsc::Sender<Record>,
    summary: CaptureSummary,
}

impl Walk<'_> {
    async fn ancestors(&mut self, roots: &[ZnodePath]) -> Result<(), CaptureError> {
        let mut paths: Vec<_> = roots.iter().flat_map(ZnodePath::ancestors).collect();
        paths.sort();
        paths.dedup();
        for (path, reading) in self.read(paths).await? {
            match reading {
                Reading::Found(found) => self.send(record(path, Role::Ancestor, found)).await?,
                Reading::Missing => return Err(CaptureError::NoSuchRoot(path)),
                Reading::Denied => self.summary.unreadable(&path),
            }
        }
        Ok(())
    }

    async fn subtrees(&mut self, roots: Vec<ZnodePath>) -> Result<(), CaptureError> {
        let reader = self.reader;
        let read = |paths: Vec<ZnodePath>| async move {
            let readings = reader.read_many(&paths).await?;
            Ok::<_, ClientError>(paths.into_iter().zip(readings).collect::<Vec<_>>())
        };
        let mut frontier: VecDeque<_> = roots.iter().cloned().collect();
        let mut in_flight = FuturesUnordered::new();
        let mut batch = 8_usize; // grows while znodes prove small
        loop {
            while in_flight.len() < reader.batches_in_flight() && !frontier.is_empty() {
                let at = frontier.len().saturating_sub(batch);
                in_flight.push(read(frontier.split_off(at).into()));
            }
            let Some(readings) = in_flight.next().await else {
                return Ok(());
            };
            let mut largest = 0;
            for (path, reading) in readings? {
                match reading {
                    Reading::Missing if roots.contains(&path) => return Err(CaptureError::NoSuchRoot(path)),
                    Reading::Missing => self.summary.vanished += 1,
                    Reading::Denied => self.denied(path).await?,
                    Reading::Found(found) if found.stat.is_ephemeral() => {
                        if roots.contains(&path) {
                            return Err(CaptureError::NoSuchRoot(path));
                        }
                        self.summary.ephemerals_skipped += 1;
                    }
                    Reading::Found(found) => {
                        largest = largest.max(found.data.len());
                        for name in &found.children {
                            match path.child(name) {
                                Ok(child) => frontier.push_back(child),
                                // No server allows such a name; if one does, the backup must not hide it.
                                Err(_) => self.summary.unreadable(&path),
                            }
                        }
                        self.found(path, found).await?;
                    }
                }
            }
            let affordable = BYTES_IN_FLIGHT / reader.batches_in_flight().max(1) / (largest + 1);
            batch = affordable.clamp(1, (batch * 2).min(reader.batch_size().max(1)));
        }
    }

    async fn read(&self, paths: Vec<ZnodePath>) -> Result<Vec<(ZnodePath, Reading)>, CaptureError> {
        let readings = self.reader.read_many(&paths).await?;
        Ok(paths.into_iter().zip(readings).collect())
    }

    async fn denied(&mut self, path: ZnodePath) -> Result<(), CaptureError> {
        self.summary.unreadable(&path);
        let role = Role::Unreadable;
        self.send(Record {
            path,
            role,
            data: Vec::new(),
            acl: crate::Acl::default(),
            stat: Stat::default(),
        })
        .await
    }

    async fn found(&mut self, path: ZnodePath, found: Found) -> Result<(), CaptureError> {
        self.summary.znodes += 1;
        self.summary.bytes += found.data.len() as u64;
        self.summary.newest_zxid = self.summary.newest_zxid.max(found.stat.newest_zxid());
        if found.acl.is_masked() {
            self.summary.unreadable(&path);
        }
        self.send(record(path, Role::Captured, found)).await
    }

    async fn send(&self, record: Record) -> Result<(), CaptureError> {
        self.records
            .send(record)
            .await
            .map_err(|_| CaptureError::SinkClosed)
    }
}

fn record(path: ZnodePath, role: Role, found: Found) -> Record {
    Record {
        path,
        role,
        data: found.data,
        acl: found.acl,
        stat: found.stat,
    }
}

/// `roots` without those that lie within another, or `/` where there are none.
fn outermost(roots: &[ZnodePath]) -> Vec<ZnodePath> {
    if roots.is_empty() {
        return vec![ZnodePath::root()];
    }
    let mut kept: Vec<ZnodePath> = Vec::new();
    let mut sorted: Vec<_> = roots.to_vec();
    sorted.sort();
    for root in sorted {
        if !kept.iter().any(|outer| root.is_within(outer)) {
            kept.push(root);
        }
    }
    kept
}
