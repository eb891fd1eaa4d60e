//! Making exact what a server hands out while clients write: `docs/decisions/0008` has the proof.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

use super::received_snapshot::ReceivedSnapshot;
use super::reread::{NAMED, Reread, listen, names, words};
use super::{FileError, Gathered};
use crate::tree::{Changes, ClientError, Reading, TreeWatch, ZnodePath, ZnodeReader};

/// How often it is looked at what the watch tells.
const LISTEN: Duration = Duration::from_millis(100);
/// Access control lists of which a few znodes each are read in one go.
const LISTS: usize = 5;
/// Turns snapshots that a server hands out into the state at one moment: what changed meanwhile is read through the
/// client API until nothing does, while a watch tells what that is.
///
/// In turns: [`begin`](Self::begin); begin a session of any client; ask for a snapshot, and wait for it by
/// [`during`](Self::during); [`read_changes`](Self::read_changes) once it has been written, also while it is on its way; give it and
/// the session to [`add`](Self::add).
pub struct Reconciler<'a> {
    reader: &'a dyn ZnodeReader,
    watch: Option<Box<dyn TreeWatch>>,
    /// Which znodes it told of [`during`](Self::during) something else, or why that is not known.
    told: Result<BTreeSet<ZnodePath>, String>,
    /// What [`read_changes`](Self::read_changes) has read, or why it has not.
    reread: Result<Reread, String>,
    /// To be compared with the next snapshot.
    last: Option<ReconciledSnapshot>,
    /// Where there is no better one.
    worse: Option<ReconciledSnapshot>,
}

impl std::fmt::Debug for Reconciler<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reconciler")
            .field("watches", &self.watch.is_some())
            .finish_non_exhaustive()
    }
}

/// A snapshot, and what some znodes were at one later moment.
pub struct ReconciledSnapshot {
    received: ReceivedSnapshot,
    /// Else why nothing was read again.
    reread: Result<Reread, String>,
    /// Whether every access control list is known to be that of the moment.
    acls_exact: bool,
    /// Whether it may be of another time, or of another ensemble, than what was asked for.
    strange: bool,
}

impl std::fmt::Debug for ReconciledSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReconciledSnapshot")
            .field("received", &self.received)
            .field("acls_exact", &self.acls_exact)
            .finish_non_exhaustive()
    }
}

impl<'a> Reconciler<'a> {
    /// Reads what changed through `reader`, which must be allowed to read everything.
    #[must_use]
    pub fn new(reader: &'a dyn ZnodeReader) -> Self {
        Self {
            reader,
            watch: None,
            told: Ok(BTreeSet::new()),
            reread: not_read(),
            last: None,
            worse: None,
        }
    }

    /// Watches the tree, and forgets what changed before now.
    ///
    /// # Errors
    /// [`ClientError`] when the ensemble cannot be reached in time.
    pub async fn begin(&mut self) -> Result<(), ClientError> {
        let lost = match &mut self.watch {
            Some(watch) => watch.take() == Changes::Lost,
            None => true,
        };
        if lost {
            self.watch = self.reader.watch(&[ZnodePath::root()]).await?;
        }
        self.told = Ok(BTreeSet::new());
        self.reread = not_read();
        Ok(())
    }

    /// Waits for `work`. What is told meanwhile takes memory once for each znode, and not for each change.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            if let Ok(done) = timeout(LISTEN, work.as_mut()).await {
                return done;
            }
            if let (Ok(told), Some(watch)) = (&mut self.told, self.watch.as_deref_mut())
                && let Err(why) = listen(told, watch)
            {
                (self.told, self.watch) = (Err(why), None);
            }
        }
    }

    /// Reads what changed since [`begin`](Self::begin), as of a moment after this was called.
    pub async fn read_changes(&mut self) {
        let mut reread = Reread::default();
        self.reread = match std::mem::replace(&mut self.told, Ok(BTreeSet::new())) {
            Ok(mut dirty) => {
                dirty.insert(ZnodePath::root());
                let quiet = self.until_quiet(&mut reread, dirty).await;
                quiet.map(|()| reread)
            }
            Err(why) => Err(why),
        };
    }

    async fn until_quiet(&mut self, reread: &mut Reread, dirty: BTreeSet<ZnodePath>) -> Result<(), String> {
        let watch = self.watch.as_deref_mut();
        let watch = watch.ok_or("its server cannot watch the whole tree")?;
        reread.until_quiet(self.reader, watch, dirty).await
    }

    /// Takes a snapshot that had been written when [`read_changes`](Self::read_changes) was called, and that was asked for after the
    /// session `marker` had begun. Returns what nothing better can be made of; where there is none yet, the next one
    /// may help.
    pub async fn add(
        &mut self,
        received: ReceivedSnapshot,
        marker: Option<i64>,
    ) -> Option<ReconciledSnapshot> {
        if received.is_exact() && marker.is_none_or(|marker| received.knows(marker)) {
            return Some(ReconciledSnapshot::new(received, Ok(Reread::default())));
        }
        // What is older than the moment tells nothing of it.
        let in_time = marker.is_some_and(|marker| received.knows(marker));
        if let Some(mut last) = self.last.take_if(|_| in_time) {
            last.learn(self.reader, &received).await;
            if last.is_shown() {
                return Some(last);
            }
            self.worse = Some(last);
        }
        let reread = match in_time {
            true => self.fitting(&received).await,
            false => Err(
                "it shows no session that had begun before: its server was behind, is of another ensemble, or keeps sessions to \
                 itself"
                    .to_owned(),
            ),
        };
        match reread {
            Ok(mut reread) => {
                reread.learn(&received);
                reread.lists_exact |= reread.lists_kept(&received);
                self.last = Some(ReconciledSnapshot::new(received, Ok(reread)));
            }
            Err(why) => {
                let strange = marker.is_some() && !in_time;
                self.worse = Some(ReconciledSnapshot {
                    strange,
                    ..ReconciledSnapshot::new(received, Err(why))
                });
            }
        }
        None
    }

    /// The best that came of it: at one moment, or as one of the snapshots was.
    #[must_use]
    pub fn finish(self) -> Option<ReconciledSnapshot> {
        self.last.or(self.worse)
    }

    /// What was read again, with what `received` lacks.
    async fn fitting(&mut self, received: &ReceivedSnapshot) -> Result<Reread, String> {
        let mut reread = std::mem::replace(&mut self.reread, not_read())?;
        // Their lists are newer than those that the snapshot begins with.
        let new: BTreeSet<_> = received
            .without_acl()
            .filter(|path| !reread.znodes.contains_key(path))
            .collect();
        if !new.is_empty() {
            self.until_quiet(&mut reread, new).await?;
        }
        check_told(self.reader, received, &reread).await?;
        Ok(reread)
    }
}

/// A server need not tell of what it does not let us read: some znode of each access control list must be readable,
/// or its end must have been told.
async fn check_told(
    reader: &dyn ZnodeReader,
    received: &ReceivedSnapshot,
    reread: &Reread,
) -> Result<(), String> {
    for lists in received.samples().chunks(LISTS) {
        let readings = reader.read_at_once(&lists.concat()).await;
        let readings = readings.map_err(words)?;
        let mut readings = readings
            .ok_or("its server cannot read so much at once")?
            .into_iter();
        for paths in lists {
            let answers: Vec<_> = readings.by_ref().take(paths.len()).collect();
            let told = paths.iter().zip(answers).any(|(path, answer)| match answer {
                Reading::Found(_) => true,
                Reading::Missing => reread.has_ended(path),
                Reading::Denied | Reading::Undecodable(_) => false,
            });
            if !told {
                let path = &paths[0];
                return Err(format!(
                    "we may not read {path}, or it went unseen: changes may not have been told"
                ));
            }
        }
    }
    Ok(())
}

fn not_read() -> Result<Reread, String> {
    Err("nothing was read again".to_owned())
}

impl ReconciledSnapshot {
    fn new(received: ReceivedSnapshot, reread: Result<Reread, String>) -> Self {
        Self {
            received,
            reread,
            acls_exact: false,
            strange: false,
        }
    }

    /// Takes from the next snapshot what clients are not shown.
    async fn learn(&mut self, reader: &dyn ZnodeReader, next: &ReceivedSnapshot) {
        if let Ok(reread) = &mut self.reread {
            reread.learn(next);
            self.acls_exact = reread.lists_exact
                && (reread.at_once || reread.same_acls(next))
                && self.received.same_acls(next, &reread.znodes);
            // It shows lists that came after the first one had passed.
            if let Err(why) = check_told(reader, next, reread).await {
                self.reread = Err(why);
            }
        }
    }

    /// Whether we were shown all of its access control lists.
    fn is_shown(&self) -> bool {
        self.reread
            .as_ref()
            .is_ok_and(|reread| reread.masked().next().is_none())
    }

    /// The state. Blocks while it reads the snapshot.
    ///
    /// # Errors
    /// [`FileError`] if it lacks something.
    pub fn gathered(self) -> Result<Gathered, FileError> {
        let reread = self.reread.and_then(|reread| {
            let masked: Vec<_> = reread.masked().collect();
            match masked.is_empty() {
                true => Ok(reread),
                false => Err(format!(
                    "we are not shown the digests in the access control lists of {}",
                    names(masked.into_iter())
                )),
            }
        });
        let gathered = reread.and_then(|reread| {
            if reread.znodes.is_empty() {
                return Ok(None);
            }
            let gathered = self.received.at(&reread.znodes);
            gathered
                .map(|gathered| Some((gathered, reread)))
                .map_err(|error| format!("what was read later does not fit: {error}"))
        });
        match gathered {
            Ok(None) => self.received.into_gathered(),
            Ok(Some((mut gathered, reread))) => {
                let report = &mut gathered.report;
                report.acls_exact = self.acls_exact;
                report.of_no_kind = reread.of_no_kind().count() as u64;
                report.of_no_kind_paths = reread
                    .of_no_kind()
                    .take(NAMED)
                    .map(ZnodePath::to_string)
                    .collect();
                Ok(gathered)
            }
            Err(why) => {
                let mut gathered = self.received.into_gathered()?;
                gathered.exact &= !self.strange;
                gathered.report.unsettled = Some(why);
                Ok(gathered)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;
    use crate::tree::{Acl, MemoryTree};

    #[tokio::test]
    async fn what_is_told_during_something_else_is_read_afterwards() {
        let tree = MemoryTree::new();
        tree.put("/before", b"", Acl::open()).unwrap();
        let mut reconciler = Reconciler::new(&tree);
        reconciler.begin().await.unwrap();
        let mut looks = 0;
        let work = poll_fn(|_| {
            looks += 1;
            tree.put("/changing", looks.to_string().as_bytes(), Acl::open())
                .unwrap();
            match looks {
                3 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        });
        reconciler.during(work).await;
        assert_eq!(
            reconciler.told.as_ref().unwrap().len(),
            2,
            "the znode and its parent"
        );
        reconciler.read_changes().await;
        let reread = reconciler.reread.unwrap();
        let changing = &reread.znodes[&ZnodePath::parse("/changing").unwrap()];
        assert_eq!(changing.as_ref().unwrap().data, b"3");
        assert!(!reread.znodes.contains_key(&ZnodePath::parse("/before").unwrap()));
    }
}
