//! Quotas limit again after a restore.

use serde_json::json;
use zk_backup_testkit::{Distribution, Proxy, SUPER_PASSWORD, Setup, ZooKeeper};
use zookeeper_client::{Acls, Client, CreateMode};

use crate::common::clients::client;
use crate::common::daemons::daemon;

const LIMITS: &str = "/zookeeper/quota/a/zookeeper_limits";
const STATISTICS: &str = "/zookeeper/quota/a/zookeeper_stats";

fn server() -> ZooKeeper {
    let setup = Setup {
        java: vec!["-Dzookeeper.enforceQuota=true".to_owned()],
        ..Setup::default()
    };
    ZooKeeper::start_with(&Distribution::locate().unwrap(), &setup)
        .unwrap()
        .0
}

/// As the command `setquota -N 4` does it, after which `/a` may have two children more.
async fn limited() -> ZooKeeper {
    let server = server();
    let outside = client(&server.address()).await;
    let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let limits = b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=4";
    for (path, data) in [
        ("/a", &b"data"[..]),
        ("/a/one", b""),
        ("/zookeeper/quota/a", b""),
        (LIMITS, limits),
        (STATISTICS, b"count=-1,bytes=-1"),
    ] {
        outside.create(path, data, &open).await.unwrap();
    }
    assert_eq!(so_many_fit(&outside).await, 2);
    for path in ["/a/more1", "/a/more2"] {
        outside.delete(path, None).await.unwrap();
    }
    server
}

/// How many children `/a` takes until the server refuses one.
async fn so_many_fit(outside: &Client) -> usize {
    let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
    for more in 1..10 {
        let created = outside.create(&format!("/a/more{more}"), b"", &open).await;
        if let Err(error) = created {
            assert_eq!(error, zookeeper_client::Error::QuotaExceeded);
            return more - 1;
        }
    }
    10
}

async fn come_back(mode: &str, driver: &str) {
    let from = limited().await;
    let (storage, data) = (tempfile::tempdir().unwrap(), from.data_directory());
    let settings = [
        ("ZOOKEEPER_DATA_DIR", data.to_str().unwrap()),
        ("ZOOKEEPER_DRIVER", driver),
    ];
    let daemon_there = daemon(&from.address(), storage.path(), &settings);
    let (id, state) = daemon_there
        .do_job("/backup", &json!({ "mode": mode }).to_string())
        .unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    drop((daemon_there, from));

    let empty = server();
    let daemon_here = daemon(&empty.address(), storage.path(), &settings);
    let restore = |body: serde_json::Value| {
        let (_, state) = daemon_here.do_job("/restore", &body.to_string()).unwrap();
        assert_eq!(state.status, 200, "{}", state.text);
        state.json()["result"]["report"].clone()
    };
    let body = json!({ "vault": id, "dbs": ["a", "zookeeper"] });
    restore(body.clone());
    let outside = client(&empty.address()).await;
    let (statistics, _) = outside.get_data(STATISTICS).await.unwrap();
    let statistics = String::from_utf8(statistics).unwrap();
    assert!(
        statistics.contains("count=2") && statistics.contains("bytes=4"),
        "{statistics}"
    );
    assert_eq!(so_many_fit(&outside).await, 2, "{mode}, {driver}");

    // What the server counts is no difference, and where there is no limit any more, nothing is left to count.
    let (limits, _) = outside.get_data(LIMITS).await.unwrap();
    let report = restore(json!({ "vault": id, "dbs": ["zookeeper"] }));
    for kind in ["created", "data_changed", "acl_changed", "deleted"] {
        assert_eq!(report[kind], 0, "{report}");
    }
    let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
    outside.create("/b", b"", &open).await.unwrap();
    for (path, data) in [
        ("/zookeeper/quota/b", &b""[..]),
        ("/zookeeper/quota/b/zookeeper_limits", &limits),
        ("/zookeeper/quota/b/zookeeper_stats", b""),
    ] {
        outside.create(path, data, &open).await.unwrap();
    }
    restore(body);
    let mut quotas = outside.list_children("/zookeeper/quota").await.unwrap();
    quotas.sort();
    assert_eq!(quotas, ["a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_a_hierarchical_backup_limit_again() {
    for driver in ["batched", "plain"] {
        come_back("hierarchical", driver).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_a_transactional_backup_limit_again() {
    come_back("transactional", "auto").await;
}

/// Quotas come last. When the ensemble is lost by then the job still says what was brought back before.
async fn lost_before_the_quotas(driver: &str) {
    let server = limited().await;
    let outside = client(&server.address()).await;
    let proxy = Proxy::start(&server.address()).unwrap();
    let storage = tempfile::tempdir().unwrap();
    let settings = [
        ("ZOOKEEPER_DRIVER", driver),
        ("ZOOKEEPER_TIMEOUT", "10"),
        ("ZOOKEEPER_DIGEST_USERNAME", "super"),
        ("ZOOKEEPER_DIGEST_PASSWORD", SUPER_PASSWORD),
    ];
    let through = daemon(proxy.address(), storage.path(), &settings);
    let (id, state) = through.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    for path in [LIMITS, STATISTICS, "/zookeeper/quota/a", "/a/one"] {
        outside.delete(path, None).await.unwrap();
    }
    outside.set_data("/a", b"changed", None).await.unwrap();
    proxy.hold_at(b"/zookeeper/quota");
    let body = json!({ "vault": id, "dbs": ["zookeeper", "a"] }).to_string();
    let (_, state) = through.do_job("/restore", &body).unwrap();
    let job = state.json();
    assert_eq!(state.status, 500, "{job}");
    let report = &job["result"]["report"];
    let figures = |report: &serde_json::Value| {
        ["created", "data_changed", "acl_changed", "deleted"].map(|kind| report[kind].clone())
    };
    assert_eq!(figures(report), [1, 1, 0, 0].map(|n| json!(n)), "{driver}: {job}");
    assert_eq!(
        report["differences"].as_array().unwrap().len(),
        2,
        "{driver}: {job}"
    );
    let message = job["message"].as_str().unwrap();
    assert!(
        message.contains("2 changes were made before"),
        "{driver}: {message}"
    );
    assert_eq!(outside.get_data("/a").await.unwrap().0, b"data");
    assert!(outside.check_stat("/a/one").await.unwrap().is_some());
    assert!(outside.check_stat("/zookeeper/quota/a").await.unwrap().is_none());
    drop(through);

    let direct = daemon(&server.address(), storage.path(), &settings);
    let (_, state) = direct.do_job("/restore", &body).unwrap();
    let job = state.json();
    assert_eq!(state.status, 200, "{job}");
    let report = &job["result"]["report"];
    assert_eq!(figures(report), [3, 0, 0, 0].map(|n| json!(n)), "{driver}: {job}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_is_cut_off_before_the_quotas_says_what_it_did() {
    for driver in ["batched", "plain"] {
        lost_before_the_quotas(driver).await;
    }
}

/// What the backup lacks, and what would go to one place, is found before anything is written, though quotas come last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_that_cannot_be_restored_refuses_the_restore_as_a_whole() {
    let server = limited().await;
    let outside = client(&server.address()).await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&server.address(), storage.path(), &[]);
    let (id, state) = daemon.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    outside.set_data("/a", b"changed", None).await.unwrap();
    outside.delete("/a/one", None).await.unwrap();
    for (mut body, why) in [
        (
            json!({ "dbs": ["a", "zookeeper/quota/nowhere"] }),
            "no znode /zookeeper/quota/nowhere",
        ),
        (
            json!({ "dbs": ["a", "zookeeper/quota/a"], "changeDbNames": { "zookeeper/quota/a": "a" } }),
            "/a would be restored from two places",
        ),
    ] {
        body["vault"] = json!(id);
        let (_, state) = daemon.do_job("/restore", &body.to_string()).unwrap();
        let job = state.json();
        assert_eq!(state.status, 500, "{job}");
        let message = job["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
        assert_eq!(outside.get_data("/a").await.unwrap().0, b"changed", "{job}");
        assert!(outside.check_stat("/a/one").await.unwrap().is_none(), "{job}");
    }
}
