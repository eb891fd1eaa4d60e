//! Several servers over one bucket: who works, what is handed on, and what becomes of it when the leader is gone.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zk_backup_testkit::{Daemon, Proxy};
use zookeeper_async::Permission;

use crate::common::clients::{APP, as_super, digest, observer};
use crate::common::daemons::{AS_SUPER, back_up};
use crate::common::group::{
    Group, LEASE, health, leads, once_so_much_is_sent, signal, wait_to_lead, wait_until,
};
use crate::common::servers::{nobody, server};
use crate::common::trees::{assert_same, dump, fill, plant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_answers_what_reads_and_hands_on_what_changes_until_the_leader_hands_over() {
    let zookeeper = server();
    let mut group = Group::new();
    // So long that nobody leads for want of a lease before this is over.
    let lease = [("HA_LEASE_SECONDS", "60")];
    let mut one = group.start(&zookeeper.address(), "one", &lease);
    let two = group.start(&zookeeper.address(), "two", &lease);
    for (daemon, role, flag) in [(&one, "leader", 1), (&two, "standby", 0)] {
        let health = health(daemon);
        assert_eq!(
            (&health["role"], &health["leader"]),
            (&json!(role), &json!("one")),
            "{health}"
        );
        wait_until(
            || daemon.http.get("/health/ready").unwrap().status == 200,
            || daemon.said(),
        );
        let metrics = daemon.http.get("/metrics").unwrap().text;
        assert!(
            metrics.contains(&format!("\nzk_backup_leader {flag}\n")),
            "{metrics}"
        );
        assert!(metrics.contains("\nzk_backup_leader_term 1\n"), "{metrics}");
    }
    // Asked for there, done here, seen by both.
    let id = back_up(&two, r#"{"allow_eviction": "no"}"#);
    one.wait_for_line("POST /backup 200").unwrap();
    let described = two.describe(&id).unwrap();
    assert_eq!(described["valid"], true, "{described}");
    wait_until(
        || two.http.get("/listbackups").unwrap().json() == json!([id]),
        || two.said(),
    );
    let manifest = group.s3.bucket().join(format!("zk/manifests/{id}.json"));
    let manifest = std::fs::read_to_string(manifest).unwrap();
    assert!(
        manifest.contains(r#""term": 1"#) || manifest.contains(r#""term":1"#),
        "{manifest}"
    );
    // Those without credentials go nowhere, and the leader's refusals come back as they are.
    let nobody = two.http.clone().without_credentials();
    assert_eq!(nobody.post("/backup", "").unwrap().status, 401);
    let refused = two.http.post("/backup?x=y", "").unwrap();
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (400, &json!("invalid_request"))
    );
    let refused = two
        .http
        .post("/restore", r#"{"vault": "20190321T080000"}"#)
        .unwrap();
    assert_eq!(refused.status, 404, "{}", refused.text);
    // An id becomes no path on its way.
    let backslash = format!("/evict\\{id}");
    for path in [
        "/evict/%2e%2e/evict",
        "/evict/.%2E/backup",
        "/evict/../backup",
        &backslash,
    ] {
        for daemon in [&one, &two] {
            let answer = daemon.http.post(path, "").unwrap();
            assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        }
    }
    one.wait_for_line("POST /backup 400").unwrap(); // which came later
    assert!(!one.said().contains("POST /backup 401"), "{}", one.said());
    // What was handed on goes no further.
    let authorization = format!(
        "Basic {}",
        base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            format!("{}:{}", zk_backup_testkit::USER, zk_backup_testkit::PASSWORD)
        )
    );
    let answer = ureq::Agent::new_with_config(
        ureq::config::Config::builder()
            .http_status_as_error(false)
            .build(),
    )
    .post(format!("http://{}/backup", two.address))
    .header("Authorization", authorization)
    .header("x-zk-backup-handed-on", "1")
    .send_empty()
    .unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));

    let begun = Instant::now();
    signal(one.id(), "-TERM");
    wait_to_lead(&two);
    let most = Duration::from_secs(30); // half of the lease
    assert!(begun.elapsed() < most, "it took {:?}", begun.elapsed());
    one.wait_for_end().unwrap();
    assert!(back_up(&two, "") > id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_leader_had_accepted_is_done_by_the_next_and_what_it_did_is_told_as_interrupted() {
    let zookeeper = server();
    fill(&as_super(&zookeeper), 30_000).await;
    let mut group = Group::new();
    // The first bytes of the backup go through, and the rest never comes.
    let proxy = Proxy::start(&zookeeper.address()).unwrap();
    proxy.hold_after(100_000);
    let mut one = group.start(proxy.address(), "one", &[]);
    let others = [
        group.start(&zookeeper.address(), "two", &[]),
        group.start(&zookeeper.address(), "three", &[]),
    ];
    let interrupted = others[0].http.post("/backup", "").unwrap().text;
    let waiting = others[1].http.post("/backup", r#"{"dbs": ["fill"]}"#).unwrap();
    assert_eq!(waiting.status, 200, "{}", waiting.text);
    wait_until(|| proxy.holds(), || one.said());
    one.kill();
    let begun = Instant::now();
    // Nobody leads for a while.
    let refused = others[0].http.post("/backup", "").unwrap();
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (503, &json!("no_leader"))
    );
    assert_eq!(refused.header("retry-after"), "5");
    wait_until(|| others.iter().any(leads), || others[0].said());
    assert!(begun.elapsed() < LEASE * 3, "it took {:?}", begun.elapsed());
    assert!(!others.iter().all(leads));
    assert_eq!(others[0].wait_for_job(&waiting.text).unwrap().status, 200);
    let told = others[1].http.get(&format!("/jobstatus/{interrupted}")).unwrap();
    assert_eq!(told.status, 500, "the kill came too late: {}", told.text);
    assert!(told.text.contains("interrupted"), "{}", told.text);
    for daemon in &others {
        let is_listed = || daemon.http.get("/listbackups").unwrap().json() == json!([waiting.text]);
        wait_until(is_listed, || daemon.said());
    }
    assert!(back_up(&others[1], "") > waiting.text);
}

fn assert_interrupted(daemon: &Daemon, task: &str) {
    let ended = daemon.wait_for_job(task).unwrap();
    assert!(
        ended.status == 500 && ended.text.contains("interrupted"),
        "{}",
        ended.text
    );
}

/// A leader whose restore has come half of its way when `name` is sent to it; the other; the restore.
async fn in_mid_restore(name: &'static str) -> (Group, zk_backup_testkit::ZooKeeper, Daemon, Daemon, String) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/other", b"kept")]).await;
    fill(&as_super(&zookeeper), 20_000).await;
    // What stays under a working ACL until its children are there is noted.
    let guarded = vec![digest(Permission::ALL, APP)];
    outside.set_acl("/fill", guarded, None).await.unwrap();
    let mut group = Group::new();
    let process = Arc::new(std::sync::OnceLock::new());
    let whose = Arc::clone(&process);
    let (proxy, armed) = once_so_much_is_sent(&zookeeper.address(), 300_000, move || {
        signal(*whose.get().unwrap(), name);
    });
    let one = group.start(proxy.address(), "one", &AS_SUPER);
    process.set(one.id()).unwrap();
    let two = group.start(&zookeeper.address(), "two", &AS_SUPER);
    let id = back_up(&one, "");
    armed.store(true, Ordering::SeqCst);
    let body = json!({"vault": id, "dbs": ["fill"], "changeDbNames": {"fill": "copy"}});
    let task = two.http.post("/restore", &body.to_string()).unwrap();
    assert_eq!(task.status, 200, "{}", task.text);
    std::mem::forget(proxy); // it goes on until the process ends
    (group, zookeeper, one, two, task.text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_of_a_killed_leader_is_told_as_interrupted_and_what_it_left_is_known() {
    let (_group, zookeeper, _one, two, task) = in_mid_restore("-KILL").await;
    wait_to_lead(&two);
    assert_interrupted(&two, &task);
    let health = health(&two);
    assert!(health["unfinished_znodes"].as_u64() > Some(0), "{health}");
    // The next one finishes it.
    let outside = observer(&zookeeper).await;
    let id = two.http.get("/listbackups").unwrap().json()[0]
        .as_str()
        .unwrap()
        .to_owned();
    let body = json!({"vault": id, "dbs": ["fill"], "changeDbNames": {"fill": "copy"}});
    let (_, state) = two.do_job("/restore", &body.to_string()).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    assert!(
        crate::common::group::health(&two)
            .get("unfinished_znodes")
            .is_none()
    );
    assert_eq!(outside.get_children("/copy", false).await.unwrap().len(), 20_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_stopped_past_its_lease_writes_nothing_when_it_goes_on() {
    let (_group, zookeeper, mut one, mut two, task) = in_mid_restore("-STOP").await;
    wait_to_lead(&two);
    assert_interrupted(&two, &task);
    let outside = observer(&zookeeper).await;
    let before = dump(&outside).await;
    let copied = before.keys().filter(|path| path.starts_with("/copy/")).count();
    assert!((1..20_000).contains(&copied), "{copied} znodes were written");
    signal(one.id(), "-CONT");
    one.wait_for_line("was somebody else's to end").unwrap();
    assert_same(&before, &dump(&outside).await);
    // Both go on, each as what it is.
    assert!(!leads(&one) && leads(&two));
    back_up(&one, "");
    two.wait_for_line("POST /backup 200").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_cannot_back_up_lets_another_one_try() {
    let zookeeper = server();
    let mut group = Group::new();
    let one = group.start(&nobody(), "one", &[]);
    let two = group.start(&zookeeper.address(), "two", &[]);
    let asked: Vec<_> = (0..3)
        .map(|_| two.http.post("/backup", "").unwrap().text)
        .collect();
    for id in &asked {
        assert_eq!(two.wait_for_job(id).unwrap().status, 500);
    }
    wait_to_lead(&two);
    back_up(&one, "");
}

/// It listens, says what it is and that the storage is away, and refuses what changes anything.
fn is_a_standby_without_leader(daemon: &Daemon) {
    let begun = Instant::now();
    let told = health(daemon);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(
        (&told["role"], &told["leader"]),
        (&json!("standby"), &Value::Null),
        "{told}"
    );
    let ready = daemon.http.get("/health/ready").unwrap();
    assert!(
        ready.status == 503 && ready.text.contains("storage: "),
        "{}",
        ready.text
    );
    let refused = daemon.http.post("/backup", "").unwrap();
    assert_eq!(
        (
            refused.status,
            &refused.json()["code"],
            refused.header("retry-after")
        ),
        (503, &json!("no_leader"), "5"),
        "{}",
        refused.text
    );
}

/// It refuses connections at first. For the second server it takes them, and answers nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_start_though_the_bucket_is_away_and_go_on_when_it_is_back() {
    let zookeeper = server();
    let mut group = Group::new();
    group.s3.kill();
    let one = group.begin(&zookeeper.address(), "one", &[]);
    is_a_standby_without_leader(&one);
    group.s3.restart().unwrap();
    wait_to_lead(&one);
    let first = back_up(&one, "");

    let proxy = Proxy::start(group.url.trim_start_matches("http://")).unwrap();
    proxy.hold_after(0);
    group.url = format!("http://{}", proxy.address());
    let two = group.begin(&zookeeper.address(), "two", &[]);
    is_a_standby_without_leader(&two);
    proxy.go_on();
    wait_until(|| health(&two)["leader"] == "one", || two.said());
    wait_until(
        || two.http.get("/health/ready").unwrap().status == 200,
        || two.said(),
    );
    assert!(back_up(&two, "") > first);
    assert!(two.said().contains("is one of several servers"));
}
