//! The state of a server from its data directory, also while it writes and purges.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::data_dirs::{Unfit, file_name, list, log_files, open_file, opened, version_2};
use super::log::{LogReader, open};
use super::log_chain::LogChain;
use super::snapshot::{self, Loaded};
use super::source::Source;
use super::touched::Touched;
use super::txn::Txn;
use super::{DataDirs, Fault, FileError, FileTree, FilesReport, GatherError, Gathered};

/// How often everything is listed anew because a file was purged before it could be opened.
const LISTINGS: usize = 5;
/// How long to wait for what the ensemble has committed and this server has not written yet.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a snapshot that has no trailers must have stayed as it is.
const QUIET: Duration = Duration::from_millis(500);

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
    gathered(dirs, committed, None)
}

/// The same with the snapshot of this name and no other: one that was whole before it was asked what is committed has seen nothing
/// that came later, though it does not tell where it ends. Blocks.
///
/// # Errors
/// As [`gather`]; [`GatherError::Unusable`] where it is not there any more.
pub fn gather_with(dirs: &DataDirs, committed: Option<i64>, snapshot: &str) -> Result<Gathered, GatherError> {
    gathered(dirs, committed, Some(snapshot))
}

fn gathered(dirs: &DataDirs, committed: Option<i64>, only: Option<&str>) -> Result<Gathered, GatherError> {
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
            if only.is_some_and(|only| file_name(&path) != only) {
                newer.push(zxid);
                continue;
            }
            let logs = log_files(&log)?;
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
    if let Some(only) = only.filter(|_| passed_over.is_empty()) {
        passed_over.push(format!("{only} is not there any more"));
    }
    Err(GatherError::Unusable(passed_over))
}

fn replayed(
    zxid: i64,
    path: &Path,
    logs: &[(i64, PathBuf)],
    log_directory: &Path,
    newer: &[i64],
    (committed, patience): (Option<i64>, Instant),
) -> Result<Gathered, Unfit> {
    let name = file_name(path);
    // Open before anything is read, so that they cannot be purged any more.
    let first = logs
        .partition_point(|(begin, _)| *begin <= zxid.saturating_add(1))
        .saturating_sub(1);
    // Where nothing but copies of a log is left, any of them may be the longest.
    let first = logs
        .get(first)
        .map_or(first, |(at, _)| logs.partition_point(|(begin, _)| begin < at));
    let readers: Vec<_> = logs[first..]
        .iter()
        .map(|(_, path)| open(path))
        .collect::<Result<_, _>>()?;
    let snapshot = SnapshotBeingWritten {
        file: opened(path, open_file(path))?,
        name,
        zxid,
    };
    let mut logs = LogChain {
        last: zxid,
        committed,
        patience,
        readers,
        current: 0,
        last_in: 0,
        directory: log_directory,
        newer,
        doubt: None,
        newest: logs.last().map_or(i64::MIN, |(begin, _)| *begin),
    };
    let loaded = snapshot.load(path, &mut logs)?;
    let replay = Replay::over(loaded, &snapshot.name, committed, &logs);
    let replay = replay.of(logs, zxid)?;
    replay.finish(&snapshot.name, committed)
}

/// A snapshot that may still grow.
struct SnapshotBeingWritten {
    file: File,
    name: String,
    zxid: i64,
}

impl SnapshotBeingWritten {
    fn length(&self) -> Result<u64, FileError> {
        let length = self.file.metadata().map(|of| of.len());
        length.map_err(|error| FileError::new(&self.name, 0, error.into()))
    }

    /// Loads it with all that the transactions of `logs` touch, which are read first, and read on as far as it shows
    /// them.
    fn load(&self, path: &Path, logs: &mut LogChain<'_>) -> Result<Loaded, Unfit> {
        let source = Source::File(Arc::new(Mutex::new(opened(path, self.file.try_clone())?)));
        let mut touched = Touched::default();
        loop {
            logs.run(&mut |txn, _| {
                touched.add(txn.header.session, &txn.op);
                Ok(())
            })?;
            let before = self.length()?;
            let loaded = snapshot::load(&self.name, self.zxid, &source, &touched)?;
            if loaded.digest.is_none() {
                // What would be a whole snapshot of 3.5 is written before the trailers, which tell where it ends.
                sleep(QUIET);
                if self.length()? != before {
                    continue;
                }
            }
            // What a snapshot shows was processed, and so committed.
            match logs.committed {
                Some(known) if known < loaded.end => logs.committed = Some(loaded.end),
                _ if loaded.missed.is_empty() => return Ok(loaded),
                _ => loaded.missed.iter().for_each(|path| touched.insert(path)),
            }
        }
    }
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
    fn over(loaded: Loaded, name: &str, committed: Option<i64>, logs: &LogChain<'_>) -> Self {
        let mut replay = Self {
            tree: loaded.tree,
            trailer: loaded.digest,
            end: loaded.end,
            agreed: i64::MIN,
            report: FilesReport {
                committed,
                acls_exact: true,
                snapshot: name.to_owned(),
                without_end: !loaded.tells_end,
                logs: logs.names(),
                ..FilesReport::default()
            },
        };
        replay.compare(None);
        replay
    }

    /// Applies all that was read of `logs`, from after `zxid`.
    fn of(mut self, logs: LogChain<'_>, zxid: i64) -> Result<Self, Unfit> {
        let doubt = logs.doubt.clone();
        let mut second = logs.second_time(zxid)?;
        second.run(&mut |txn, reader| self.apply(txn, reader))?;
        match doubt {
            Some(doubt) if !doubt.is_settled(self.agreed, self.report.digest_agrees) => Err(doubt.why.into()),
            _ => Ok(self),
        }
    }

    /// The state, if the logs led to all that the snapshot shows and the ensemble has committed.
    fn finish(mut self, name: &str, committed: Option<i64>) -> Result<Gathered, Unfit> {
        let (last, end) = (self.tree.zxid(), self.end);
        // A new leader begins an epoch with a zxid that nobody logs.
        let committed = committed.filter(|committed| committed & 0xffff_ffff != 0 && last < *committed);
        let dropped = if last < end {
            Err(Fault::Short { last, needed: end })
        } else if let Some(committed) = committed {
            Err(Fault::Behind { last, committed })
        } else {
            self.tree.drop_sessions()
        };
        self.report.dropped = dropped.map_err(|fault| FileError::new(name, 0, fault))?;
        Ok(Gathered {
            tree: self.tree,
            report: self.report,
            exact: true,
        })
    }

    fn apply(&mut self, txn: &Txn<'_>, reader: &LogReader) -> Result<(), FileError> {
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A log as it was when it had one record.
    fn cut(log: &[u8]) -> &[u8] {
        let length = u32::from_be_bytes(log[24..28].try_into().unwrap());
        &log[..16 + 12 + length as usize + 1]
    }

    /// 54 bytes of trailers follow the checksum of the znodes in 3.9.5: without them it is a snapshot as 3.5 writes it. The last 21 are there without a digest,
    /// too: the zxid, and the checksum of all before it.
    #[test]
    fn it_is_told_whether_the_snapshot_says_where_it_ends() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/3.9.5");
        let directory = tempfile::tempdir().unwrap();
        let here = DataDirs::same(directory.path());
        let snapshot = fs::read(golden.join("snapshot.8")).unwrap();
        fs::copy(golden.join("log.9"), directory.path().join("log.9")).unwrap();
        let bare = &snapshot[..snapshot.len() - 54];
        let sealed = |trailer: &[u8]| {
            let bytes = [bare, trailer].concat();
            let sum = u64::from(simd_adler32::adler32(&&*bytes));
            [&*bytes, &sum.to_be_bytes(), &[0, 0, 0, 1, b'/']].concat()
        };
        // A zxid, and an empty digest of version 2 before it was known.
        let (undigested, empty) = (
            sealed(&8_i64.to_be_bytes()),
            sealed(&[&[0; 8][..], &[0, 0, 0, 2], &[0; 8]].concat()),
        );
        for (kept, without) in [
            (&*snapshot, false),
            (bare, true),
            (&undigested, false),
            (&empty, true),
        ] {
            fs::write(directory.path().join("snapshot.8"), kept).unwrap();
            let found = gather(&here, None).unwrap();
            assert_eq!(found.report.without_end, without);
            assert_eq!(found.report.snapshot, "snapshot.8");
        }
    }

    #[test]
    fn a_copy_of_a_log_is_not_taken_for_it() {
        for release in ["3.8.0", "3.9.5"] {
            let golden = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/golden")
                .join(release);
            let whole = gather(&DataDirs::same(&golden), None).unwrap();
            let directory = tempfile::tempdir().unwrap();
            let here = |name: &str| directory.path().join(name);
            for name in ["snapshot.0", "snapshot.8", "log.1", "log.9"] {
                fs::copy(golden.join(name), here(name)).unwrap();
            }
            for name in ["log.1", "log.9"] {
                let log = fs::read(here(name)).unwrap();
                fs::write(here(&format!("{name}.bak")), cut(&log)).unwrap();
            }
            let state = |gathered: &Gathered| (gathered.tree.zxid(), gathered.tree.digest());
            for committed in [None, Some(whole.tree.zxid())] {
                let found = gather(&DataDirs::same(directory.path()), committed).unwrap();
                assert_eq!(state(&found), state(&whole), "{release}: {:?}", found.report);
                assert_eq!(found.report.snapshot, whole.report.snapshot);
                assert_eq!(found.report.logs, whole.report.logs);
            }
            // Nothing but copies, the whole one first.
            fs::rename(here("log.9.bak"), here("log.9.old")).unwrap();
            fs::rename(here("log.9"), here("log.9.bak")).unwrap();
            let found = gather(&DataDirs::same(directory.path()), None).unwrap();
            assert_eq!(state(&found), state(&whole), "{release}: {:?}", found.report);
            assert_eq!(found.report.snapshot, whole.report.snapshot);
        }
    }
}
