//! The state of a server from its data directory, also while it writes and purges.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::chain::Logs;
use super::feed::Source;
use super::log::LogReader;
use super::replay::Touched;
use super::snapshot::{self, Loaded};
use super::tree::{Dropped, FileTree};
use super::txn::Txn;
use super::{Fault, FileError};

/// How often everything is listed anew because a file was purged before it could be opened.
const LISTINGS: usize = 5;
/// How long to wait for what the ensemble has committed and this server has not written yet.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a snapshot that has no trailers must have stayed as it is.
const QUIET: Duration = Duration::from_millis(500);

/// Where a server keeps its files. Both may be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDirs {
    /// `dataDir`, with or without `version-2`.
    pub data: PathBuf,
    /// `dataLogDir`, with or without `version-2`.
    pub log: PathBuf,
}

/// A server's state, and how it came about.
pub struct Gathered {
    /// The state, without sessions and ephemeral znodes.
    pub tree: FileTree,
    /// Where it is from.
    pub report: FilesReport,
    /// Whether it is the state at its zxid; else it mixes states of that and of later ones.
    pub exact: bool,
}

/// Which files a state is from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FilesReport {
    /// The snapshot that was loaded.
    pub snapshot: String,
    /// The logs that were read after it, oldest first.
    pub logs: Vec<String>,
    /// Transactions of them that were applied.
    pub replayed: u64,
    /// Why newer snapshots were not used.
    pub passed_over: Vec<String>,
    /// What belonged to sessions.
    pub dropped: Dropped,
    /// Digests of the server that were compared with ours.
    pub digests_compared: u64,
    /// Those that differed.
    pub digests_differing: u64,
    /// Whether the last one agreed; `None` if there was none.
    pub digest_agrees: Option<bool>,
    /// Znodes that had changed while the snapshot was written, and were read from a server instead.
    pub read_later: u64,
    /// Whether every access control list is known to be that of the moment, and not only of the time of the backup.
    pub acls_exact: bool,
    /// Znodes that were created meanwhile, and of which it is not known whether they are containers or TTL znodes, since
    /// no client is told. They are kept as persistent.
    pub of_no_kind: u64,
    /// The first 20 of these.
    pub of_no_kind_paths: Vec<String>,
    /// Why it is not the state of one moment, where it could have been.
    pub unsettled: Option<String>,
    /// What the ensemble was known to have committed: nothing after it, and all that the snapshot had seen, was taken.
    pub committed: Option<i64>,
}

/// Why there is no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatherError {
    /// The directory cannot be read.
    #[error("{0}: {1}")]
    Directory(PathBuf, String),
    /// There is no snapshot at all.
    #[error("{0} holds no snapshot")]
    NoSnapshot(PathBuf),
    /// None of the snapshots, with the logs that there are, makes a state.
    #[error("no snapshot is of use: {}", .0.join("; "))]
    Unusable(Vec<String>),
}

/// Why one snapshot makes no state.
pub(super) enum Unfit {
    Damaged(FileError),
    Vanished(io::Error),
}

impl From<FileError> for Unfit {
    fn from(error: FileError) -> Self {
        Self::Damaged(error)
    }
}

/// Puts the newest state together that the files of a server show: the newest snapshot that is whole, and
/// everything that was logged since. Blocks.
///
/// `committed` is a zxid that the ensemble is known to have committed: nothing after it is taken, since what a
/// server has merely logged may be undone, and a server that has not written it yet is waited for, ten seconds at
/// most. Without it everything that was logged is taken.
///
/// # Errors
/// [`GatherError`], with every snapshot and why it is of no use.
pub fn gather(dirs: &DataDirs, committed: Option<i64>) -> Result<Gathered, GatherError> {
    let (data, log) = (version_2(&dirs.data), version_2(&dirs.log));
    let patience = Instant::now() + PATIENCE;
    let mut passed_over = Vec::new();
    for _ in 0..LISTINGS {
        passed_over.clear();
        let mut snapshots = list(&data, "snapshot")?;
        snapshots.reverse();
        if snapshots.is_empty() {
            return Err(GatherError::NoSnapshot(data));
        }
        let mut vanished = false;
        let mut newer = Vec::new();
        for (zxid, path) in snapshots {
            let logs = list(&log, "log")?;
            let replayed = replayed(zxid, &path, &logs, &log, &newer, (committed, patience));
            newer.push(zxid);
            match replayed {
                Ok(mut gathered) => {
                    gathered.report.passed_over = passed_over;
                    return Ok(gathered);
                }
                Err(Unfit::Damaged(error)) => passed_over.push(match error.fault {
                    Fault::Truncated if newer.len() == 1 => {
                        format!("{error}; the server may still be writing it")
                    }
                    _ => error.to_string(),
                }),
                Err(Unfit::Vanished(error)) => {
                    passed_over.push(format!("{} was purged meanwhile: {error}", path.display()));
                    vanished = true;
                }
            }
        }
        if !vanished {
            break;
        }
    }
    Err(GatherError::Unusable(passed_over))
}

fn version_2(directory: &Path) -> PathBuf {
    let inner = directory.join("version-2");
    if inner.is_dir() {
        inner
    } else {
        directory.to_owned()
    }
}

/// The files `<prefix>.<zxid>…` of a directory, by zxid, as a server finds them.
pub(super) fn list(directory: &Path, prefix: &str) -> Result<Vec<(i64, PathBuf)>, GatherError> {
    let fail = |error: io::Error| GatherError::Directory(directory.to_owned(), error.to_string());
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let mut parts = name.to_str().unwrap_or_default().split('.');
        if parts.next() != Some(prefix) {
            continue;
        }
        if let Some(zxid) = parts.next().and_then(|text| i64::from_str_radix(text, 16).ok()) {
            found.push((zxid, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// What came of opening the file at `path`: one that is not there any more was purged meanwhile.
fn opened<T>(path: &Path, opened: io::Result<T>) -> Result<T, Unfit> {
    opened.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unfit::Vanished(error),
        _ => FileError::new(&name_of(path), 0, error.into()).into(),
    })
}

pub(super) fn open(path: &Path) -> Result<LogReader, Unfit> {
    opened(path, LogReader::open(path))
}

/// Opens a file that is one, and not something that may never be opened.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    match fs::metadata(path)?.is_file() {
        true => File::open(path),
        false => Err(io::Error::other("it is not a file")),
    }
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn replayed(
    zxid: i64,
    path: &Path,
    logs: &[(i64, PathBuf)],
    log_directory: &Path,
    newer: &[i64],
    (committed, patience): (Option<i64>, Instant),
) -> Result<Gathered, Unfit> {
    let name = name_of(path);
    // Open before anything is read, so that they cannot be purged any more.
    let first = logs
        .partition_point(|(begin, _)| *begin <= zxid + 1)
        .saturating_sub(1);
    let readers: Vec<_> = logs[first..]
        .iter()
        .map(|(_, path)| open(path))
        .collect::<Result<_, _>>()?;
    let file = opened(path, open_file(path))?;
    let length = || {
        let length = file.metadata().map(|of| of.len());
        length.map_err(|error| FileError::new(&name, 0, error.into()))
    };
    let source = Source::File(Arc::new(Mutex::new(opened(path, file.try_clone())?)));
    let mut logs = Logs {
        last: zxid,
        committed,
        patience,
        readers,
        current: 0,
        directory: log_directory,
        newer,
        doubt: None,
        newest: logs.last().map_or(i64::MIN, |(begin, _)| *begin),
    };
    let mut touched = Touched::default();
    let Loaded {
        tree, digest, end, ..
    } = loop {
        logs.run(&mut |txn, _| {
            touched.add(txn.header.session, &txn.op);
            Ok(())
        })?;
        let before = length()?;
        let loaded = snapshot::load(&name, zxid, &source, &touched)?;
        if loaded.digest.is_none() {
            // What would be a whole snapshot of 3.5 is written before the trailers, which tell where it ends.
            sleep(QUIET);
            if length()? != before {
                continue;
            }
        }
        // What a snapshot shows was processed, and so committed.
        match logs.committed {
            Some(known) if known < loaded.end => logs.committed = Some(loaded.end),
            _ if loaded.missed.is_empty() => break loaded,
            _ => loaded.missed.iter().for_each(|path| touched.insert(path)),
        }
    };
    let mut replay = Replay {
        tree,
        trailer: digest,
        end,
        agreed: i64::MIN,
        report: FilesReport {
            committed,
            acls_exact: true,
            snapshot: name.clone(),
            logs: logs.names(),
            ..FilesReport::default()
        },
    };
    replay.compare(None);
    let doubt = logs.doubt.clone();
    let mut again = logs.again(zxid)?;
    again.run(&mut |txn, reader| replay.one(txn, reader))?;
    if let Some((zxid, doubt)) = doubt
        && (replay.agreed < zxid || replay.report.digest_agrees != Some(true))
    {
        return Err(doubt.into());
    }
    let Replay {
        mut tree, mut report, ..
    } = replay;
    let last = tree.zxid();
    // A new leader begins an epoch with a zxid that nobody logs.
    let committed = committed.filter(|committed| committed & 0xffff_ffff != 0 && last < *committed);
    let settled = if last < end {
        Err(Fault::Short { last, needed: end })
    } else if let Some(committed) = committed {
        Err(Fault::Behind { last, committed })
    } else {
        tree.settle()
    };
    report.dropped = settled.map_err(|fault| FileError::new(&name, 0, fault))?;
    Ok(Gathered {
        tree,
        report,
        exact: true,
    })
}

struct Replay {
    tree: FileTree,
    trailer: Option<(i64, u64)>,
    /// Up to here the snapshot may show some of what happened.
    end: i64,
    /// The last zxid at which a digest agreed.
    agreed: i64,
    report: FilesReport,
}

impl Replay {
    fn one(&mut self, txn: &Txn<'_>, reader: &LogReader) -> Result<(), FileError> {
        self.tree.apply(txn).map_err(|fault| reader.fault(fault))?;
        self.report.replayed += 1;
        self.compare(txn.digest);
        Ok(())
    }

    /// Compares digests from where nothing newer is in the tree. A server writes the digest before a transaction that it
    /// is applying, and may write znodes after it.
    fn compare(&mut self, logged: Option<u64>) {
        let zxid = self.tree.zxid();
        let expected = match self.trailer {
            _ if zxid < self.end => None,
            Some((complete, digest)) if zxid == complete && zxid > 0 => Some(digest),
            _ => logged,
        };
        if let Some(expected) = expected {
            let agrees = expected == self.tree.digest();
            if agrees {
                self.agreed = zxid;
            }
            self.report.digests_compared += 1;
            self.report.digests_differing += u64::from(!agrees);
            self.report.digest_agrees = Some(agrees);
        }
    }
}
