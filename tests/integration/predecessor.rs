//! A server that is started on what the Qubership backup daemon left.

mod files;
mod hostile;
mod large;
mod shown;

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zk_backup_testkit::Daemon;

use crate::common::buckets::left_out;
use crate::common::clients::{BOB, digest, observer};
use crate::common::daemons::{AS_SUPER, back_up, daemon, restore};
use crate::common::predecessor::Left;
use crate::common::servers::server;
use crate::common::trees::{assert_same, dump, plant};

const FULL: &str = "20240105T100000";

fn list(daemon: &Daemon) -> Vec<String> {
    let list = daemon.http.get("/listbackups").unwrap().json();
    list.as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect()
}

fn get(daemon: &Daemon, path: &str) -> Value {
    let answer = daemon.http.get(path).unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

fn says(value: &Value, what: &str) -> bool {
    value.to_string().contains(what)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_left_is_looked_into_compared_restored_and_never_written() {
    if left_out("the predecessor wrote to a directory") {
        return;
    }
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let every_byte: Vec<u8> = (0..=0xff).collect();
    let open: (Vec<u8>, Vec<String>) = (Vec::new(), vec!["ALL:world:anyone".to_owned()]);
    plant(&outside, &[("/app", b"old"), ("/app/extra", b"x")]).await;
    let guarded = vec![digest(zookeeper_async::Permission::ALL, BOB)];
    outside
        .create(
            "/app/guarded",
            b"old".to_vec(),
            guarded,
            zookeeper_async::CreateMode::Persistent,
        )
        .await
        .unwrap();

    let storage = tempfile::tempdir().unwrap();
    let left = Left::new(storage.path(), FULL);
    left.znodes(&[
        ("/", b""),
        ("/app", b"new"),
        ("/app/bytes", &every_byte),
        ("/app/empty", b""),
        ("/app/grüße/łódź", "zażółć".as_bytes()),
        ("/app/grüße", b"line\r\nline\r"),
        ("/app/guarded", b"new"),
        ("/holder", b""),
        ("/holder/content", b"a znode of this name"),
        ("/zookeeper/quota", b""),
    ]);
    let before = left.contents();
    let daemon_here = daemon(&zookeeper.address(), storage.path(), &AS_SUPER);
    assert_eq!(list(&daemon_here), [FULL]);
    let told = daemon_here.describe(FULL).unwrap();
    let of = |key: &str| &told[key];
    assert_eq!(
        (of("valid"), of("failed"), of("exit_code")),
        (&json!(true), &json!(false), &json!(0))
    );
    assert_eq!(
        (of("mode"), of("db_list")),
        (&json!("hierarchical"), &json!("full backup"))
    );
    assert_eq!(
        (of("consistency"), of("spent_time")),
        (&json!("fuzzy"), &json!("9312ms"))
    );
    assert_eq!(
        (of("evictable"), of("ts")),
        (&json!(true), &json!(1_704_448_800_000_i64))
    );
    assert!(
        says(of("lacks"), "ACLs are not in it") && says(of("lacks"), "empty data"),
        "{told}"
    );
    let health = get(&daemon_here, "/health");
    assert_eq!(health["storage"]["lastSuccessful"]["id"], FULL, "{health}");

    let page = get(&daemon_here, &format!("/listbackups/{FULL}/znodes?path=/app"));
    let names: Vec<_> = page["znodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|znode| &znode["name"])
        .collect();
    assert_eq!(names, ["bytes", "empty", "grüße", "guarded"]);
    let znode = get(
        &daemon_here,
        &format!("/listbackups/{FULL}/znode?path=/app/bytes"),
    );
    assert_eq!(
        STANDARD.decode(znode["data"].as_str().unwrap()).unwrap(),
        every_byte
    );
    assert_eq!(znode["acl"], json!([]));
    let log = daemon_here.http.get(&format!("/listbackups/{FULL}/log")).unwrap();
    assert!(log.text.contains("completed successfully"), "{}", log.text);

    let live = get(&daemon_here, &format!("/diff?from={FULL}&to=live"));
    let counts = |diff: &Value| {
        ["added", "removed", "data_changed", "acl_changed"].map(|key| diff[key].as_u64().unwrap())
    };
    assert_eq!(counts(&live), [1, 6, 2, 0], "{live}");

    let (status, plan) = restore(&daemon_here, FULL, r#", "dry_run": true"#);
    assert_eq!(status, 200, "{plan}");
    assert!(says(&plan["result"]["notes"], "ACLs are not in it"), "{plan}");
    let (status, done) = restore(&daemon_here, FULL, "");
    assert_eq!(status, 200, "{done}");
    assert!(says(&done["result"]["notes"], "ACLs are not in it"), "{done}");
    let report = &done["result"]["report"];
    let figures =
        ["created", "data_changed", "acl_changed", "deleted"].map(|key| report[key].as_u64().unwrap());
    assert_eq!(figures, [6, 2, 0, 1], "{report}");

    let of_bob = vec![format!("ALL:digest:{BOB}")];
    let with = |data: &[u8], acl: &[String]| (data.to_vec(), acl.to_vec());
    let expected = [
        ("/app", with(b"new", &open.1)),
        ("/app/bytes", with(&every_byte, &open.1)),
        ("/app/empty", open.clone()),
        ("/app/grüße", with(b"line\r\nline\r", &open.1)),
        ("/app/grüße/łódź", with("zażółć".as_bytes(), &open.1)),
        ("/app/guarded", with(b"new", &of_bob)),
        ("/holder", open.clone()),
        ("/holder/content", with(b"a znode of this name", &open.1)),
    ];
    let mut now = dump(&outside).await;
    now.remove("/");
    assert_same(&expected.map(|(path, node)| (path.to_owned(), node)).into(), &now);

    // Nothing differs any more, from the live tree or from a backup of ours, which knows the ACLs.
    let live = get(&daemon_here, &format!("/diff?from={FULL}&to=live"));
    assert_eq!(counts(&live), [0; 4], "{live}");
    let ours = back_up(&daemon_here, "{}");
    let both = get(&daemon_here, &format!("/diff?from={FULL}&to={ours}"));
    assert_eq!(counts(&both), [0; 4], "{both}");
    let history = get(&daemon_here, "/history?path=/app/guarded");
    assert_eq!(history["changes"].as_array().unwrap().len(), 1, "{history}");
    let (_, verified) = daemon_here.do_job(&format!("/verify/{FULL}"), "").unwrap();
    assert_eq!(verified.status, 200, "{}", verified.text);
    let (_, tested) = daemon_here.do_job(&format!("/restoretest/{FULL}"), "").unwrap();
    assert_eq!(tested.status, 200, "{}", tested.text);
    assert!(daemon_here.describe(FULL).unwrap()["verified_at"].is_string());
    assert_eq!(left.contents(), before, "it was written into");

    let by_files = daemon_here.http.post(
        "/restore",
        &json!({ "vault": FULL, "strategy": "files" }).to_string(),
    );
    assert_eq!(by_files.unwrap().status, 400);
    let download = daemon_here.http.get(&format!("/backup/{FULL}")).unwrap();
    assert!(
        download.status == 400 && download.text.contains("predecessor"),
        "{}",
        download.text
    );

    drop(daemon_here);
    let daemon_again = daemon(&zookeeper.address(), storage.path(), &[]);
    assert_eq!(list(&daemon_again), [FULL.to_owned(), ours.clone()]);
    let evicted = daemon_again.http.post(&format!("/evict/{FULL}"), "").unwrap();
    assert_eq!(evicted.status, 200, "{}", evicted.text);
    assert!(!left.directory.exists());
    assert_eq!(list(&daemon_again), [ours]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_marks_say_what_is_good_what_is_pinned_and_what_is_of_some_znodes() {
    if left_out("the predecessor wrote to a directory") {
        return;
    }
    let zookeeper = server();
    let storage = tempfile::tempdir().unwrap();
    let root = storage.path();
    let good: &[(&str, &[u8])] = &[("/a", b"1"), ("/b", b"")];
    let granular = Left::new(&root.join("granular"), "20240101T000001");
    granular.znodes(&[("/a", b"1"), ("/a/below", b"2"), ("/b", b"")]);
    Left::new(root, "20240101T000002")
        .znodes(good)
        .mark(".evictlock", "");
    let failed =
        json!({ "exit_code": 1, "exception": "Traceback\n  line\nBackupProcessException: code 1\n" });
    Left::new(root, "20240101T000003")
        .metrics(&failed)
        .mark(".failed", "");
    Left::new(root, "20240101T000004").znodes(good).mark(".lock", "");
    Left::new(root, "20240101T000005").mark(".canceled", "");
    let without = Left::new(root, "20240101T000006");
    for mark in [".metrics", ".console"] {
        fs::remove_file(without.znodes(good).directory.join(mark)).unwrap();
    }
    Left::new(root, "20240101T000007"); // no archive
    Left::new(root, "20240101T000008").znodes(good);
    // Neither of ours nor of theirs: told as before.
    fs::create_dir(root.join("20240101T000009")).unwrap();
    fs::create_dir(root.join("restore_logs")).unwrap();

    let daemon = daemon(&zookeeper.address(), root, &[("EVICTION_POLICY", "1d/delete")]);
    let told: Vec<_> = (1..=9)
        .map(|n| daemon.describe(&format!("20240101T00000{n}")).unwrap())
        .collect();
    let standing = |n: usize| ["valid", "failed", "evictable"].map(|key| told[n - 1][key].as_bool().unwrap());
    assert_eq!(standing(1), [true, false, true], "{}", told[0]);
    assert_eq!(
        (&told[0]["db_list"], &told[0]["is_granular"]),
        (&json!(["a", "b"]), &json!(true))
    );
    assert_eq!(standing(2), [true, false, false], "{}", told[1]);
    assert_eq!(standing(3), [false, true, true], "{}", told[2]);
    assert!(
        says(&told[2]["exception"], "BackupProcessException: code 1"),
        "{}",
        told[2]
    );
    assert_eq!(standing(4), [false, true, true], "{}", told[3]);
    assert!(says(&told[3]["exception"], ".lock"), "{}", told[3]);
    assert_eq!(
        (standing(5), &told[4]["canceled"]),
        ([false, true, true], &json!(true))
    );
    assert_eq!(
        (standing(6), &told[5]["exit_code"]),
        ([false, true, true], &json!(2))
    );
    for (n, what) in [(7, "znodes.zip"), (9, "manifest.json")] {
        assert_eq!(standing(n), [false, true, false], "{}", told[n - 1]);
        assert!(says(&told[n - 1]["exception"], what), "{}", told[n - 1]);
    }
    assert_eq!(standing(8), [true, false, true], "{}", told[7]);

    // What failed holds nothing; what does not tell how it ended can be had.
    assert_eq!(restore(&daemon, "20240101T000003", "").0, 500);
    assert_eq!(restore(&daemon, "20240101T000006", r#", "dry_run": true"#).0, 200);
    // Only what was asked for is touched.
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/other", b"stays"), ("/a", b"0"), ("/a/extra", b"")]).await;
    let (status, done) = restore(&daemon, "20240101T000001", r#", "dbs": ["a"]"#);
    assert_eq!(status, 200, "{done}");
    let now = dump(&outside).await;
    assert_eq!(now.keys().collect::<Vec<_>>(), ["/", "/a", "/a/below", "/other"]);

    // The newest of them is of years ago, so the server asks whether its clock is right.
    let evicted = daemon.http.post("/evict?trust_clock=true", "").unwrap();
    assert_eq!(evicted.status, 200, "{}", evicted.text);
    // The newest good one stays whatever the rules say, and what is pinned or cannot be told.
    let stay = [
        "20240101T000001",
        "20240101T000002",
        "20240101T000006",
        "20240101T000007",
        "20240101T000008",
        "20240101T000009",
    ];
    assert_eq!(list(&daemon), stay);
    assert!(root.join("restore_logs").is_dir());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_granular_one_changes_nothing_above_and_beside_what_may_have_been_asked_for() {
    if left_out("the predecessor wrote to a directory") {
        return;
    }
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let live: &[(&str, &[u8])] = &[
        ("/a", b"live"),
        ("/a/b", b"old"),
        ("/a/b/extra", b""),
        ("/a/beside", b"stays"),
    ];
    plant(&outside, live).await;
    let mut expected = dump(&outside).await;
    let storage = tempfile::tempdir().unwrap();
    // As Go notes it: without an exit code.
    Left::new(&storage.path().join("granular"), FULL)
        .znodes(&[("/a", b""), ("/a/b", b"new"), ("/a/b/below", b"")])
        .metrics(&json!({ "spent_time": 9_312, "size": 25_283 }));
    let daemon = daemon(&zookeeper.address(), storage.path(), &[]);
    let told = daemon.describe(FULL).unwrap();
    assert_eq!(
        (&told["valid"], &told["db_list"]),
        (&json!(true), &json!(["a/b"])),
        "{told}"
    );
    let (status, done) = restore(&daemon, FULL, r#", "dbs": ["a"]"#);
    assert_eq!(status, 200, "{done}");
    expected.get_mut("/a/b").unwrap().0 = b"new".to_vec();
    let mut below = expected.remove("/a/b/extra").unwrap();
    below.0.clear();
    expected.insert("/a/b/below".to_owned(), below);
    assert_same(&expected, &dump(&outside).await);
    // No difference but what was not asked for.
    let ours = back_up(&daemon, "{}");
    let diff = get(&daemon, &format!("/diff?from={FULL}&to={ours}"));
    let counts = ["added", "removed", "data_changed"].map(|key| diff[key].as_u64().unwrap());
    assert_eq!(counts, [0; 3], "{diff}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_znode_whose_acl_keeps_us_out_keeps_it_and_is_named() {
    if left_out("the predecessor wrote to a directory") {
        return;
    }
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/open", b"old")]).await;
    for (path, others) in [("/seen", true), ("/hidden", false)] {
        let mut acl = vec![digest(zookeeper_async::Permission::ALL, BOB)];
        if others {
            acl.push(zookeeper_async::Acl::new(
                zookeeper_async::Permission::READ,
                "world",
                "anyone",
            ));
        }
        let mode = zookeeper_async::CreateMode::Persistent;
        outside.create(path, b"old".to_vec(), acl, mode).await.unwrap();
    }
    let mut expected = dump(&outside).await;
    let storage = tempfile::tempdir().unwrap();
    Left::new(storage.path(), FULL).znodes(&[("/open", b"new"), ("/seen", b"new"), ("/hidden", b"new")]);
    let daemon = daemon(&zookeeper.address(), storage.path(), &[]);
    let (status, done) = restore(&daemon, FULL, "");
    assert_eq!(status, 500, "{done}");
    let report = &done["result"]["report"];
    assert_eq!(
        (&report["failed"], &report["data_changed"]),
        (&json!(2), &json!(1)),
        "{done}"
    );
    assert!(
        says(&report["failures"], "/seen") && says(&report["failures"], "/hidden"),
        "{report}"
    );
    expected.get_mut("/open").unwrap().0 = b"new".to_vec();
    assert_same(&expected, &dump(&outside).await);
}
