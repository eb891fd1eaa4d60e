//! Quotas that are restored together with what they limit, and under other names.

use backup_engine::{JobResult, JobState, RestoreRequest, RestoreResult};
use zk_snapshot::restore::RestoreReport;
use zk_snapshot::tree::{Acl, ZnodePath};

use super::support::{World, done, full};

fn path(text: &str) -> ZnodePath {
    ZnodePath::parse(text).unwrap()
}

/// A world with a quota of `/a`.
fn limited() -> World {
    let world = World::new();
    for name in ["zookeeper_limits", "zookeeper_stats"] {
        let of_a = format!("/zookeeper/quota/a/{name}");
        world.tree.put(&of_a, name.as_bytes(), Acl::open()).unwrap();
    }
    world
}

/// The znodes that differed, in their order.
fn differing(report: &RestoreReport) -> Vec<&str> {
    let paths = report
        .differences
        .iter()
        .map(|difference| difference.path.as_str());
    let mut paths: Vec<_> = paths.collect();
    paths.sort_unstable();
    paths
}

/// What comes of a restore of `/zookeeper` and `/a` under other names: what it says first that it would do, it does.
async fn restored(world: &World, id: &str, renames: &[(&str, &str)]) -> RestoreResult {
    let engine = world.start().engine;
    let asked = |dry_run| RestoreRequest {
        roots: vec![path("/zookeeper"), path("/a")],
        renames: renames.iter().map(|(from, to)| (path(from), path(to))).collect(),
        dry_run,
        ..RestoreRequest::of(id)
    };
    let mut told = Vec::new();
    for dry_run in [true, false] {
        let job = done(&engine, &engine.restore(asked(dry_run)).await.unwrap()).await;
        assert_eq!(job.status, JobState::Successful, "{job:?}");
        match job.outcome().unwrap() {
            JobResult::Restore(result) => told.push(*result),
            other => panic!("{other:?}"),
        }
    }
    let ran = told.pop().unwrap();
    let (planned, report) = (told[0].report.as_ref().unwrap(), ran.report.as_ref().unwrap());
    let figures = |of: &RestoreReport| (of.created, of.deleted, of.unchanged);
    assert_eq!(figures(planned), figures(report));
    assert_eq!(differing(planned), differing(report));
    ran
}

#[tokio::test]
async fn a_quota_that_goes_below_what_it_limits_is_not_deleted_by_the_rest() {
    let world = limited();
    let id = full(&world.start().engine).await;
    let renames = [("/zookeeper/quota/a", "/a/limits")];
    let report = restored(&world, &id, &renames).await.report.unwrap();
    assert_eq!((report.created, report.deleted), (3, 0), "{report:?}");
    let there = world.znodes();
    assert!(
        there
            .iter()
            .any(|(path, data, _)| path == "/a/limits/zookeeper_limits" && data == b"zookeeper_limits")
    );
    let again = restored(&world, &id, &renames).await;
    assert_eq!(again.report.unwrap().changes(), 0);
    let notes = again.notes.unwrap();
    assert!(
        !notes.iter().any(|note| note.contains("not in the backup")),
        "{notes:?}"
    );
    assert_eq!(world.znodes(), there);
}

#[tokio::test]
async fn what_lies_above_both_is_counted_once() {
    let world = limited();
    let id = full(&world.start().engine).await;
    let renames = [("/zookeeper", "/z"), ("/a", "/z/a")];
    let report = restored(&world, &id, &renames).await.report.unwrap();
    let created = differing(&report);
    assert_eq!(
        created,
        [
            "/z",
            "/z/a",
            "/z/quota",
            "/z/quota/a",
            "/z/quota/a/zookeeper_limits",
            "/z/quota/a/zookeeper_stats"
        ]
    );
    assert_eq!(report.created, 6);
    let again = restored(&world, &id, &renames).await;
    assert_eq!(again.report.unwrap().changes(), 0);
}
