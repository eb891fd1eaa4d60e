//! Files that real servers wrote (`golden/`), and what their clients saw at the end.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zk_snapshot::{DataDirs, Frame, Gathered, Kind, Record, RecordSource, SnapshotRecords, gather};

const RELEASES: [&str; 2] = ["3.8.0", "3.9.5"];

fn golden(release: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(release)
}

fn read(directory: &Path) -> Result<Gathered, String> {
    let dirs = DataDirs {
        data: directory.to_owned(),
        log: directory.to_owned(),
    };
    gather(&dirs, None).map_err(|error| error.to_string())
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
