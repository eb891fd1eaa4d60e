//! The command line and a server's jobs: what is tested, called off, evicted, in use; and what scripts read of it.

use std::net::TcpListener;

use serde_json::{Value, json};
use zk_backup_testkit::Daemon;

use crate::common::buckets::as_if_scheduled;
use crate::common::cli::{Cli, lines};
use crate::common::clients::observer;
use crate::common::daemons::{daemon, health_with_zookeeper, until};
use crate::common::servers::{nobody, server};
use crate::common::trees::{assert_same, dump, plant};

/// What each of them is, in their order.
fn types(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["message_type"].as_str().unwrap())
        .collect()
}

/// What each of them has there.
fn each<'a>(lines: &'a [Value], field: &str) -> Vec<&'a str> {
    lines.iter().map(|line| line[field].as_str().unwrap()).collect()
}

fn state_of(daemon: &Daemon, job: &str) -> Value {
    daemon.http.get(&format!("/jobstatus/{job}")).unwrap().json()["status"].clone()
}

/// A ZooKeeper that takes connections and says nothing keeps the first job at work, and the second one waiting.
#[test]
fn what_is_in_use_is_not_touched_and_jobs_are_called_off() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let storage = tempfile::tempdir().unwrap();
    let settings = [("SHUTDOWN_GRACE", "0"), ("ZOOKEEPER_TIMEOUT", "600")];
    let served = daemon(&address, storage.path(), &settings);
    let cli = Cli::of_server(&served);
    let running = cli.ok(&["backup"]).trim().to_owned();
    until("the first job begins", || {
        state_of(&served, &running) == "Processing"
    });
    let waiting = cli.ok(&["backup", "--root", "/a"]).trim().to_owned();

    let jobs = cli.json(&["jobs"]);
    assert_eq!(types(&jobs), ["job", "job"]);
    let mut told: Vec<_> = each(&jobs, "task_id")
        .into_iter()
        .zip(each(&jobs, "status"))
        .collect();
    told.sort_unstable();
    assert_eq!(told, [(&*running, "Processing"), (&*waiting, "Queued")]);

    for id in [&running, &waiting] {
        for args in [
            &["evict", id][..],
            &["evict", id, "--dry-run"],
            &["pin", id],
            &["unpin", id],
        ] {
            let (out, why) = cli.ends(11, args);
            assert_eq!(out, "", "{args:?}");
            assert!(
                why.contains(&**id) && why.ends_with(": wait until that job has ended\n"),
                "{args:?}: {why}"
            );
        }
        let (_, error) = cli.ends(11, &["evict", id, "--json"]);
        let error = &lines(&error)[0];
        assert_eq!(
            (&error["message_type"], &error["code"], &error["exit_code"]),
            (&json!("error"), &json!("backup_in_use"), &json!(11))
        );
    }

    let said = cli.ok(&["cancel", &waiting]);
    assert_eq!(
        said,
        format!("{waiting} is called off; `zk-backup watch {waiting}` says when it has ended\n")
    );
    assert_eq!(state_of(&served, &waiting), "Canceled");
    let told = served.http.get(&format!("/jobstatus/{waiting}")).unwrap().json();
    assert_eq!(told["message"], "it was called off while it waited", "{told}");
    assert_eq!(state_of(&served, &running), "Processing", "the other one goes on");
    let said = cli.json(&["cancel", &running]);
    assert_eq!(types(&said), ["canceled"]);
    assert_eq!(said[0]["task_id"], *running);
    for id in [&running, &waiting] {
        let (told, _) = cli.ends(1, &["watch", id]);
        let state = told.lines().find(|line| line.starts_with("state "));
        assert!(state.is_some_and(|line| line.ends_with(" Canceled")), "{told}");
        let (_, why) = cli.ends(1, &["cancel", id]);
        assert!(why.contains("ended"), "{why}");
    }
    cli.ends(10, &["cancel", "20200101T000000"]);
}

#[test]
fn the_policies_evict_what_a_dry_run_names() {
    let zookeeper = server();
    let storage = tempfile::tempdir().unwrap();
    let mut served = daemon(
        &zookeeper.address(),
        storage.path(),
        &[("EVICTION_POLICY", "9y/delete")],
    );
    let [first, second, third] = [(); 3].map(|()| Cli::of_server(&served).back_up(&[]));
    served.kill();
    // What was asked for by hand would stay for a day.
    as_if_scheduled(storage.path());
    let served = daemon(
        &zookeeper.address(),
        storage.path(),
        &[("EVICTION_POLICY", "1/delete")],
    );
    let cli = Cli::of_server(&served);
    let there = || served.http.get("/listbackups").unwrap().json();

    let told = cli.json(&["evict", "--dry-run"]);
    assert_eq!(types(&told), ["eviction"; 3]);
    let actions: Vec<_> = each(&told, "id").into_iter().zip(each(&told, "action")).collect();
    assert_eq!(
        actions,
        [(&*first, "evict"), (&*second, "evict"), (&*third, "keep")]
    );
    let table = cli.ok(&["evict", "--dry-run"]);
    for (line, decision) in table.lines().skip(1).zip(&told) {
        for field in ["id", "action", "reason"] {
            assert!(line.contains(decision[field].as_str().unwrap()), "{table}");
        }
    }
    assert_eq!(table.lines().count(), 4, "{table}");
    let named = cli.json(&["evict", &third, "--dry-run"]);
    assert_eq!(
        (each(&named, "id"), each(&named, "action")),
        (vec![&*third], vec!["evict"])
    );
    assert_eq!(there(), json!([first, second, third]));

    let said = cli.ok(&["evict"]);
    assert_eq!(
        said,
        format!("backup {first} is removed\nbackup {second} is removed\n")
    );
    assert_eq!(there(), json!([third]));
    let said = cli.json(&["evict"]);
    assert_eq!(
        (types(&said), &said[0]["id"], &said[0]["ids"]),
        (vec!["evicted"], &Value::Null, &json!([]))
    );
    assert!(cli.ok(&["evict"]).starts_with("the policies let nothing go"));
    assert_eq!(there(), json!([third]));
    let said = cli.json(&["evict", &third]);
    assert_eq!((types(&said), &said[0]["id"]), (vec!["evicted"], &json!(third)));
    assert_eq!(there(), json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_tested_and_scripts_read_lines_of_json() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/a", b"1"), ("/a/b", b"2")]).await;
    let storage = tempfile::tempdir().unwrap();
    let served = daemon(&zookeeper.address(), storage.path(), &[]);
    let cli = Cli::of_server(&served);
    let id = cli.back_up(&[]);
    let tested = || cli.json(&["show", &id])[0]["tested_at"].clone();
    assert_eq!(tested(), Value::Null);
    let told = cli.ok(&["restoretest", &id]);
    assert!(told.lines().any(|line| line.starts_with("znodes: ")), "{told}");
    let last = told.lines().last().unwrap();
    assert!(
        last.starts_with("restoretest ") && last.ends_with(" is well"),
        "{told}"
    );
    assert!(tested().is_string());
    let told = cli.json(&["restoretest", "latest"]);
    let (job, before) = told.split_last().unwrap();
    assert_eq!(
        (&job["message_type"], &job["status"], &job["vault"]),
        (&json!("job"), &json!("Successful"), &json!(id))
    );
    assert!(types(before).iter().all(|kind| *kind == "status"), "{before:?}");
    cli.ends(10, &["restoretest", "20200101T000000"]);

    outside.set_data("/a/b", b"3".to_vec(), None).await.unwrap();
    let plan = cli.json(&["restore", &id, "--dry-run"]);
    assert_eq!(types(&plan), ["plan"]);
    assert_eq!(plan[0]["result"]["report"]["data_changed"], 1, "{plan:?}");
    assert_eq!(outside.get_data("/a/b", false).await.unwrap().0, b"3");
    let done = cli.json(&["restore", &id, "--yes"]);
    let (job, before) = done.split_last().unwrap();
    assert_eq!(
        (&job["message_type"], &job["type"], &job["status"]),
        (&json!("job"), &json!("restore"), &json!("Successful"))
    );
    let (plan, states) = before.split_first().unwrap();
    assert_eq!(plan["message_type"], "plan");
    assert!(types(states).iter().all(|kind| *kind == "status"), "{states:?}");
    assert_eq!(outside.get_data("/a/b", false).await.unwrap().0, b"2");

    // Its first look at ZooKeeper may take longer than a report waits for it.
    health_with_zookeeper(&served);
    let status = cli.json(&["status"]);
    assert_eq!(
        (types(&status), &status[0]["status"]),
        (vec!["health"], &json!("UP"))
    );
    assert_eq!(types(&cli.json(&["status", "--live"])), ["live"]);
    let jobs = cli.json(&["jobs"]);
    assert!(types(&jobs).iter().all(|kind| *kind == "job"), "{jobs:?}");
    let kinds = each(&jobs, "type");
    for (kind, times) in [("backup", 1), ("restoretest", 2), ("restore", 2)] {
        let found = kinds.iter().filter(|found| **found == kind).count();
        assert!(found >= times, "{kind}: {kinds:?}");
    }
}

/// A backup is not proved by a test that could not be made.
#[test]
fn a_test_that_fails_says_so_by_its_end() {
    let zookeeper = server();
    let storage = tempfile::tempdir().unwrap();
    let (second, timeout) = (("RESTORE_TEST_HOST", &*nobody()), ("ZOOKEEPER_TIMEOUT", "1"));
    let served = daemon(&zookeeper.address(), storage.path(), &[second, timeout]);
    let cli = Cli::of_server(&served);
    let id = cli.back_up(&[]);
    let (told, why) = cli.ends(1, &["restoretest", &id]);
    assert!(!told.contains("is well"), "{told}");
    assert!(why.contains("restoretest ") && why.contains(" failed: "), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_of_a_copy_changes_nothing() {
    let (from, to) = (server(), server());
    let (source, target) = (observer(&from).await, observer(&to).await);
    plant(&source, &[("/config", b"3"), ("/config/a", b"a")]).await;
    plant(&target, &[("/config", b"0"), ("/more", b"m")]).await;
    let before = dump(&target).await;
    let (from, to) = (from.address(), to.address());
    let copy = ["copy", "--from", &from, "--to", &to, "--dry-run"];
    let plan = Cli::alone().ok(&copy);
    for line in ["+ /config/a\n", "~ /config  (data)\n", "- /more\n"] {
        assert!(plan.contains(line), "{plan}");
    }
    let told = Cli::alone().json(&copy);
    assert_eq!(told.last().unwrap()["message_type"], "plan");
    // Nobody has to agree to what only looks, and who agrees beforehand changes nothing by it.
    Cli::alone().ok(&[&copy[..], &["--yes"]].concat());
    assert_same(&before, &dump(&target).await);
}
