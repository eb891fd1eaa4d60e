//! Sources of records: each does what every one must do.
#![allow(clippy::unwrap_used)]

use std::io::Cursor;

use zk_snapshot::archive::{Amended, Amendment, ArchiveFile, ArchiveWriter, Record, RecordSource};
use zk_snapshot::capture::{CaptureOptions, capture_in_memory};
use zk_snapshot::conformance::records;
use zk_snapshot::tree::{Acl, MemoryTree};

#[tokio::test]
async fn every_source_of_records_does_what_it_must() {
    let live = MemoryTree::new();
    live.put("/a", b"one", Acl::open()).unwrap();
    for number in 0..3_000 {
        let path = format!("/a/n{number}");
        live.put(&path, &[7; 1_000], Acl::open()).unwrap();
    }
    let captured = capture_in_memory(&live, &CaptureOptions::default())
        .await
        .unwrap();
    records(&captured.records);

    let mut writer = ArchiveWriter::new(Vec::new());
    let mut last = None;
    for index in 0..captured.records.frames() {
        for record in captured.records.frame(index).unwrap() {
            writer.push(&record).unwrap();
            last = Some(record);
        }
    }
    let (bytes, frames) = writer.finish().unwrap();
    assert!(frames.len() > 1);
    let file = || ArchiveFile::new(Cursor::new(bytes.clone()), frames.clone());
    records(&file());

    let last = last.unwrap();
    let changed = Record {
        data: b"changed".to_vec(),
        ..last.clone()
    };
    for record in [Some(changed), None] {
        let amendment = Amendment {
            path: last.path.clone(),
            supersedes: true,
            record,
        };
        records(&Amended::new(file(), vec![amendment]));
    }
}
