//! What is said of each problem.

use super::*;

#[test]
fn each_has_its_sentence() {
    let text = str::to_owned;
    let unfinished = |count| Problem::UnfinishedZnodes {
        count,
        path: text("/a"),
        restore: text("5f0c"),
        backup: text("20261123T140000"),
    };
    let interrupted = |roots: &[&str]| Problem::InterruptedRestore {
        restore: text("5f0c"),
        backup: text("20261123T140000"),
        roots: roots.iter().map(ToString::to_string).collect(),
    };
    for (problem, sentence) in [
        (Problem::NoReport(text("task 7 panicked")), "task 7 panicked"),
        (
            Problem::NotReadAgain(text("tls.key: no key")),
            "secrets and certificates stay as they were: tls.key: no key",
        ),
        (
            Problem::StorageUnreadable(text("No such file")),
            "storage: No such file",
        ),
        (
            Problem::StorageNotWritable(text("no space is left")),
            "storage cannot be written: no space is left",
        ),
        (
            Problem::JobsUnavailable(text("the job database failed: locked")),
            "the job database failed: locked",
        ),
        (
            Problem::ZooKeeperUnreachable(text("it does not serve requests")),
            "ZooKeeper: it does not serve requests",
        ),
        (
            Problem::NewestBackupFailed {
                id: text("20261123T140000"),
                reason: text("no space is left"),
            },
            "the newest backup 20261123T140000 failed: no space is left",
        ),
        (
            Problem::NewestBackupUnknown {
                id: text("20261123T140000"),
                why: text("it has format version 9"),
            },
            "nothing can be told of the newest backup 20261123T140000: it has format version 9",
        ),
        (
            Problem::NothingEvicted(text("the note pins cannot be read")),
            "no policy evicts anything: the note pins cannot be read",
        ),
        (
            Problem::LeftOver(text(".staging/removed-1/a: denied")),
            "what was removed is still there: .staging/removed-1/a: denied",
        ),
        (Problem::NoGoodBackup(2), "none of the 2 backups is good"),
        (
            Problem::DamagedBackup {
                id: text("20261123T140000"),
                damage: text("archive.zst is damaged: 40 bytes of 900 are there"),
            },
            "backup 20261123T140000: archive.zst is damaged: 40 bytes of 900 are there",
        ),
        (Problem::MoreDamagedBackups(3), "3 more backups are damaged"),
        (
            Problem::RestoreTestFailed {
                id: text("20261123T140000"),
                difference: text("/a: it is not there"),
            },
            "backup 20261123T140000 was restored for a test, not exactly: /a: it is not there",
        ),
        (
            Problem::FirstCopyDamaged {
                id: text("20261123T140000"),
                damage: text("archive.zst, frame 2: it is cut"),
            },
            "backup 20261123T140000 is read from its second copy: archive.zst, frame 2: it is cut",
        ),
        (
            Problem::SecondCopyDamaged {
                id: text("20261123T140000"),
                damage: text("archive.zst, frame 2: it is cut"),
            },
            "the second copy of backup 20261123T140000 is damaged: archive.zst, frame 2: it is cut",
        ),
        (
            Problem::OnlySecondCopies(1),
            "1 backup is only in the second place",
        ),
        (
            Problem::OnlySecondCopies(3),
            "3 backups are only in the second place",
        ),
        (
            Problem::NoSecondCopies {
                lacking: 2,
                why: text("there is no such bucket"),
            },
            "no second copies are made, 2 backups have none: there is no such bucket",
        ),
        (
            Problem::UnreadableJob(text("job 5f0c: its row cannot be read")),
            "job 5f0c: its row cannot be read",
        ),
        (
            Problem::ClockMoved {
                why: text("the clock shows 2036-01-01"),
                remedy: text("Say so if it is right"),
            },
            "no policy evicts anything: the clock shows 2036-01-01. Say so if it is right",
        ),
        (
            Problem::ClockSet {
                why: text("it shows 2036-01-01T00:00:00Z"),
                remedy: text("Say so if it is right"),
            },
            "the clock was set: it shows 2036-01-01T00:00:00Z. Say so if it is right",
        ),
        (
            unfinished(1),
            "the znode /a is unfinished since the restore 5f0c of backup 20261123T140000: restore that again",
        ),
        (
            unfinished(2),
            "2 znodes, such as /a, are unfinished since the restore 5f0c of backup 20261123T140000: restore \
             that again",
        ),
        (
            interrupted(&[]),
            "the restore 5f0c of backup 20261123T140000 was interrupted: ask for it again",
        ),
        (
            interrupted(&["/a", "/b"]),
            "the restore 5f0c of backup 20261123T140000 of /a, /b was interrupted: ask for it again",
        ),
        (
            Problem::UnfinishedUnknown,
            "notes of jobs were damaged or are gone: which znodes restores left unfinished is not fully known",
        ),
    ] {
        assert_eq!(problem.to_string(), sentence);
    }
}
