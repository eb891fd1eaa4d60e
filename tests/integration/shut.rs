//! Znodes that the backup lacks and that keep us out: they are opened only where that shows them to nobody, and what stays has its
//! ACL again.

use std::sync::{Arc, Mutex, OnceLock, mpsc};

use backup_engine::Driver;
use serde_json::{Value, json};
use zk_backup_testkit::{Daemon, Http, PASSWORD, Proxy, USER};
use zookeeper_async::{Acl, CreateMode, Permission, ZooKeeper as Observer};

use crate::common::by_each_adapter;
use crate::common::clients::{BOB, EVE, digest, observer};
use crate::common::daemons::{AS_BOB, AS_SUPER, back_up, daemon_by, restore};
use crate::common::servers::server;
use crate::common::trees::{assert_same, dump, plant};

async fn create(outside: &Observer, path: &str, data: &[u8], acl: &[Acl]) {
    let mode = match path.ends_with("lock") {
        true => CreateMode::Ephemeral,
        false => CreateMode::Persistent,
    };
    let created = outside.create(path, data.to_vec(), acl.to_vec(), mode).await;
    created.unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// Calls a job off when these bytes are on their way to the server, before they are passed on.
#[derive(Default)]
struct CallOff {
    jobs: Mutex<Option<mpsc::Receiver<(String, String)>>>,
    answer: OnceLock<u16>,
}

impl CallOff {
    fn sees(&self, bytes: &[u8], wanted: &[u8]) {
        if !bytes.windows(wanted.len()).any(|window| window == wanted) {
            return;
        }
        let Some(jobs) = self.jobs.lock().unwrap().take() else {
            return;
        };
        let (server, job) = jobs.recv().unwrap();
        let http = Http::new(&server).with_credentials(USER, PASSWORD);
        let answer = http.post(&format!("/terminate/{job}"), "").unwrap();
        self.answer.set(answer.status).unwrap();
    }

    /// The state of a restore of `/app` that is called off so.
    fn restore(&self, daemon: &Daemon, id: &str) -> Value {
        let (sender, receiver) = mpsc::channel();
        *self.jobs.lock().unwrap() = Some(receiver);
        let body = format!(r#"{{"vault": "{id}", "dbs": ["app"]}}"#);
        let job = daemon.http.post("/restore", &body).unwrap().text;
        sender.send((daemon.address.clone(), job.clone())).unwrap();
        let state = daemon.wait_for_job(&job).unwrap().json();
        assert_eq!(self.answer.get(), Some(&200), "it was not called off: {state}");
        state
    }
}

fn counts(report: &Value, names: &[&str]) -> Vec<u64> {
    names.iter().map(|name| report[name].as_u64().unwrap()).collect()
}

by_each_adapter!(without_an_identity_nothing_hidden_is_opened_to_everybody);

async fn without_an_identity_nothing_hidden_is_opened_to_everybody(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(driver, &zookeeper.address(), storage.path(), &[]);
    plant(&outside, &[("/app", b"a")]).await;
    let id = back_up(&daemon, r#"{"dbs": ["app"]}"#);
    let here = Acl::new(Permission::READ | Permission::ADMIN, "ip", "127.0.0.1");
    create(&outside, "/app/s", b"SECRET", &[here]).await;
    create(&outside, "/app/s/k", b"1", Acl::open_unsafe()).await;
    create(&outside, "/app/s/lock", b"", Acl::open_unsafe()).await;
    let shown = Acl::new(Permission::READ | Permission::ADMIN, "world", "anyone");
    create(&outside, "/app/shown", b"for all to read", &[shown]).await;
    create(&outside, "/app/shown/k", b"1", Acl::open_unsafe()).await;
    let mut before = dump(&outside).await;
    let (status, state) = restore(&daemon, &id, r#", "dbs": ["app"]"#);
    let report = &state["result"]["report"];
    assert_eq!(status, 500, "{state}");
    assert_eq!(
        counts(report, &["failed", "deleted", "unfinished"]),
        [1, 2, 0],
        "{state}"
    );
    assert_eq!(report["failures"][0]["path"], json!("/app/s/k"), "{state}");
    before.retain(|path, _| !path.starts_with("/app/shown"));
    assert_same(&before, &dump(&outside).await);
}

by_each_adapter!(what_stays_has_its_acl_again_and_its_owner_is_let_in);

async fn what_stays_has_its_acl_again_and_its_owner_is_let_in(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let call_off = Arc::new(CallOff::default());
    let seeing = Arc::clone(&call_off);
    let sees = move |bytes: &[u8]| seeing.sees(bytes, b"\0\0\0\x04auth");
    let proxy = Proxy::start_with(&zookeeper.address(), sees).unwrap();
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(driver, proxy.address(), storage.path(), &AS_BOB);
    plant(&outside, &[("/app", b"a")]).await;
    let id = back_up(&daemon, r#"{"dbs": ["app"]}"#);
    let eve = digest(Permission::ALL, EVE);
    let hidden = [eve.clone(), digest(Permission::ADMIN, BOB)];
    let shown = [eve, digest(Permission::READ | Permission::ADMIN, BOB)];
    for (path, acl) in [
        ("/app/svc", &hidden[..]),
        ("/app/svc/lock", Acl::open_unsafe()),
        ("/app/q", &shown),
        ("/app/q/a", Acl::open_unsafe()),
        ("/app/q/lock", Acl::open_unsafe()),
        ("/app/leaf", &hidden),
        ("/app/full", &hidden),
        ("/app/full/k", Acl::open_unsafe()),
    ] {
        create(&outside, path, b"secret", acl).await;
    }
    let mut before = dump(&outside).await;

    let (status, state) = restore(&daemon, &id, r#", "dbs": ["app"], "dry_run": true"#);
    let report = &state["result"]["report"];
    assert_eq!(
        (status, counts(report, &["failed", "deleted", "unseen"])),
        (200, vec![0, 4, 2]),
        "{state}"
    );
    assert!(
        state["result"]["notes"]
            .to_string()
            .contains("2 znodes may not be read")
    );
    assert_same(&before, &dump(&outside).await);

    let state = call_off.restore(&daemon, &id);
    assert_eq!(state["status"], json!("Canceled"), "{state}");
    let report = &state["result"]["report"];
    assert_eq!(
        counts(report, &["failed", "unfinished", "acl_changed"]),
        [0, 0, 0],
        "{state}"
    );
    let after = dump(&outside).await;
    assert!(
        after.contains_key("/app/full/k"),
        "it was over before it was called off"
    );
    before.retain(|path, _| after.contains_key(path)); // what needs no opening may be gone
    assert_same(&before, &after);

    let (status, state) = restore(&daemon, &id, r#", "dbs": ["app"]"#);
    let report = &state["result"]["report"];
    assert_eq!(
        (status, counts(report, &["failed", "left_alone", "unfinished"])),
        (200, vec![0, 4, 0]),
        "{state}"
    );
    let stay = ["/app/svc", "/app/q"];
    before.retain(|path, _| {
        !path.starts_with("/app/") || stay.iter().any(|stays| path.starts_with(stays)) && path != "/app/q/a"
    });
    assert_same(&before, &dump(&outside).await);
    let health = daemon.http.get("/health").unwrap().json();
    assert_eq!(health["unfinished_znodes"], Value::Null, "{health}");
}

by_each_adapter!(what_others_create_in_the_place_of_what_is_unfinished_is_left_to_them);

async fn what_others_create_in_the_place_of_what_is_unfinished_is_left_to_them(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let call_off = Arc::new(CallOff::default());
    let seeing = Arc::clone(&call_off);
    let sees = move |bytes: &[u8]| seeing.sees(bytes, b"/app/x\0\0\0\x08old data");
    let proxy = Proxy::start_with(&zookeeper.address(), sees).unwrap();
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(driver, proxy.address(), storage.path(), &AS_BOB);
    let own = [
        digest(Permission::ALL, EVE),
        digest(Permission::READ | Permission::ADMIN, BOB),
    ];
    create(&outside, "/app", b"a", Acl::open_unsafe()).await;
    create(&outside, "/app/x", b"old data", &own).await;
    create(&outside, "/app/x/k", b"k", &own).await;
    let id = back_up(&daemon, r#"{"dbs": ["app"]}"#);
    for path in ["/app/x/k", "/app/x"] {
        outside.delete(path, None).await.unwrap();
    }
    let state = call_off.restore(&daemon, &id);
    assert_eq!(
        state["result"]["report"]["unfinished_paths"],
        json!(["/app/x"]),
        "{state}"
    );
    let _ = outside.delete("/app/x/k", None).await; // it may have gone out together with its parent
    outside.delete("/app/x", None).await.unwrap();
    // It looks as ours does: nobody else is in the list.
    create(&outside, "/app/x", b"", &[digest(Permission::ALL, BOB)]).await;
    let (status, state) = restore(&daemon, &id, r#", "dbs": ["app"], "policy": "missing""#);
    assert_eq!(status, 200, "{state}");
    let notes = state["result"]["notes"].to_string();
    assert!(
        notes.contains("what is there already was not compared"),
        "{notes}"
    );
    let (data, _) = outside.get_data("/app/x", false).await.unwrap();
    let (acl, _) = outside.get_acl("/app/x").await.unwrap();
    assert_eq!((data, acl), (Vec::new(), vec![digest(Permission::ALL, BOB)]));
    let health = daemon.http.get("/health").unwrap().json();
    assert_eq!(health["unfinished_znodes"], Value::Null, "{health}");
}

/// It is no permission that lacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_lacks_only_what_is_too_far_away_does_not_ask_for_permissions() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let long = format!("/app/{}", "x".repeat(150_000));
    plant(&outside, &[("/app", b""), (&long, b"")]).await;
    plant(&outside, &[(&format!("{long}/{}", "y".repeat(150_000)), b"")]).await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(Driver::Batched, &zookeeper.address(), storage.path(), &AS_SUPER);
    let (_, state) = daemon.do_job("/backup", r#"{"dbs": ["app"]}"#).unwrap();
    let message = state.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(state.status, 500, "{message}");
    assert!(message.contains("a path above 256 KiB"), "{message}");
    assert!(
        !message.contains("knows us as") && !message.contains("digests"),
        "{message}"
    );
}

/// Servers before 3.7, and the plain driver, do not tell as whom we are known: there a dry run cannot see it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_fails_where_the_live_acls_do_not_let_the_restore_write() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let seen = Acl::read_unsafe();
    create(&outside, "/app", b"", Acl::open_unsafe()).await;
    create(&outside, "/app/b", b"", seen).await;
    for (path, acl) in [
        ("/app/b/c", Acl::open_unsafe()),
        ("/app/b/c/d", Acl::open_unsafe()),
        ("/app/b/e", seen),
    ] {
        create(&outside, path, b"old", acl).await;
    }
    for identity in [&AS_BOB[..], &[]] {
        let storage = tempfile::tempdir().unwrap();
        let daemon = daemon_by(Driver::Batched, &zookeeper.address(), storage.path(), identity);
        let id = back_up(&daemon, r#"{"dbs": ["app"]}"#);
        outside.delete("/app/b/c/d", None).await.unwrap();
        outside.delete("/app/b/c", None).await.unwrap();
        create(&outside, "/app/b/extra", b"", Acl::open_unsafe()).await;
        outside.set_data("/app/b/e", b"new".to_vec(), None).await.unwrap();
        let before = dump(&outside).await;
        let diff = format!("/diff?from={id}&to=live");
        let diff = daemon.http.get(&diff).unwrap().json();
        assert_eq!(
            counts(&diff, &["added", "removed", "data_changed", "unknown"]),
            [1, 2, 1, 0],
            "{diff}"
        );
        let names = ["failed", "created", "data_changed", "deleted"];
        for more in [r#", "dry_run": true"#, ""] {
            let (status, state) = restore(&daemon, &id, &format!(r#", "dbs": ["app"]{more}"#));
            let report = &state["result"]["report"];
            assert_eq!(
                (status, counts(report, &names)),
                (500, vec![4, 0, 0, 0]),
                "{state}"
            );
            assert_same(&before, &dump(&outside).await);
        }
        outside.delete("/app/b/extra", None).await.unwrap();
        outside.set_data("/app/b/e", b"old".to_vec(), None).await.unwrap();
        for path in ["/app/b/c", "/app/b/c/d"] {
            create(&outside, path, b"old", Acl::open_unsafe()).await;
        }
    }
}
