//! Files that real servers wrote (`golden/`), and what their clients saw at the end.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zk_snapshot::archive::{Frame, Record, RecordSource};
use zk_snapshot::files::{
    DataDirs, FileError, Gathered, LogFile, Operation, SnapshotFile, SnapshotRecords, gather,
};
use zk_snapshot::tree::Kind;

const RELEASES: [&str; 2] = ["3.8.0", "3.9.5"];

fn golden(release: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(release)
}

fn read(directory: &Path) -> Result<Gathered, String> {
    gather(&DataDirs::same(directory), None).map_err(|error| error.to_string())
}

/// A snapshot as it is written, and its records as they are read from it.
fn written(gathered: &Gathered) -> (Vec<u8>, Vec<Record>) {
    let (mut bytes, mut parts) = (Vec::new(), Vec::new());
    gathered
        .tree
        .write(|part, records| {
            parts.push(Frame {
                offset: bytes.len() as u64,
                length: part.len() as u64,
                records,
                sha256: Sha256::digest(part)
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect(),
            });
            bytes.extend_from_slice(part);
            Ok(())
        })
        .unwrap();
    let source = SnapshotRecords::open(Cursor::new(bytes.clone()), parts).unwrap();
    let records = (0..source.frames())
        .flat_map(|index| source.frame(index).unwrap())
        .collect();
    (bytes, records)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.retain(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("snapshot.") || name.starts_with("log.")
    });
    found.sort();
    found
}

#[test]
fn the_files_of_a_server_say_what_its_clients_saw() {
    for release in RELEASES {
        let gathered = read(&golden(release)).unwrap();
        assert_eq!(gathered.report.digest_agrees, Some(true), "{release}");
        assert_eq!(gathered.report.digests_differing, 0);
        assert!(gathered.report.replayed > 10, "{:?}", gathered.report);
        let (_, mut records) = written(&gathered);
        records.retain(|record| !record.path.as_str().starts_with("/zookeeper"));
        records.sort_by(|a, b| a.path.cmp(&b.path));
        let seen = records.iter().map(|record| {
            let stat = &record.stat;
            json!({
                "path": record.path, "data": record.data, "acl": record.acl,
                "czxid": stat.czxid, "mzxid": stat.mzxid, "pzxid": stat.pzxid,
                "ctime": stat.ctime, "mtime": stat.mtime, "version": stat.version, "aversion": stat.aversion,
                "creations": stat.next_sequence(),
            })
        });
        let text = fs::read_to_string(golden(release).join("znodes.jsonl")).unwrap();
        let expected: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(seen.collect::<Vec<_>>(), expected, "{release}");
        let kind = |path: &str| {
            records
                .iter()
                .find(|r| r.path.as_str() == path)
                .unwrap()
                .stat
                .kind()
        };
        assert_eq!(kind("/a"), Kind::Persistent);
        assert_eq!(kind("/box"), Kind::Container);
        assert_eq!(
            kind("/a/brief"),
            Kind::Ttl(std::time::Duration::from_secs(86_400))
        );
    }
}

#[test]
fn what_is_written_is_read_again_and_every_byte_of_it_counts() {
    for release in RELEASES {
        let gathered = read(&golden(release)).unwrap();
        let (bytes, records) = written(&gathered);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(gathered.tree.file_name());
        fs::write(&file, &bytes).unwrap();
        let again = read(directory.path()).unwrap();
        assert_eq!(again.report.digest_agrees, Some(true));
        assert_eq!(written(&again), (bytes.clone(), records));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs::write(&file, &damaged).unwrap();
            assert!(read(directory.path()).is_err(), "byte {at} of {}", bytes.len());
        }
        for length in 0..bytes.len() {
            // A file may end after a whole seal: older releases write fewer of them.
            let seals = [33 + 21, 21];
            fs::write(&file, &bytes[..length]).unwrap();
            let whole = seals.contains(&(bytes.len() - length));
            assert_eq!(
                read(directory.path()).is_ok(),
                whole,
                "{length} bytes of {}",
                bytes.len()
            );
        }
    }
}

/// A server seals the znodes, and only then adds what tells how much of what happened meanwhile is among them.
#[test]
fn a_snapshot_whose_trailers_are_still_to_come_is_not_taken_for_an_old_one() {
    let directory = tempfile::tempdir().unwrap();
    for file in files(&golden("3.9.5")) {
        fs::copy(&file, directory.path().join(file.file_name().unwrap())).unwrap();
    }
    let whole = read(directory.path()).unwrap().report;
    let path = fs::canonicalize(directory.path()).unwrap().join(&whole.snapshot);
    let bytes = fs::read(&path).unwrap();
    let (znodes, trailers) = bytes.split_at(bytes.len() - 54);
    fs::write(&path, znodes).unwrap();
    let old = read(directory.path()).unwrap().report;
    assert_eq!(
        old.digests_compared,
        whole.digests_compared - 1,
        "it is a snapshot of its own"
    );

    let reading = std::thread::spawn({
        let directory = directory.path().to_owned();
        move || read(&directory).unwrap().report
    });
    let end = format!("pos:\t{}\n", znodes.len());
    let is_read = || {
        fs::read_dir("/proc/self/fd").unwrap().any(|open| {
            let open = open.unwrap();
            let info = Path::new("/proc/self/fdinfo").join(open.file_name());
            fs::read_link(open.path()).is_ok_and(|file| file == path)
                && fs::read_to_string(info).is_ok_and(|info| info.starts_with(&end))
        })
    };
    while !is_read() && !reading.is_finished() {
        std::thread::yield_now();
    }
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(trailers).unwrap();
    assert_eq!(reading.join().unwrap(), whole);
}

/// Whatever happens to the files, the answer is the state at some moment, or an error; never a panic, and never a
/// state that no moment had.
fn check(release: &str, damage: impl Fn(&Path)) -> Result<(), TestCaseError> {
    let directory = tempfile::tempdir().unwrap();
    for file in files(&golden(release)) {
        fs::copy(&file, directory.path().join(file.file_name().unwrap())).unwrap();
    }
    let whole = read(directory.path()).unwrap();
    damage(directory.path());
    if let Ok(gathered) = read(directory.path()) {
        prop_assert!(gathered.tree.zxid() <= whole.tree.zxid());
        prop_assert!(
            gathered.report.digest_agrees != Some(false),
            "{:?}",
            gathered.report
        );
        if gathered.tree.zxid() == whole.tree.zxid() {
            prop_assert_eq!(gathered.tree.digest(), whole.tree.digest());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_are_refused_or_do_not_matter(
        release in 0..RELEASES.len(), file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
        with in any::<u8>(), length in 1_usize..8, cut in any::<bool>(),
    ) {
        check(RELEASES[release], |directory| {
            let files = files(directory);
            let path = file.get(&files);
            let mut bytes = fs::read(path).unwrap();
            // Logs are mostly zeros, which do not matter.
            let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
            let at = at.index(end);
            if cut {
                bytes.truncate(at);
            } else {
                let until = (at + length).min(end);
                bytes[at..until].fill(with);
            }
            fs::write(path, bytes).unwrap();
        })?;
    }
}

#[test]
fn the_znodes_of_a_state_are_shown_as_its_snapshot_has_them() {
    for release in RELEASES {
        let gathered = read(&golden(release)).unwrap();
        let (bytes, records) = written(&gathered);
        let expected: Vec<_> = records
            .iter()
            .map(|record| {
                (
                    record.path.to_string(),
                    record.data.clone(),
                    Some(record.acl.clone()),
                    record.stat,
                )
            })
            .collect();
        let mut shown = Vec::new();
        let show = |shown: &mut Vec<_>, znode: zk_snapshot::files::FileZnode<'_>| {
            let data = znode.data.unwrap_or_default().to_vec();
            assert_eq!(znode.kind, Kind::of_owner(znode.stat.ephemeral_owner));
            shown.push((znode.path.into_owned(), data, znode.acl, znode.stat));
            Ok::<_, FileError>(())
        };
        gathered.tree.for_each(|znode| show(&mut shown, znode)).unwrap();
        assert_eq!(shown, expected, "{release}");
        // And the file that is written is a snapshot like any other.
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &bytes).unwrap();
        shown.clear();
        let snapshot = SnapshotFile::open(file.path()).unwrap();
        snapshot.for_each(|znode| show(&mut shown, znode)).unwrap();
        assert_eq!(shown, expected, "{release}");
    }
}

#[test]
fn what_takes_znodes_may_stop_and_damage_is_told_after_them() {
    let gathered = read(&golden("3.9.5")).unwrap();
    let mut shown = 0;
    let stopped = gathered.tree.for_each(|_| {
        shown += 1;
        Err::<(), Box<dyn std::error::Error>>("enough".into())
    });
    assert_eq!((shown, stopped.unwrap_err().to_string().as_str()), (1, "enough"));
    let (mut bytes, records) = written(&gathered);
    let last = bytes.len() - 30;
    bytes[last] ^= 1;
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &bytes).unwrap();
    shown = 0;
    let damaged = SnapshotFile::open(file.path()).unwrap().for_each(|_| {
        shown += 1;
        Ok::<_, FileError>(())
    });
    assert_eq!(shown, records.len());
    assert!(damaged.is_err());
}

#[test]
fn the_transactions_of_a_log_are_shown_in_order_until_it_is_damaged() {
    for release in RELEASES {
        for (begin, path) in DataDirs::same(golden(release)).logs().unwrap() {
            let transactions: Vec<_> = LogFile::open(&path).unwrap().map(Result::unwrap).collect();
            assert_eq!(transactions[0].zxid, begin, "{release}");
            assert!(transactions.is_sorted_by_key(|transaction| transaction.zxid));
            assert!(transactions.last().unwrap().digest.is_some());
            let has = |wanted: fn(&Operation) -> bool| {
                let operations = transactions.iter().map(|transaction| &transaction.operation);
                operations.into_iter().any(wanted)
            };
            assert!(
                has(|operation| matches!(operation, Operation::Create { .. })),
                "{release} {begin}"
            );

            let mut bytes = fs::read(&path).unwrap();
            bytes[16 + 12 + 5] ^= 1; // in the first record
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), &bytes).unwrap();
            let mut log = LogFile::open(file.path()).unwrap();
            assert!(log.next().unwrap().is_err());
            assert!(log.next().is_none());
        }
    }
}

/// A log as a server begins it in the next epoch, of a transaction that failed; with the digest of the tree if one is given.
fn log_of_the_next_epoch(digest: Option<u64>) -> Vec<u8> {
    let mut txn = [&7_i64.to_be_bytes()[..], &0_i32.to_be_bytes()].concat(); // session, cxid
    txn.extend_from_slice(&0x1_0000_0001_i64.to_be_bytes());
    txn.extend_from_slice(&1_i64.to_be_bytes()); // time
    txn.extend_from_slice(&(-1_i32).to_be_bytes());
    txn.extend_from_slice(&(-101_i32).to_be_bytes());
    if let Some(digest) = digest {
        txn.extend_from_slice(&2_i32.to_be_bytes());
        txn.extend_from_slice(&digest.to_be_bytes());
    }
    let mut log = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0".to_vec();
    log.extend_from_slice(&u64::from(simd_adler32::adler32(&&txn[..])).to_be_bytes());
    log.extend_from_slice(&u32::try_from(txn.len()).unwrap().to_be_bytes());
    log.extend_from_slice(&txn);
    log.push(b'B');
    log
}

/// Where the records of a log begin.
fn records(log: &[u8]) -> Vec<usize> {
    let (mut at, mut found) = (16, Vec::new());
    while let Some(length) = log.get(at + 8..at + 12) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        if length == 0 {
            break;
        }
        found.push(at);
        at += 12 + length + 1;
    }
    found
}

/// What a damaged log had after that is no hole to be seen where the next begins an epoch. Only digests tell.
#[test]
fn damage_before_a_new_epoch_does_not_pass_in_silence() {
    let read_with = |damage: &dyn Fn(&mut Vec<u8>, usize), next: Option<Vec<u8>>| {
        let directory = tempfile::tempdir().unwrap();
        for file in files(&golden("3.9.5")) {
            fs::copy(&file, directory.path().join(file.file_name().unwrap())).unwrap();
        }
        let path = directory.path().join("log.9");
        let mut log = fs::read(&path).unwrap();
        let records = records(&log);
        damage(&mut log, records[records.len() - 3]);
        fs::write(path, log).unwrap();
        if let Some(next) = next {
            fs::write(directory.path().join("log.100000001"), next).unwrap();
        }
        read(directory.path())
    };
    let whole = read_with(&|_, _| {}, Some(log_of_the_next_epoch(None))).unwrap();
    assert_eq!(whole.tree.zxid(), 0x1_0000_0001);

    let torn = |log: &mut Vec<u8>, at: usize| log.truncate(at + 20);
    let zeroed = |log: &mut Vec<u8>, at: usize| log[at..at + 12].fill(0);
    let longer = |log: &mut Vec<u8>, at: usize| log[at + 8] = 1; // than what is left
    type Damage<'a> = &'a dyn Fn(&mut Vec<u8>, usize);
    let damages: [Damage<'_>; 3] = [&torn, &zeroed, &longer];
    for damage in damages {
        for digest in [None, Some(7)] {
            let why = read_with(damage, Some(log_of_the_next_epoch(digest))).unwrap_err();
            assert!(
                why.contains("log.9") && why.contains("a record is damaged, and others follow"),
                "{why}"
            );
        }
    }
    // A tail that was never committed is no loss: the digest of the last record before it is that of the tree still.
    let log = fs::read(golden("3.9.5").join("log.9")).unwrap();
    let all = records(&log);
    let end = all[all.len() - 3] - 1;
    let digest = u64::from_be_bytes(log[end - 8..end].try_into().unwrap());
    let after = read_with(&torn, Some(log_of_the_next_epoch(Some(digest)))).unwrap();
    assert_eq!(after.tree.zxid(), 0x1_0000_0001);

    // What cannot be a length is told, however often it is read.
    let negative = |log: &mut Vec<u8>, at: usize| log[at + 8..at + 12].fill(0xff);
    for next in [None, Some(log_of_the_next_epoch(None))] {
        let why = read_with(&negative, next).unwrap_err();
        assert!(why.contains("log.9") && why.contains("a length of -1"), "{why}");
    }
}
