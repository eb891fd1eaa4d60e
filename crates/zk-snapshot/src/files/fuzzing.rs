//! What the fuzz targets of this crate call (`fuzz/`).
#![allow(clippy::unwrap_used)] // what is not so is a finding

use super::received_snapshot::ReceivedSnapshot;
use super::snapshot;
use super::source::Source;
use super::touched::Touched;
use super::tree::FileTree;
use super::txn::Txn;

/// Reads `bytes` as a snapshot that a server hands out.
pub fn hand_out(bytes: Vec<u8>) {
    if let Ok(received) = ReceivedSnapshot::over("snapshot.1", 1, Source::Bytes(bytes.into())) {
        let _ = received.into_gathered();
    }
}

const BEGIN: &[u8] = include_bytes!("../../tests/golden/3.9.5/snapshot.8");

/// Replays `bytes`, records with two bytes of length before each, over a small tree. What comes of it must be the same
/// when it has been written and read again.
///
/// # Panics
/// If it is not.
pub fn replay(mut bytes: &[u8]) {
    let mut txns = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let (record, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        txns.extend(Txn::decode(record));
        bytes = rest;
    }
    let mut touched = Touched::default();
    txns.iter()
        .for_each(|txn| touched.add(txn.header.session, &txn.op));
    let Some(tree) = applied(&txns, &mut touched) else {
        return;
    };
    let mut written = Vec::new();
    tree.write(|part, _| {
        written.extend_from_slice(part);
        Ok(())
    })
    .unwrap();
    let source = Source::Bytes(written.into());
    let second = snapshot::load("second", tree.zxid(), &source, &Touched::default()).unwrap();
    let found = (second.tree.digest(), second.tree.len(), second.tree.kinds());
    assert_eq!(found, (tree.digest(), tree.len(), tree.kinds()));
}

fn applied(txns: &[Txn<'_>], touched: &mut Touched) -> Option<FileTree> {
    let source = Source::Bytes(BEGIN.to_vec().into());
    let mut tree = loop {
        let loaded = snapshot::load("snapshot.8", 8, &source, touched).unwrap();
        if loaded.missed.is_empty() {
            break loaded.tree;
        }
        loaded.missed.iter().for_each(|path| touched.insert(path));
    };
    for txn in txns {
        tree.apply(txn).ok()?;
    }
    tree.drop_sessions().ok()?;
    Some(tree)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOG: &[u8] = include_bytes!("../../tests/golden/3.9.5/log.9");

    /// The records of a log, without their checksums.
    fn records() -> Vec<u8> {
        let (mut records, mut rest) = (Vec::new(), &LOG[16..]);
        while let [_, _, _, _, _, _, _, _, a, b, c, d, after @ ..] = rest {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            if length == 0 {
                break;
            }
            records.extend_from_slice(&[*c, *d]);
            records.extend_from_slice(&after[..length]);
            rest = &after[length + 1..];
        }
        records
    }

    /// Lengths that are claimed in one place after the other, in what a server sends and in what it has logged.
    #[test]
    fn claims_are_survived() {
        for claim in [i32::MAX, 1 << 30, 1 << 28, -1] {
            for at in 0..BEGIN.len() - 4 {
                let mut bytes = BEGIN.to_vec();
                bytes[at..at + 4].copy_from_slice(&claim.to_be_bytes());
                hand_out(bytes);
            }
            let records = records();
            for at in 0..records.len() - 4 {
                let mut bytes = records.clone();
                bytes[at..at + 4].copy_from_slice(&claim.to_be_bytes());
                replay(&bytes);
            }
        }
    }

    /// The same, and what else decodes, in a process that cannot have more than 512 MiB.
    #[test]
    fn no_decoder_takes_the_memory_that_is_claimed() {
        let decoders = [
            "files::fuzzing::tests::claims",
            "files::fuzzing::tests::what_is",
            "archive::codec::tests::what_is_claimed",
            "archive::codec::tests::a_frame_with",
            "acl_index::tests",
        ];
        let done = std::process::Command::new("sh")
            .args(["-c", "ulimit -v 524288 && exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(decoders)
            .arg("--test-threads=1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(
            done.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&done.stderr)
        );
        assert!(said.matches("... ok").count() >= decoders.len(), "{said}");
    }

    proptest! {
        #[test]
        fn what_is_replayed_is_written_and_read_again(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let mut bytes = records();
            prop_assert!(bytes.len() > 1_000);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            replay(&bytes);
        }
    }
}
