//! Making exact what a server hands out while clients write: `docs/decisions/0008` has the proof.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

use super::handout::Handout;
use super::rereading::{Reread, listen, words};
use super::{FileError, Gathered};
use crate::tree::{Changes, ClientError, Reading, TreeWatch, ZnodePath, ZnodeReader};

/// How often it is looked at what the watch tells.
const LISTEN: Duration = Duration::from_millis(100);
/// Access control lists of which a few znodes each are read in one go.
const LISTS: usize = 5;
/// How many znodes are named in a message.
const NAMED: usize = 20;

/// Turns snapshots that a server hands out into the state at one moment: what changed meanwhile is read through the
/// client API until nothing does, while a watch tells what that is.
///
/// In turns: [`begin`](Self::begin); begin a session of any client; ask for a snapshot, and wait for it by
/// [`during`](Self::during); [`settle`](Self::settle) once it has been written, also while it is on its way; give it and
/// the session to [`round`](Self::round).
pub struct Settling<'a> {
    reader: &'a dyn ZnodeReader,
    watch: Option<Box<dyn TreeWatch>>,
    /// Which znodes it told of [`during`](Self::during) something else, or why that is not known.
    told: Result<BTreeSet<ZnodePath>, String>,
    /// What [`settle`](Self::settle) has read, or why it has not.
    reread: Result<Reread, String>,
    /// To be compared with the next snapshot.
    last: Option<Settled>,
    /// Where there is no better one.
    worse: Option<Settled>,
}

/// A snapshot, and what some znodes were at one later moment.
pub struct Settled {
    handout: Handout,
    /// Else why nothing was read again.
    later: Result<Reread, String>,
    /// Whether every access control list is known to be that of the moment.
    acls_exact: bool,
    /// Whether it may be of another time, or of another ensemble, than what was asked for.
    strange: bool,
}

impl<'a> Settling<'a> {
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
    pub async fn settle(&mut self) {
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

    /// Takes a snapshot that had been written when [`settle`](Self::settle) was called, and that was asked for after the
    /// session `marker` had begun. Returns what nothing better can be made of; where there is none yet, the next one
    /// may help.
    pub async fn round(&mut self, handout: Handout, marker: Option<i64>) -> Option<Settled> {
        if handout.is_exact() && marker.is_none_or(|marker| handout.knows(marker)) {
            return Some(Settled::new(handout, Ok(Reread::default())));
        }
        // What is older than the moment tells nothing of it.
        let in_time = marker.is_some_and(|marker| handout.knows(marker));
        if let Some(mut last) = self.last.take_if(|_| in_time) {
            last.learn(self.reader, &handout).await;
            if last.is_shown() {
                return Some(last);
            }
            self.worse = Some(last);
        }
        let later = match in_time {
            true => self.fitting(&handout).await,
            false => Err(
                "it shows no session that had begun before: its server was behind, is of another ensemble, or keeps sessions to \
                 itself"
                    .to_owned(),
            ),
        };
        match later {
            Ok(mut later) => {
                later.learn(&handout);
                later.lists_exact |= later.lists_kept(&handout);
                self.last = Some(Settled::new(handout, Ok(later)));
            }
            Err(why) => {
                let strange = marker.is_some() && !in_time;
                self.worse = Some(Settled {
                    strange,
                    ..Settled::new(handout, Err(why))
                });
            }
        }
        None
    }

    /// The best that came of it: at one moment, or as one of the snapshots was.
    #[must_use]
    pub fn end(self) -> Option<Settled> {
        self.last.or(self.worse)
    }

    /// What was read again, with what `handout` lacks.
    async fn fitting(&mut self, handout: &Handout) -> Result<Reread, String> {
        let mut reread = std::mem::replace(&mut self.reread, not_read())?;
        // Their lists are newer than those that the snapshot begins with.
        let new: BTreeSet<_> = handout
            .without_acl()
            .filter(|path| !reread.znodes.contains_key(path))
            .collect();
        if !new.is_empty() {
            self.until_quiet(&mut reread, new).await?;
        }
        check_told(self.reader, handout, &reread).await?;
        Ok(reread)
    }
}

/// A server need not tell of what it does not let us read: some znode of each access control list must be readable,
/// or its end must have been told.
async fn check_told(reader: &dyn ZnodeReader, handout: &Handout, reread: &Reread) -> Result<(), String> {
    for lists in handout.samples().chunks(LISTS) {
        let readings = reader.read_at_once(&lists.concat()).await;
        let readings = readings.map_err(words)?;
        let mut readings = readings.ok_or("its server cannot read at once")?.into_iter();
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

pub(super) fn names<'a>(paths: impl ExactSizeIterator<Item = &'a ZnodePath>) -> String {
    let more = paths.len().saturating_sub(NAMED);
    let mut names: Vec<_> = paths.take(NAMED).map(ZnodePath::to_string).collect();
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

impl Settled {
    fn new(handout: Handout, later: Result<Reread, String>) -> Self {
        Self {
            handout,
            later,
            acls_exact: false,
            strange: false,
        }
    }

    /// Takes from the next snapshot what clients are not shown.
    async fn learn(&mut self, reader: &dyn ZnodeReader, next: &Handout) {
        if let Ok(later) = &mut self.later {
            later.learn(next);
            self.acls_exact = later.lists_exact
                && (later.at_once || later.same_acls(next))
                && self.handout.same_acls(next, &later.znodes);
            // It shows lists that came after the first one had passed.
            if let Err(why) = check_told(reader, next, later).await {
                self.later = Err(why);
            }
        }
    }

    /// Whether we were shown all of its access control lists.
    fn is_shown(&self) -> bool {
        self.later
            .as_ref()
            .is_ok_and(|later| later.masked().next().is_none())
    }

    /// The state. Blocks while it reads the snapshot.
    ///
    /// # Errors
    /// [`FileError`] if it lacks something.
    pub fn gathered(self) -> Result<Gathered, FileError> {
        let later = self.later.and_then(|later| {
            let masked: Vec<_> = later.masked().collect();
            match masked.is_empty() {
                true => Ok(later),
                false => Err(format!(
                    "we are not shown the digests in the access control lists of {}",
                    names(masked.into_iter())
                )),
            }
        });
        let gathered = later.and_then(|later| {
            if later.znodes.is_empty() {
                return Ok(None);
            }
            let gathered = self.handout.at(&later.znodes);
            gathered
                .map(|gathered| Some((gathered, later)))
                .map_err(|error| format!("what was read later does not fit: {error}"))
        });
        match gathered {
            Ok(None) => self.handout.into_gathered(),
            Ok(Some((mut gathered, later))) => {
                let report = &mut gathered.report;
                report.acls_exact = self.acls_exact;
                report.of_no_kind = later.of_no_kind().count() as u64;
                report.of_no_kind_paths = later.of_no_kind().take(NAMED).map(ZnodePath::to_string).collect();
                Ok(gathered)
            }
            Err(why) => {
                let mut gathered = self.handout.into_gathered()?;
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
        let mut settling = Settling::new(&tree);
        settling.begin().await.unwrap();
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
        settling.during(work).await;
        assert_eq!(
            settling.told.as_ref().unwrap().len(),
            2,
            "the znode and its parent"
        );
        settling.settle().await;
        let reread = settling.reread.unwrap();
        let changing = &reread.znodes[&ZnodePath::parse("/changing").unwrap()];
        assert_eq!(changing.as_ref().unwrap().data, b"3");
        assert!(!reread.znodes.contains_key(&ZnodePath::parse("/before").unwrap()));
    }
}
