//! Snapshots such as a server writes, of any size, and backups of them.

use std::fs;

use backup_engine::{BackupRequest, Engine, FilesSource, JobState, Mode};
use tempfile::TempDir;
use zk_snapshot::files::DataDirs;

use super::backed_up;

/// The list that lets everybody do everything, which no snapshot writes.
const OPEN: i64 = -1;
/// Ends the znodes and the checksum.
const END: &[u8] = &[0, 0, 0, 1, b'/'];

/// A source with the root, `/many` and so many znodes of so many bytes below it, `/many/0000000` and on. The files are there as long as the directory.
pub(crate) fn snapshot_of(znodes: usize, bytes: usize) -> (FilesSource, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut snapshot = b"ZKSN\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    let data = vec![b'd'; bytes];
    znode(&mut snapshot, "", b"");
    znode(&mut snapshot, "/many", b"");
    for number in 0..znodes {
        znode(&mut snapshot, &format!("/many/{number:07}"), &data);
    }
    snapshot.extend_from_slice(END);
    let sum = adler32(&snapshot);
    snapshot.extend_from_slice(&sum.to_be_bytes());
    snapshot.extend_from_slice(END);
    fs::write(directory.path().join("snapshot.1"), snapshot).unwrap();
    (FilesSource(DataDirs::same(directory.path())), directory)
}

fn znode(out: &mut Vec<u8>, path: &str, data: &[u8]) {
    for text in [path.as_bytes(), data] {
        out.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
        out.extend_from_slice(text);
    }
    out.extend_from_slice(&OPEN.to_be_bytes());
    for long in [1_i64, 1, 0, 0] {
        out.extend_from_slice(&long.to_be_bytes()); // czxid, mzxid, ctime, mtime
    }
    out.extend_from_slice(&[0; 12]); // version, cversion, aversion
    for long in [0_i64, 1] {
        out.extend_from_slice(&long.to_be_bytes()); // ephemeralOwner, pzxid
    }
}

pub(crate) fn adler32(bytes: &[u8]) -> u64 {
    let (mut low, mut high) = (1_u64, 0_u64);
    for some in bytes.chunks(4_096) {
        for byte in some {
            low += u64::from(*byte);
            high += low;
        }
        (low, high) = (low % 65_521, high % 65_521);
    }
    high << 16 | low
}

/// A transactional backup that succeeds.
pub(crate) async fn transactional(engine: &Engine) -> String {
    let request = BackupRequest {
        mode: Mode::Transactional,
        ..BackupRequest::default()
    };
    let (id, job) = backed_up(engine, request).await;
    assert_eq!(job.status, JobState::Successful, "{job:?}");
    id
}
