//! Capturing a live tree: the walk, and what makes it one moment of the tree's history.

mod collect;
pub(crate) mod frontier;
mod settle;
mod verify;
mod visit;
mod walk;

use std::sync::Arc;

use tokio::sync::mpsc;

pub use collect::{Captured, capture_in_memory};

use self::settle::Settled;
use self::verify::Verified;
use self::walk::{Run, Walked};
use crate::{AclIndex, Amendment, ClientError, History, Reading, Record, ZnodePath, ZnodeReader};

/// How many znodes of a kind a summary names.
const NAMED: usize = 20;
/// How often a validation starts over after the connection was lost.
const STARTS: u32 = 5;
/// How often what came and went during a walk is looked at again where nothing is validated.
const SECOND_LOOKS: u32 = 64;
/// How often the tree is walked where it cannot be watched.
const PASSES: u32 = 5;

/// What to capture, and how.
#[derive(Debug, Clone)]
pub struct CaptureOptions {
    /// The subtrees wanted; none means the whole tree.
    pub roots: Vec<ZnodePath>,
    /// How often what changed meanwhile is read again before the capture is called fuzzy; 0 walks once.
    pub rounds: u32,
    /// ACLs that are known from an earlier backup of the same ensemble.
    pub known_acls: Option<Arc<AclIndex>>,
    /// A server that shows more znodes is not believed: what it shows may have no end, and each takes memory.
    pub most_znodes: usize,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            rounds: 200,
            known_acls: None,
            most_znodes: 1 << 26,
        }
    }
}

/// What a capture hands on, in this order: records, then amendments; a restart voids all that came before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Portion {
    /// The walk begins anew.
    Restart,
    /// What the walk met, parents before children.
    Records(Vec<Record>),
    /// What became of znodes afterwards, parents before children; at most one for each.
    Amendments(Vec<Amendment>),
}

/// Whether a capture shows one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// Data and structure are those of one moment of the ensemble's history. ACLs were each read within the
    /// capture's time, for the very znode whose data it holds.
    Consistent,
    /// They may stem from different moments.
    #[default]
    Fuzzy,
}

/// What a capture found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CaptureSummary {
    /// Whether it shows one moment.
    pub consistency: Consistency,
    /// How often something was read again because it had changed, or the tree walked again.
    pub rounds: u32,
    /// Znodes that still changed when the rounds were used up.
    pub moving: u64,
    /// The first 20 of them.
    pub moving_paths: Vec<ZnodePath>,
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
    /// The first 20 children whose names are none, each after its parent; they count as unreadable.
    #[serde(default)]
    pub refused_names: Vec<String>,
    /// Ancestors of the roots whose data and ACLs were read at another moment: what is claimed does not hold of them.
    #[serde(default)]
    pub ancestors_apart: u64,
    /// Whether `Stat`s tell how many children were created, as ZooKeeper's do and ClickHouse Keeper's do not.
    #[serde(default = "yes")]
    pub counters_known: bool,
    /// ACLs that were asked for.
    pub acls_read: u64,
    /// ACLs that were known from an earlier backup.
    pub acls_reused: u64,
    /// The newest zxid that any captured znode speaks of. A consistent capture shows the state as of it.
    pub newest_zxid: i64,
}

fn yes() -> bool {
    true
}

impl CaptureSummary {
    /// Whether something that was asked for is not in the capture as it was on the server.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.unreadable > 0
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
    /// There are more znodes than [`CaptureOptions::most_znodes`].
    #[error("the server shows more than {0} znodes")]
    TooMany(usize),
    /// Nobody takes the records any more.
    #[error("the records could not be written")]
    SinkClosed,
}

/// Walks the tree and sends what it finds, parents before children.
///
/// Where the server can watch a subtree, everything that changes during the walk is read again until nothing
/// changes any more; elsewhere the tree is walked until two walks agree. `docs/decisions/0005` has the proofs.
/// Many znodes are read at once and no more of them held; the channel's bound is the back pressure.
///
/// # Errors
/// [`CaptureError`]; what was sent until then is not a backup.
pub async fn capture(
    reader: &dyn ZnodeReader,
    options: &CaptureOptions,
    sink: mpsc::Sender<Portion>,
) -> Result<CaptureSummary, CaptureError> {
    let roots = outermost(&options.roots);
    let mut run = Run::new(reader, &roots, options, sink);
    run.keeper = is_keeper(reader).await?;
    if run.keeper {
        // Its watches do not tell which znode has changed (ClickHouse issue 115475).
        return if options.rounds == 0 {
            once(run).await
        } else {
            until_two_agree(run, options.rounds).await
        };
    }
    run.verifies = options.rounds > 0 && !reader.reads_everything().await?;
    if options.rounds == 0 {
        return once(run).await;
    }
    let mut rounds = options.rounds;
    for start in 0..STARTS {
        let Some(mut watch) = reader.watch(&roots).await? else {
            return until_two_agree(run, rounds).await;
        };
        if start > 0 {
            run.restart().await?;
        }
        let before = if run.verifies {
            reader.applied().await
        } else {
            None
        };
        if matches!(
            run.walk(History::One, Some(&mut *watch)).await?,
            Walked::ConnectionLost
        ) {
            continue;
        }
        match run.settle(Some(&mut *watch), &mut rounds).await? {
            Settled::Quiet if !run.verifies => return run.finish(Consistency::Consistent).await,
            // Nothing at all has happened there.
            Settled::Quiet if before.is_some() && before == reader.applied().await => {
                return run.finish(Consistency::Consistent).await;
            }
            Settled::Quiet => match run.verify(&mut *watch, &mut rounds).await? {
                Verified::Same => return run.finish(Consistency::Consistent).await,
                Verified::Differs | Verified::ConnectionLost => {}
            },
            Settled::Moving => return run.finish(Consistency::Fuzzy).await,
            Settled::ConnectionLost => {}
        }
    }
    run.restart().await?;
    run.walk(History::One, None).await?;
    run.settle(None, &mut { SECOND_LOOKS }).await?;
    run.finish(Consistency::Fuzzy).await
}

/// One walk, of which nothing is claimed.
async fn once(mut run: Run<'_>) -> Result<CaptureSummary, CaptureError> {
    run.walk(History::Any, None).await?;
    run.settle(None, &mut { SECOND_LOOKS }).await?;
    run.finish(Consistency::Fuzzy).await
}

/// Whether this is ClickHouse Keeper: it says so in a znode, and lacks one that every ZooKeeper has.
async fn is_keeper(reader: &dyn ZnodeReader) -> Result<bool, ClientError> {
    let paths = ["/keeper/api_version", "/zookeeper/quota"].map(ZnodePath::parse);
    let paths: Vec<_> = paths.into_iter().flatten().collect();
    let readings = reader.read_many(&paths, History::Any).await?;
    Ok(matches!(readings[..], [Reading::Found(_), Reading::Missing]))
}

/// Double collect: two walks that find every znode the same show the moment between them.
async fn until_two_agree(mut run: Run<'_>, rounds: u32) -> Result<CaptureSummary, CaptureError> {
    let reader = run.reader;
    let mut epoch_before = None;
    for pass in 0..rounds.clamp(2, PASSES) {
        if pass > 0 {
            run.restart().await?;
        }
        let epoch = reader.epoch();
        run.compare_with_last_walk();
        run.walk(History::One, None).await?;
        let steady = epoch_before == Some(reader.epoch()) && run.dirty.is_empty();
        run.settle(None, &mut { SECOND_LOOKS }).await?;
        if run.agrees_with_last_walk() && steady {
            return run.finish(Consistency::Consistent).await;
        }
        epoch_before = Some(epoch);
    }
    run.finish(Consistency::Fuzzy).await
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
