//! What restores have begun and not finished, in a file of the storage.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use zk_snapshot::restore::{Ledger, Unfinished};
use zk_snapshot::tree::ZnodePath;

use crate::lock::lock;
use crate::private_files;

/// The longest line that is read: a path of the longest request that a server takes, escaped.
const LINE: u64 = 8 << 20;

/// Which restore began a znode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The restore's task id.
    pub(crate) restore: String,
    /// The backup that it was of.
    pub(crate) vault: String,
}

/// A line of the file. The later ones win.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Begun {
        #[serde(flatten)]
        znode: Unfinished,
        #[serde(flatten)]
        origin: Origin,
    },
    Ended(ZnodePath),
}

/// Lines are appended and synced before the znodes are written that they speak of. A line that is cut short is of a
/// write that never went out.
#[derive(Debug, Default)]
pub(crate) struct UnfinishedZnodes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Where it is kept; nowhere for an engine without storage.
    file: Option<(PathBuf, File)>,
    open: BTreeMap<ZnodePath, (bool, Origin)>,
    unreadable: usize,
}

impl UnfinishedZnodes {
    /// Reads the file, and writes it anew with what is still open.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut state = State::default();
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(file) => state.read(file)?,
        }
        if state.unreadable > 0 {
            log::warn!("{} lines of {} cannot be read", state.unreadable, path.display());
            let aside = path.with_extension("damaged");
            io::copy(&mut File::open(path)?, &mut private_files::create(&aside)?)?;
        }
        let new = path.with_extension("new");
        let mut file = private_files::create(&new)?;
        for (path, (created, origin)) in &state.open {
            file.write_all(&begun(path, *created, origin)?)?;
        }
        file.sync_all()?;
        fs::rename(&new, path)?;
        if let Some(above) = path.parent() {
            File::open(above)?.sync_all()?;
        }
        let file = OpenOptions::new().append(true).open(path)?;
        state.file = Some((path.to_owned(), file));
        Ok(Self(Mutex::new(state)))
    }

    /// What is open, and since which restore.
    pub(crate) fn list(&self) -> Vec<(ZnodePath, Origin)> {
        let state = lock(&self.0);
        let one = |(path, (_, origin)): (&ZnodePath, &(bool, Origin))| (path.clone(), origin.clone());
        state.open.iter().map(one).collect()
    }

    /// How many lines of the file could not be read at the start.
    pub(crate) fn unreadable(&self) -> usize {
        lock(&self.0).unreadable
    }

    /// The ledger of one restore.
    pub(crate) fn of(self: &Arc<Self>, restore: &str, vault: &str) -> Arc<dyn Ledger> {
        Arc::new(OfRestore {
            all: Arc::clone(self),
            origin: Origin {
                restore: restore.to_owned(),
                vault: vault.to_owned(),
            },
        })
    }
}

impl State {
    fn read(&mut self, file: File) -> io::Result<()> {
        let mut file = BufReader::new(file);
        loop {
            let mut line = Vec::new();
            if io::Read::take(&mut file, LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if line.last() != Some(&b'\n') {
                return Ok(()); // it was cut short before anything was done about it
            }
            match serde_json::from_slice(&line) {
                Ok(Line::Begun { znode, origin }) => {
                    self.open.entry(znode.path).or_insert((znode.created, origin));
                }
                Ok(Line::Ended(path)) => {
                    self.open.remove(&path);
                }
                Err(_) => self.unreadable += 1,
            }
        }
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let Some((path, file)) = &mut self.file else {
            return Ok(());
        };
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        file.write_all(lines).map_err(named)?;
        file.sync_data().map_err(named)
    }
}

fn begun(path: &ZnodePath, created: bool, origin: &Origin) -> io::Result<Vec<u8>> {
    let znode = Unfinished {
        path: path.clone(),
        created,
    };
    line(&Line::Begun {
        znode,
        origin: origin.clone(),
    })
}

fn line(line: &Line) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[derive(Debug)]
struct OfRestore {
    all: Arc<UnfinishedZnodes>,
    origin: Origin,
}

impl OfRestore {
    async fn change(
        &self,
        change: impl FnOnce(&mut State, &Origin) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let (all, origin) = (Arc::clone(&self.all), self.origin.clone());
        tokio::task::spawn_blocking(move || change(&mut lock(&all.0), &origin))
            .await
            .map_err(io::Error::other)?
    }
}

#[async_trait]
impl Ledger for OfRestore {
    async fn begin(&self, znodes: &[Unfinished]) -> io::Result<()> {
        let znodes = znodes.to_vec();
        self.change(move |state, origin| {
            let mut lines = Vec::new();
            for znode in &znodes {
                lines.extend(begun(&znode.path, znode.created, origin)?);
            }
            state.append(&lines)?;
            for znode in znodes {
                state
                    .open
                    .entry(znode.path)
                    .or_insert((znode.created, origin.clone()));
            }
            Ok(())
        })
        .await
    }

    async fn end(&self, finished: &[ZnodePath]) -> io::Result<()> {
        let finished = finished.to_vec();
        self.change(move |state, _| {
            let mut lines = Vec::new();
            for path in &finished {
                lines.extend(line(&Line::Ended(path.clone()))?);
            }
            state.append(&lines)?;
            finished.iter().for_each(|path| {
                state.open.remove(path);
            });
            Ok(())
        })
        .await
    }

    fn unfinished(&self) -> io::Result<Vec<Unfinished>> {
        let one = |(path, (created, _)): (&ZnodePath, &(bool, Origin))| Unfinished {
            path: path.clone(),
            created: *created,
        };
        Ok(lock(&self.all.0).open.iter().map(one).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn znode(path: &str, created: bool) -> Unfinished {
        Unfinished {
            path: ZnodePath::parse(path).unwrap(),
            created,
        }
    }

    fn now<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(work)
    }

    #[test]
    fn what_is_begun_is_known_after_a_crash_until_it_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("unfinished.jsonl");
        let (a, b, c) = (znode("/a", true), znode("/a/ł \"b", false), znode("/c", true));
        let all = Arc::new(UnfinishedZnodes::open(&file).unwrap());
        let ledger = all.of("r1", "20260101T000000");
        now(ledger.begin(&[a.clone(), b.clone()])).unwrap();
        now(ledger.begin(std::slice::from_ref(&c))).unwrap();
        now(ledger.end(&[a.path])).unwrap();
        assert_eq!(ledger.unfinished().unwrap(), [b.clone(), c.clone()]);

        // The last line of a process that was killed is cut short.
        let mut text = fs::read(&file).unwrap();
        text.extend_from_slice(b"{\"begun\":{\"path\":\"/never");
        fs::write(&file, &text).unwrap();
        let all = Arc::new(UnfinishedZnodes::open(&file).unwrap());
        assert_eq!(all.of("r2", "x").unfinished().unwrap(), [b.clone(), c]);
        let (path, origin) = all.list().remove(0);
        assert_eq!(
            (path, &*origin.restore, &*origin.vault),
            (b.path, "r1", "20260101T000000")
        );
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 2);
        assert_eq!(all.unreadable(), 0);

        // A damaged line costs itself only.
        let text = fs::read_to_string(&file).unwrap().replacen("begun", "gun", 1);
        fs::write(&file, text).unwrap();
        let all = Arc::new(UnfinishedZnodes::open(&file).unwrap());
        assert_eq!((all.list().len(), all.unreadable()), (1, 1));
    }
}
