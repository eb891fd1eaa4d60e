//! Which backups policies take, and which one a time means.

use backup_engine::Driver;
use serde_json::{Value, json};
use zk_backup_testkit::Daemon;

use crate::common::buckets::{as_if_scheduled, files_of};
use crate::common::clients::{as_super, closed, connect, observer};
use crate::common::daemons::daemon;
use crate::common::servers::server;
use crate::common::trees::plant;

/// After each backup that was stored and on request, what the policies say goes, and the log says why. What was asked for
/// by hand stays a day.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_evict_and_tell_why() {
    let zookeeper = server();
    let storage = tempfile::tempdir().unwrap();
    let settings = [("EVICTION_POLICY", "2/delete")];
    let first = daemon(&zookeeper.address(), storage.path(), &settings);
    let backup = |body: &str| first.do_job("/backup", body).unwrap().0;
    let pinned = backup(r#"{"allow_eviction": false}"#);
    let ids: Vec<_> = (0..4).map(|_| backup("{}")).collect();
    let listed = |daemon: &Daemon| daemon.http.get("/listbackups").unwrap().json();
    let planned = |daemon: &Daemon| daemon.http.post("/evict?dry_run=true", "").unwrap().json();
    assert_eq!(listed(&first), json!([pinned, ids[0], ids[1], ids[2], ids[3]]));
    assert_eq!(first.http.post("/evict", "").unwrap().status, 200);
    assert_eq!(listed(&first), json!([pinned, ids[0], ids[1], ids[2], ids[3]]));
    let plan = planned(&first);
    let reason = |plan: &Value, index: usize| plan[index]["reason"].as_str().unwrap().to_owned();
    assert!(reason(&plan, 0).contains("pinned"), "{plan}");
    assert!(reason(&plan, 1).contains("by hand"), "{plan}");

    drop(first);
    as_if_scheduled(storage.path());
    let mut daemon = daemon(&zookeeper.address(), storage.path(), &settings);
    let plan = planned(&daemon);
    assert_eq!(plan[1]["action"], "evict", "{plan}");
    assert!(reason(&plan, 1).contains(&ids[3]), "{plan}");

    // A partial one is followed by a pass, too.
    let client = connect(Driver::Batched, as_super(&zookeeper)).await.unwrap();
    let secret = zk_snapshot::tree::WriteOp::Create {
        path: zk_snapshot::tree::ZnodePath::parse("/secret").unwrap(),
        data: Vec::new(),
        acl: closed(),
        kind: zk_snapshot::tree::Kind::Persistent,
    };
    assert_eq!(client.write_many(&[secret]).await, [Ok(())]);
    let (partial, state) = daemon.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 500, "{}", state.text);
    assert_eq!(listed(&daemon), json!([pinned, ids[2], ids[3], partial]));
    let line = daemon.wait_for_line(&format!("evicted {}", ids[0])).unwrap();
    assert!(line.contains(&ids[3]), "{line}");

    // By name, anything goes.
    let answer = daemon.http.post(&format!("/evict/{partial}"), "").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// The backup before a change is there after the backup that follows it.
#[test]
fn by_default_two_backups_by_hand_stay() {
    let zookeeper = server();
    let storage = tempfile::tempdir().unwrap();
    let first = daemon(&zookeeper.address(), storage.path(), &[]);
    let ids: Vec<_> = (0..2).map(|_| first.do_job("/backup", "").unwrap().0).collect();
    assert_eq!(first.http.get("/listbackups").unwrap().json(), json!(ids));
    drop(first);
    as_if_scheduled(storage.path());
    let daemon = daemon(&zookeeper.address(), storage.path(), &[]);
    // Those of a schedule stay for a day, too.
    assert_eq!(daemon.http.post("/evict", "").unwrap().status, 200);
    assert_eq!(daemon.http.get("/listbackups").unwrap().json(), json!(ids));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_means_a_valid_backup_that_has_what_is_asked_for() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/a", b"1"), ("/a/b", b"2"), ("/c", b"3")]).await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&zookeeper.address(), storage.path(), &[]);
    let take = |body: &str, status: u16| {
        let (id, state) = daemon.do_job("/backup", body).unwrap();
        assert_eq!(state.status, status, "{}", state.text);
        id
    };
    take(r#"{"dbs": ["gone"]}"#, 500);
    let only_c = take(r#"{"dbs": ["c"]}"#, 200);
    let only_a = take(r#"{"dbs": ["a"]}"#, 200);
    let first = take("", 200);
    let second = take("", 200);
    let damaged = take("", 200);
    let archive = files_of(storage.path(), &damaged).join("archive.zst");
    let bytes = std::fs::read(&archive).unwrap();
    std::fs::write(&archive, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(daemon.describe(&damaged).unwrap()["valid"], false);
    let later = take(r#"{"dbs": ["a"]}"#, 200);
    let ts = |id: &str| daemon.describe(id).unwrap()["ts"].as_i64().unwrap();

    let chosen = |body: Value| {
        let mut body = body;
        body["dry_run"] = true.into();
        let answer = daemon.http.post("/restore", &body.to_string()).unwrap();
        if answer.status != 200 {
            return answer.status.to_string();
        }
        let state = daemon.wait_for_job(&answer.text).unwrap();
        assert_eq!(state.status, 200, "{}", state.text);
        state.json()["vault"].as_str().unwrap().to_owned()
    };
    let (start, end) = (1_000_000_000_000_i64, 99_999_999_999_999_i64);
    assert_eq!(chosen(json!({"ts": start})), first);
    assert_eq!(chosen(json!({"ts": start, "dbs": ["c"]})), only_c);
    assert_eq!(chosen(json!({"ts": start, "dbs": ["a/b"]})), only_a);
    assert_eq!(chosen(json!({"ts": start, "dbs": ["a", "c"]})), first);
    assert_eq!(chosen(json!({"ts": ts(&first) + 1})), second);
    assert_eq!(chosen(json!({"ts": ts(&second)})), second);
    assert_eq!(chosen(json!({"ts": ts(&second) + 1})), "404");
    assert_eq!(chosen(json!({"before": end})), second);
    assert_eq!(chosen(json!({"before": end, "dbs": ["a"]})), later);
    assert_eq!(chosen(json!({"before": ts(&second)})), second);
    assert_eq!(chosen(json!({"before": ts(&second) - 1})), first);
    assert_eq!(chosen(json!({"before": ts(&first) - 1, "dbs": ["a"]})), only_a);
    assert_eq!(chosen(json!({"before": ts(&first) - 1})), "404");

    // What was found damaged is left alone by retention, and says so.
    let body = json!({"vault": damaged, "dry_run": true}).to_string();
    assert_eq!(daemon.do_job("/restore", &body).unwrap().1.status, 500);
    assert_eq!(daemon.describe(&damaged).unwrap()["evictable"], false);
    assert_eq!(daemon.describe(&second).unwrap()["evictable"], true);
}
