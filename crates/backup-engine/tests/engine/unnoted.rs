//! Restores that cannot note what they begin.

use std::collections::BTreeSet;
use std::sync::Arc;

use backup_engine::{Engine, JobState};
use job_queue::{FaultyJobs, JobCall, JobFault, JobStore, MemoryJobs};
use vault_store::MemoryStore;
use zk_snapshot::tree::Acl;

use super::support::{ADMIN, ALL, Modelled, READ, acl, full, restored};

/// What is to be below the closed parent.
const CHILDREN: [&str; 5] = ["/p/a", "/p/b", "/p/c", "/p/d", "/p/e"];

/// Has the `nth` note that a restore keeps fail. `false`: it keeps fewer.
async fn fails_at(nth: usize) -> bool {
    let modelled = Modelled::new();
    let jobs = FaultyJobs::new(Arc::new(MemoryJobs::new()));
    let engine = Engine::builder(Arc::new(modelled.clone()))
        .vaults(Arc::new(MemoryStore::new()))
        .jobs(Arc::new(jobs.clone()))
        .build()
        .unwrap();
    modelled.create("/p", b"p", acl(ALL, READ));
    for path in CHILDREN {
        modelled.create(path, path.as_bytes(), acl(ALL, READ));
    }
    let id = full(&engine).await;
    let backup = modelled.dump();
    // What is closed may be opened; of what is not in the backup, one is to go and one stays.
    let closed = acl(ADMIN, ALL);
    for path in &CHILDREN[1..] {
        modelled.delete(path);
    }
    modelled.change("/p/a", b"spoilt", closed.clone());
    modelled.change("/p", b"spoilt", closed.clone());
    for (path, below) in [("/gone", "/gone/k"), ("/stays", "/stays/lock")] {
        modelled.create(path, b"secret", closed.clone());
        match below.ends_with("lock") {
            true => modelled.create_ephemeral(below),
            false => modelled.create(below, b"", Acl::open()),
        }
    }
    let before = modelled.dump();

    jobs.plan(JobCall::PutNotes, nth, JobFault::Fail);
    let job = restored(&engine, &id).await;
    let failed = jobs.left() == 0;
    if failed {
        assert_eq!(job.status, JobState::Failed, "{nth}: {job:?}");
        let message = job.message.unwrap();
        assert!(
            message.starts_with("what is unfinished cannot be noted or read: "),
            "{nth}: {message}"
        );
        let noted: BTreeSet<_> = jobs.notes().unwrap().into_iter().map(|note| note.key).collect();
        for (path, znode) in modelled.dump() {
            let is_told = noted.contains(&path);
            let is_known = [&before, &backup]
                .map(|dump| dump.get(&path))
                .contains(&Some(&znode));
            assert!(is_told || is_known, "{nth}: {path} {znode:?}");
        }
        // The next one finishes it.
        let job = restored(&engine, &id).await;
        assert_eq!(job.status, JobState::Successful, "{nth}: {job:?}");
    } else {
        assert_eq!(job.status, JobState::Successful, "{nth}: {job:?}");
    }
    let mut wanted = backup;
    for path in ["/stays", "/stays/lock"] {
        wanted.insert(path.to_owned(), before[path].clone());
    }
    assert_eq!(modelled.dump(), wanted, "{nth}");
    assert_eq!(jobs.notes().unwrap(), [], "{nth}");
    failed
}

#[tokio::test]
async fn a_restore_that_cannot_note_what_it_begins_fails_and_leaves_nothing_untold() {
    let mut nth = 2; // the first says that the restore has begun
    while fails_at(nth).await {
        nth += 1;
    }
    assert!(nth > 3, "it begins nothing: {nth}");
}
