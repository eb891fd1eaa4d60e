//! The rules of reading, also while others write.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Barrier};
use std::thread;

use super::{ARCHIVE, LOG, Subject, begun, commit, finished, id, manifest, put, refused, same, staged};
use crate::{FileEntry, Reader, StoreError, VaultRead, VaultStore, verify};

/// Bytes that tell where they are from.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8)
        .collect()
}

fn opened(store: &dyn VaultStore, second: u64) -> Arc<dyn VaultRead> {
    let open = store.open(&id(second), &ARCHIVE);
    open.unwrap_or_else(|error| panic!("A file of a committed vault can be opened: {error}"))
}

/// All that is there from `offset` on, up to `length` bytes.
fn read(file: &dyn VaultRead, offset: u64, length: usize) -> Vec<u8> {
    let (mut bytes, mut filled) = (vec![0; length], 0);
    while filled < length {
        match file.read_at(offset + filled as u64, &mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) => panic!("A file of a committed vault can be read at {offset}: {error}"),
        }
    }
    bytes.truncate(filled);
    bytes
}

/// Within a file, over its end, at it and far behind it.
pub fn bytes_are_read_from_where_they_are_asked_for(subject: &Subject) {
    let store = subject.open();
    let bytes = pattern(1_000);
    put(&*store, &id(1), &bytes);
    let file = opened(&*store, 1);
    same(&file.size(), &1_000, "An open file tells its size");
    for (offset, length) in [
        (0, 1_000),
        (0, 1),
        (999, 1),
        (990, 100),
        (500, 0),
        (3, 700),
        (0, 5_000),
    ] {
        let end = (offset + length).min(1_000);
        let rule = format!("{length} bytes from {offset} of 1000 are those, as far as they are there");
        same(
            &read(&*file, offset as u64, length),
            &bytes[offset..end].to_vec(),
            &rule,
        );
    }
    for offset in [1_000, 1_001, 1 << 40, i64::MAX as u64, u64::MAX] {
        let read = file.read_at(offset, &mut [0; 9]);
        assert!(
            matches!(read, Ok(0)),
            "Nothing is read at the end and behind it: {read:?} at {offset} of 1000."
        );
    }
    put(&*store, &id(2), b"");
    let empty = opened(&*store, 2);
    let all = (empty.size(), read(&*empty, 0, 9));
    same(&all, &(0, Vec::new()), "An empty file is a file");
    drop(store);
    same(
        &read(&*file, 0, 1_000),
        &bytes,
        "A file stays open after its store was dropped",
    );
}

/// Of several parts, where a store has parts.
pub fn a_large_file_is_read_as_it_was_written(subject: &Subject) {
    let store = subject.open();
    let bytes = pattern((12 << 20) + 12_345);
    let mut stage = staged(&*store, &id(1));
    let mut file = begun(&mut *stage, &ARCHIVE, &[]);
    let (mut rest, mut piece) = (&bytes[..], 1);
    while !rest.is_empty() {
        let (now, later) = rest.split_at(piece.min(rest.len()));
        file.write_all(now).unwrap();
        rest = later;
        piece = piece * 3 + 1;
    }
    file.finish().unwrap();
    commit(stage, &manifest(&id(1), vec![FileEntry::whole(&ARCHIVE, &bytes)]));
    let file = opened(&*store, 1);
    let mut all = Vec::new();
    Reader::new(Arc::clone(&file)).read_to_end(&mut all).unwrap();
    assert!(all == bytes, "A large file is read as it was written.");
    for part in [5 << 20, 8 << 20, 10 << 20] {
        let range = part - 3..part + 1_000_000;
        assert!(
            read(&*file, range.start as u64, range.len()) == bytes[range],
            "A large file is read as it was written, at {part}."
        );
    }
}

/// One open file, each thread from its own places.
pub fn several_threads_read_one_file(subject: &Subject) {
    let store = subject.open();
    let bytes = pattern(300_000);
    put(&*store, &id(1), &bytes);
    let file = opened(&*store, 1);
    thread::scope(|scope| {
        for step in [1_009, 2_003, 4_001, 7_919] {
            let (file, bytes) = (&*file, &bytes);
            scope.spawn(move || {
                for at in (0..bytes.len()).step_by(step) {
                    let end = (at + step).min(bytes.len());
                    assert!(
                        read(file, at as u64, step) == bytes[at..end],
                        "Several threads read one file, each what it asked for."
                    );
                }
            });
        }
    });
}

/// Both have files open at the same time, and a vault is read meanwhile.
pub fn two_threads_write_and_read_at_once(subject: &Subject) {
    let store = subject.open();
    let there = pattern(50_000);
    put(&*store, &id(9), &there);
    let together = Barrier::new(2);
    let work = |second: u64| {
        let mut stage = staged(&*store, &id(second));
        let mut archive = begun(&mut *stage, &ARCHIVE, &[]);
        let mut log = begun(&mut *stage, &LOG, &[]);
        together.wait();
        let bytes = vec![second as u8; 100_000];
        for piece in bytes.chunks(1_000) {
            archive.write_all(piece).unwrap();
            log.write_all(&piece[..1]).unwrap();
        }
        let file = opened(&*store, 9);
        together.wait();
        assert!(
            read(&*file, 0, there.len()) == there,
            "A vault is read while others are written."
        );
        log.finish().unwrap();
        archive.finish().unwrap();
        together.wait();
        let files = vec![
            FileEntry::whole(&ARCHIVE, &bytes),
            FileEntry::whole(&LOG, &bytes[..100]),
        ];
        commit(stage, &manifest(&id(second), files));
    };
    thread::scope(|scope| {
        scope.spawn(|| work(1));
        work(2);
    });
    for second in [1, 2] {
        let result = verify(&*store, &id(second), id(second).time()).unwrap();
        same(
            &result.damage,
            &vec![],
            "Vaults that were written at once are whole",
        );
    }
}

/// The vault is known, and has no such file.
pub fn a_file_that_is_not_there_is_damage(subject: &Subject) {
    let store = subject.open();
    put(&*store, &id(1), b"bytes");
    refused(
        store.open(&id(1), &LOG),
        |error| matches!(error, StoreError::Damaged { file, .. } if LOG == **file),
        "A file that is not there is damage of its name",
    );
}

/// Its vault was removed, and the id given to another.
pub fn an_open_file_never_shows_another_vault(subject: &Subject) {
    let store = subject.open();
    put(&*store, &id(1), b"before");
    let file = opened(&*store, 1);
    store.remove(&id(1)).unwrap();
    put(&*store, &id(1), b"afterwards");
    let mut bytes = [0; 6];
    let read = file.read_at(0, &mut bytes);
    assert!(
        read.is_err() || bytes == *b"before",
        "A file whose vault was removed reads what was there, or fails: {read:?}, {bytes:?}."
    );
}

/// Bytes are what was written, whatever was claimed of them.
pub fn what_is_not_what_its_frames_say_is_found(subject: &Subject) {
    let store = subject.open();
    let mut stage = staged(&*store, &id(1));
    finished(&mut *stage, &ARCHIVE, b"bytfs");
    let log = finished(&mut *stage, &LOG, b"said");
    commit(
        stage,
        &manifest(&id(1), vec![FileEntry::whole(&ARCHIVE, b"bytes"), log]),
    );
    let result = verify(&*store, &id(1), id(1).time()).unwrap();
    let found: Vec<_> = result.damage.iter().map(|d| (d.file.as_str(), d.frame)).collect();
    same(
        &found,
        &vec![("archive", Some(0))],
        "A commit takes what frames say of bytes as it is, and reading finds that it is wrong",
    );
}
