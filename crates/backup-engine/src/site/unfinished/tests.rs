use std::fs;

use job_queue::{MAIN_LANE, MemoryJobs, NewJob, SqliteJobs};
use time::OffsetDateTime;

use super::*;

fn znode(path: &str, created: bool) -> Unfinished {
    Unfinished::new(ZnodePath::parse(path).unwrap(), created)
}

fn now<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(work)
}

fn read(jobs: Arc<dyn JobStore>, earlier: Option<&Path>) -> Arc<UnfinishedZnodes> {
    let all = UnfinishedZnodes::unread(jobs, earlier, false).unwrap();
    all.reload().unwrap();
    Arc::new(all)
}

/// What a process finds that is started over the database.
fn started(path: &Path) -> Arc<UnfinishedZnodes> {
    read(Arc::new(SqliteJobs::open(path).unwrap().jobs), None)
}

#[test]
fn what_is_begun_is_known_after_a_crash_until_it_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let (a, b, c) = (znode("/a", true), znode("/a/ł \"b", false), znode("/c", true));
    let all = started(&path);
    let ledger = all.of("r1", "20260101T000000");
    now(ledger.begin(&[a.clone(), b.clone()])).unwrap();
    now(ledger.begin(std::slice::from_ref(&c))).unwrap();
    now(ledger.end(&[a.path])).unwrap();
    assert_eq!(ledger.unfinished().unwrap(), [b.clone(), c.clone()]);
    std::mem::forget((all, ledger)); // no orderly close

    // Who begins a znode again is not who began it, and whoever ends it has ended it.
    let all = started(&path);
    let ledger = all.of("r2", "x");
    assert_eq!(ledger.unfinished().unwrap(), [b.clone(), c.clone()]);
    let again = Unfinished {
        czxid: Some(7),
        ctime: Some(8),
        aversions: Some((1, 2)),
        acl_unknown: true,
        anonymous: true,
        above: true,
        renamed_from: Some(ZnodePath::parse("/z").unwrap()),
        opened: Some(Opened {
            acl: zk_snapshot::tree::Acl::open(),
            aversion: 3,
        }),
        ..b.clone()
    };
    now(ledger.begin(&[again.clone(), znode("/d", true)])).unwrap();
    now(ledger.end(&[c.path, ZnodePath::parse("/never").unwrap()])).unwrap();
    let all = started(&path);
    assert_eq!(
        all.of("r3", "x").unfinished().unwrap(),
        [again.clone(), znode("/d", true)]
    );
    let (first, origin) = all.left().remove(0);
    assert_eq!(
        (first.path, &*origin.restore, &*origin.vault),
        (b.path, "r1", "20260101T000000")
    );
    assert!(!all.is_incomplete());

    // A damaged note costs itself only.
    let jobs = SqliteJobs::open(&path).unwrap().jobs;
    jobs.put_notes(&[Note::new("r2", "/d", "{")]).unwrap();
    let all = started(&path);
    assert!(all.is_incomplete());
    assert_eq!(all.of("r3", "x").unfinished().unwrap(), [again]);

    // One of an earlier version knows less.
    jobs.put_notes(&[Note::new("r2", "/e", r#"{"created":true,"vault":"x"}"#)])
        .unwrap();
    let ledger = started(&path).of("r3", "x");
    assert_eq!(ledger.unfinished().unwrap()[1..], [znode("/e", true)]);
}

#[test]
fn what_a_restore_has_begun_is_left_once_it_is_over() {
    let all = read(Arc::new(MemoryJobs::new()), None);
    let (a, b) = (znode("/a", true), znode("/b", true));
    now(all.of("r1", "x").begin(std::slice::from_ref(&a))).unwrap();
    let left = || {
        all.left()
            .into_iter()
            .map(|(znode, _)| znode.path)
            .collect::<Vec<_>>()
    };
    assert_eq!(left(), std::slice::from_ref(&a.path));
    let ledger = all.of("r2", "x");
    now(ledger.begin(&[a.clone(), b.clone()])).unwrap();
    assert_eq!(left(), std::slice::from_ref(&a.path));
    drop(ledger);
    assert_eq!(left(), [a.path, b.path]);
}

#[test]
fn what_a_restore_of_another_process_has_begun_is_left_once_that_is_over() {
    let jobs: Arc<dyn JobStore> = Arc::new(MemoryJobs::new());
    let at = OffsetDateTime::UNIX_EPOCH;
    jobs.enqueue(NewJob::new("r1", "restore"), at, 9).unwrap();
    jobs.claim("leader", MAIN_LANE, at).unwrap();
    let leader = read(Arc::clone(&jobs), None);
    let a = znode("/a", true);
    let running = leader.of("r1", "x");
    now(running.begin(std::slice::from_ref(&a))).unwrap();

    let standby = read(Arc::clone(&jobs), None);
    assert!(standby.left().is_empty() && !standby.is_incomplete());
    // Whoever restores here finishes it all the same.
    assert_eq!(standby.of("r2", "x").unfinished().unwrap(), [a]);
    let other = read(Arc::clone(&jobs), None);
    jobs.recover("leader", None, at).unwrap();
    standby.reload().unwrap();
    assert_eq!(standby.left().len(), 1);
    // So it is where it is this process that fails it.
    assert!(other.left().is_empty());
    other.cut_off(&["r1".to_owned()]);
    assert_eq!(other.left().len(), 1);
}

/// It drops its notes, and ends, while another process has read them and not asked yet whether it runs.
#[test]
fn a_restore_that_ends_while_its_notes_are_read_has_left_nothing() {
    let below: Arc<dyn JobStore> = Arc::new(MemoryJobs::new());
    let at = OffsetDateTime::UNIX_EPOCH;
    for (id, lane) in [("r1", MAIN_LANE), ("r2", "other")] {
        below
            .enqueue(NewJob::new(id, "restore").in_lane(lane), at, 9)
            .unwrap();
        below.claim(id, lane, at).unwrap();
    }
    let notes = [Note::new("r1", KEY, "{}"), Note::new("r2", KEY, "{}")];
    below.put_notes(&notes).unwrap();
    let leader = read(Arc::clone(&below), None);
    let a = znode("/a", true);
    let running = leader.of("r1", "x");
    now(running.begin(std::slice::from_ref(&a))).unwrap();

    let jobs = job_queue::FaultyJobs::new(Arc::clone(&below));
    let standby = UnfinishedZnodes::unread(Arc::new(jobs.clone()), None, false).unwrap();
    let ends = move || {
        now(running.end(&[a.path])).unwrap();
        for id in ["r1", "r2"] {
            below.drop_notes(id, &[KEY.to_owned()]).unwrap();
            below
                .finish(id, job_queue::Outcome::failure("refused"), at)
                .unwrap();
        }
    };
    jobs.plan(
        job_queue::JobCall::Notes,
        1,
        job_queue::JobFault::DelayAnswer(Box::new(ends)),
    );
    assert_eq!(standby.reload().unwrap(), []);
    assert!(standby.left().is_empty());
}

#[test]
fn the_file_of_earlier_versions_is_taken_over_once() {
    const LINES: &str = r#"{"begun":{"path":"/a","created":true,"restore":"r1","vault":"20260101T000000"}}
{"begun":{"path":"/a/ł \"b","created":false,"restore":"r1","vault":"20260101T000000"}}
{"begun":{"path":"/c","created":true,"restore":"r2","vault":"20260102T000000"}}
{"ended":"/a"}
{"begun":{"path":"/never"#;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("unfinished.jsonl");
    fs::write(&file, LINES).unwrap();
    let jobs: Arc<dyn JobStore> = Arc::new(MemoryJobs::new());
    let start = || read(Arc::clone(&jobs), Some(&file));
    let all = start();
    let (b, c) = (znode("/a/ł \"b", false), znode("/c", true));
    assert_eq!(all.of("r3", "x").unfinished().unwrap(), [b.clone(), c]);
    let origins: Vec<_> = all.left().into_iter().map(|(_, origin)| origin.restore).collect();
    assert_eq!(origins, ["r1", "r2"]);
    assert!(!all.is_incomplete() && !file.exists());
    let aside = directory.path().join("unfinished.jsonl.imported");
    assert_eq!(fs::read_to_string(&aside).unwrap(), LINES);

    now(all.of("r3", "x").end(&[b.path])).unwrap();
    assert_eq!(start().left().len(), 1);

    // A damaged line costs itself only.
    fs::write(&file, LINES.replacen("begun", "gun", 1).replacen("/c", "/e", 1)).unwrap();
    let all = start();
    assert!(all.is_incomplete());
    let paths: Vec<_> = all
        .left()
        .into_iter()
        .map(|(znode, _)| znode.path.to_string())
        .collect();
    assert_eq!(paths, ["/a/ł \"b", "/c", "/e"]);
}

#[test]
fn what_cannot_be_noted_is_not_begun() {
    let below: Arc<dyn JobStore> = Arc::new(MemoryJobs::new());
    let jobs = job_queue::FaultyJobs::new(Arc::clone(&below));
    let all = read(Arc::new(jobs.clone()), None);
    let ledger = all.of("r1", "x");
    jobs.plan(job_queue::JobCall::PutNotes, 1, job_queue::JobFault::Fail);
    assert!(now(ledger.begin(&[znode("/a", true)])).is_err());
    assert!(ledger.unfinished().unwrap().is_empty());
    now(ledger.begin(&[znode("/a", true)])).unwrap();
    jobs.plan(job_queue::JobCall::DropNotes, 1, job_queue::JobFault::Fail);
    assert!(now(ledger.end(&[znode("/a", true).path])).is_err());
    assert_eq!(ledger.unfinished().unwrap(), [znode("/a", true)]);
    assert_eq!(below.notes().unwrap().len(), 1);
}
