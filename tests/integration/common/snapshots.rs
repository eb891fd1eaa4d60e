//! Backups as files, and servers' own snapshots and logs.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup_engine::Client;
use serde_json::{Value, json};
use zk_backup_testkit::{Daemon, Setup, ZooKeeper};
use zk_snapshot::archive::{ArchiveFile, ArchiveWriter, RecordSource};
use zk_snapshot::capture::{CaptureOptions, CaptureSummary, Portion, capture};
use zk_snapshot::files::{DataDirs, Gathered, gather};
use zk_snapshot::restore::{RestoreOptions, RestoreReport, restore};

use super::buckets::{files_of, is_sealed, read_opened};
use super::servers::start;

/// Backs up what does not change meanwhile into `file`, and opens it again.
pub(crate) async fn capture_into(
    client: &dyn Client,
    file: &Path,
) -> (CaptureSummary, Arc<dyn RecordSource>) {
    let (sink, mut portions) = tokio::sync::mpsc::channel(8);
    let path = file.to_owned();
    let writing = tokio::task::spawn_blocking(move || {
        let mut writer = ArchiveWriter::new(BufWriter::new(File::create(&path).unwrap()));
        while let Some(portion) = portions.blocking_recv() {
            match portion {
                Portion::Restart => {
                    writer = ArchiveWriter::new(BufWriter::new(File::create(&path).unwrap()));
                }
                Portion::Records(records) => records.iter().for_each(|record| writer.push(record).unwrap()),
                Portion::Amendments(amendments) => assert_eq!(amendments, []),
            }
        }
        writer.finish().unwrap().1
    });
    let summary = capture(client, &CaptureOptions::default(), sink).await.unwrap();
    let frames = writing.await.unwrap();
    let archive = ArchiveFile::new(File::open(file).unwrap(), frames);
    (summary, Arc::new(archive))
}

/// Restores everything from `archive`.
pub(crate) async fn put_back(
    client: &dyn Client,
    archive: &Arc<dyn RecordSource>,
    options: &RestoreOptions,
) -> RestoreReport {
    restore(Arc::clone(archive), client, options).await.unwrap()
}

/// Takes a transactional backup, which has to be one moment.
pub(crate) fn take_snapshot(daemon: &Daemon) -> (String, Value) {
    let (id, state) = daemon.do_job("/backup", r#"{"mode": "transactional"}"#).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let info = daemon.describe(&id).unwrap();
    assert_eq!(
        (&info["valid"], &info["mode"], &info["consistency"]),
        (&json!(true), &json!("transactional"), &json!("consistent")),
        "{info:?}"
    );
    (id, info)
}

/// The one snapshot in a vault; of a sealed one a copy that is opened.
pub(crate) fn snapshot_of(storage: &Path, id: &str) -> PathBuf {
    let mut files = fs::read_dir(files_of(storage, id))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let snapshot = files.find(|path| name(path).starts_with("snapshot.")).unwrap();
    if !is_sealed() {
        return snapshot;
    }
    let opened = storage.join("opened").join(id);
    fs::create_dir_all(&opened).unwrap();
    let opened = opened.join(name(&snapshot));
    fs::write(&opened, read_opened(&snapshot)).unwrap();
    opened
}

/// A server that begins with `snapshot`.
pub(crate) fn from_file(snapshot: PathBuf) -> ZooKeeper {
    let setup = Setup {
        data: vec![snapshot],
        java: vec![
            "-Dzookeeper.extendedTypesEnabled=true".to_owned(),
            "-Dznode.container.checkIntervalMs=3600000".to_owned(),
        ],
        ..Setup::default()
    };
    let server = start(&setup);
    assert_digest_right(&server);
    server
}

/// A server only counts and logs that the digest of its snapshot is not that of the znodes; what it logs goes nowhere here.
pub(crate) fn assert_digest_right(server: &ZooKeeper) {
    let counts = server.four_letter("mntr").unwrap();
    assert!(counts.contains("zk_digest_mismatches_count\t0\n"), "{counts}");
}

/// A copy of its snapshots and logs.
pub(crate) fn copy_of(server: &ZooKeeper) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(server.data_directory()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
    }
    directory
}

/// The newest files of a kind first.
pub(crate) fn newest(directory: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix))
        .collect();
    let zxid = |path: &PathBuf| i64::from_str_radix(path.extension().unwrap().to_str().unwrap(), 16).unwrap();
    found.sort_by_key(|path| std::cmp::Reverse(zxid(path)));
    found
}

/// The newest state by the files in `directory`.
pub(crate) fn read(directory: &Path) -> Result<Gathered, String> {
    gather(&DataDirs::same(directory), None).map_err(|error| error.to_string())
}

/// Gives every transaction of a log that ends with a digest another one, and the checksum that goes with it.
pub(crate) fn with_other_digests(log: &mut [u8]) {
    let mut at = 16;
    while let Some(length) = log.get(at + 8..at + 12) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        if length == 0 {
            break;
        }
        let transaction = &mut log[at + 12..at + 12 + length];
        let has_digest = transaction[length - 12..length - 8] == [0, 0, 0, 2];
        transaction[length - 1] ^= u8::from(has_digest);
        let (mut low, mut high) = (1_u64, 0_u64);
        for byte in transaction {
            low = (low + u64::from(*byte)) % 65_521;
            high = (high + low) % 65_521;
        }
        log[at..at + 8].copy_from_slice(&(high << 16 | low).to_be_bytes());
        at += 12 + length + 1;
    }
}
