//! What restores have begun and not finished.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::tree::{Acl, ZnodePath};

/// A znode that is not as in the backup yet, and does not look like what it was before either: under a working ACL
/// until its own can be set, perhaps without its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// The live znode.
    pub path: ZnodePath,
    /// Whether the restore created it. Then it holds nothing, or the data of the backup.
    pub created: bool,
    /// Of one that it created and whose ACL the backup does not have: it stands open to all, as it is to stay, and lacks its data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub acl_unknown: bool,
    /// Whether a restore that had no identity has put a list on it: that lets everybody do everything, or all but read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anonymous: bool,
    /// Of one that it created only since something was renamed to a place below: no backup says what it is to be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub above: bool,
    /// The path in the backup of what it is to become, where that was renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<ZnodePath>,
    /// The zxid of its creation, by which it is told from another one in its place. `None` as long as it is not known, and in the notes
    /// of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub czxid: Option<i64>,
    /// When it was created, in milliseconds of the Unix time of the server, where `czxid` is known: of two lives of an ensemble a `czxid` can be the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctime: Option<i64>,
    /// The `aversion` that it has under the first of our lists, and under the last. With a later one it has its own list, or one that somebody
    /// has set since. `None` in the notes of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aversions: Option<(i32, i32)>,
    /// Of one that the backup lacks, and that was to be deleted or had something below it that was: what is to be put back if
    /// it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Opened>,
}

/// The list that a working ACL has taken the place of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The list that it had.
    pub acl: Acl,
    /// The `aversion` that it had with that list. The working ACL has the next one.
    pub aversion: i32,
}

impl Unfinished {
    /// One of which no more is known than its path.
    #[must_use]
    pub fn new(path: ZnodePath, created: bool) -> Self {
        Self {
            path,
            created,
            acl_unknown: false,
            anonymous: false,
            above: false,
            renamed_from: None,
            czxid: None,
            ctime: None,
            aversions: None,
            opened: None,
        }
    }
}

/// Remembers which znodes are [`Unfinished`], so that a later restore finishes them, whatever ended this one.
///
/// What [`begin`](Self::begin) was told must be known in every later restore of the same ensemble, across crashes and
/// power loss, until [`end`](Self::end) is told the same path.
#[async_trait]
pub trait Ledger: std::fmt::Debug + Send + Sync {
    /// Notes `begun` durably. Their first write goes out after this has returned. What was noted of the same path before
    /// is replaced: it is begun anew, or more is known of it.
    ///
    /// # Errors
    /// When that cannot be stored; nothing of it is written to ZooKeeper then.
    async fn begin(&self, begun: &[Unfinished]) -> io::Result<()>;

    /// Notes that these znodes are finished, or no concern of a restore any more. Those that are not noted are of no
    /// consequence. If this is lost the next restore that has them in reach finds out by looking.
    ///
    /// # Errors
    /// When that cannot be stored.
    async fn end(&self, finished: &[ZnodePath]) -> io::Result<()>;

    /// All that is unfinished, in path order.
    ///
    /// # Errors
    /// When that cannot be read. A restore does not begin then.
    fn unfinished(&self) -> io::Result<Vec<Unfinished>>;
}

/// A ledger that lasts as long as the process.
#[derive(Debug, Default)]
pub struct MemoryLedger(Mutex<BTreeMap<ZnodePath, Unfinished>>);

impl MemoryLedger {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ZnodePath, Unfinished>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn begin(&self, begun: &[Unfinished]) -> io::Result<()> {
        let mut open = self.lock();
        for one in begun {
            open.insert(one.path.clone(), one.clone());
        }
        Ok(())
    }

    async fn end(&self, finished: &[ZnodePath]) -> io::Result<()> {
        let mut open = self.lock();
        finished.iter().for_each(|path| {
            open.remove(path);
        });
        Ok(())
    }

    fn unfinished(&self) -> io::Result<Vec<Unfinished>> {
        Ok(self.lock().values().cloned().collect())
    }
}
