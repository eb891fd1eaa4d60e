//! Restores by files: what is compared afterwards, and what earlier backups still say.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use zk_backup_testkit::{Distribution, Ensemble, ZooKeeper};
use zookeeper_client::{Acl, Acls, AuthId, CreateMode, Permission};

use crate::common::buckets::as_if_scheduled;
use crate::common::clients::client;
use crate::common::daemons::{COMMAND, daemon, recover, recovery_settings, until};
use crate::common::servers::{busy, start};
use crate::common::snapshots::take_snapshot;
use crate::common::trees::plant_all_kinds;

async fn begin_with(server: &mut ZooKeeper, files: &Path) {
    server.replace_data(files).unwrap();
    server.restart().unwrap();
}

fn only(user: &str) -> [Acl; 1] {
    [Acl::new(
        Permission::ALL,
        AuthId::new("digest", &format!("{user}:ZWxzZXdoZXJlIQ==")),
    )]
}

/// After a rollback the same znode may get the same version of its access control list for another list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_backups_know_of_a_lost_history_is_not_relied_on() {
    let mut server = start(&busy());
    plant_all_kinds(&client(&server.address()).await).await;
    let (storage, data) = (tempfile::tempdir().unwrap(), server.data_directory());
    let daemon_here = daemon(
        &server.address(),
        storage.path(),
        &recovery_settings(data.to_str().unwrap(), COMMAND),
    );
    let (first, _) = take_snapshot(&daemon_here);
    let outside = client(&server.address()).await;
    outside.set_acl("/plain", &only("ann"), None).await.unwrap();
    let (before, state) = daemon_here.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let body = json!({ "vault": first, "strategy": "files" });
    let restart = async |files: &Path| begin_with(&mut server, files).await;
    let (status, result) = recover(&daemon_here, storage.path(), &body, restart).await;
    assert_eq!(status, 200, "{result}");

    let outside = client(&server.address()).await;
    outside.set_acl("/plain", &only("eve"), None).await.unwrap();
    let (after, state) = daemon_here.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let path = format!("/listbackups/{after}/znode?path=/plain");
    let saved = daemon_here.http.get(&path).unwrap();
    assert!(saved.text.contains("eve:"), "{}", saved.text);
    let differences = daemon_here
        .http
        .get(&format!("/diff?from={before}&to=live"))
        .unwrap();
    assert_eq!(differences.json()["acl_changed"], 1, "{}", differences.text);
    let (_, state) = daemon_here
        .do_job("/restore", &json!({ "vault": before }).to_string())
        .unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let (acl, _) = outside.get_acl("/plain").await.unwrap();
    assert_eq!(acl, only("ann"));
}

/// So it is for what was backed up, in either mode, while the files lay there for people to use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_backed_up_before_people_use_the_files_is_of_the_lost_history() {
    let mut server = start(&busy());
    plant_all_kinds(&client(&server.address()).await).await;
    let (storage, data) = (tempfile::tempdir().unwrap(), server.data_directory());
    let mut settings = recovery_settings(data.to_str().unwrap(), COMMAND);
    settings[1].1 = ""; // people do it
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let (first, _) = take_snapshot(&daemon_here);
    let body = json!({ "vault": first, "strategy": "files" }).to_string();
    let (_, state) = daemon_here.do_job("/restore", &body).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let outside = client(&server.address()).await;
    outside.set_acl("/plain", &only("ann"), None).await.unwrap();
    let (before, _) = take_snapshot(&daemon_here);
    let files = storage.path().join("recover");
    begin_with(&mut server, &files).await;
    fs::remove_dir_all(&files).unwrap();
    let outside = client(&server.address()).await;
    outside.set_acl("/plain", &only("eve"), None).await.unwrap();
    let differences = daemon_here
        .http
        .get(&format!("/diff?from={before}&to=live"))
        .unwrap();
    assert_eq!(differences.json()["acl_changed"], 1, "{}", differences.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_servers_delete_by_themselves_is_no_difference() {
    let mut setup = busy();
    setup
        .java
        .push("-Dznode.container.checkIntervalMs=200".to_owned());
    let mut server = start(&setup);
    let outside = client(&server.address()).await;
    let open = Acls::anyone_all();
    let create = async |path: &str, mode| outside.create(path, b"", &mode).await.unwrap();
    create("/kept", CreateMode::Persistent.with_acls(open)).await;
    create("/locks", CreateMode::Container.with_acls(open)).await;
    create("/locks/mine", CreateMode::Ephemeral.with_acls(open)).await;
    let (storage, data) = (tempfile::tempdir().unwrap(), server.data_directory());
    let daemon_here = daemon(
        &server.address(),
        storage.path(),
        &recovery_settings(data.to_str().unwrap(), COMMAND),
    );
    let ttl = CreateMode::Persistent
        .with_acls(open)
        .with_ttl(Duration::from_secs(20));
    create("/brief", ttl).await;
    let (id, info) = take_snapshot(&daemon_here);
    assert_eq!(info["kinds"]["ttl"], 1, "{info:?}");
    drop(outside);
    let body = json!({ "vault": id, "strategy": "files" });
    let restart = async |files: &Path| {
        begin_with(&mut server, files).await;
        let outside = client(&server.address()).await;
        let deadline = Instant::now() + Duration::from_secs(90);
        for path in ["/locks", "/brief"] {
            while outside.check_stat(path).await.unwrap().is_some() {
                assert!(Instant::now() < deadline, "{path} stays");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    let (status, state) = recover(&daemon_here, storage.path(), &body, restart).await;
    assert_eq!(status, 200, "{state}");
    assert_eq!(state["result"]["gone_by_themselves"], 2, "{state}");
    assert!(
        state["result"]["notes"][0].as_str().unwrap().contains("TTL"),
        "{state}"
    );

    // What nobody deletes has to be there.
    drop(daemon_here);
    let mut settings = recovery_settings(data.to_str().unwrap(), COMMAND);
    settings[2].1 = "30";
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let restart = async |files: &Path| {
        begin_with(&mut server, files).await;
        client(&server.address())
            .await
            .delete("/kept", None)
            .await
            .unwrap();
    };
    let (status, state) = recover(&daemon_here, storage.path(), &body, restart).await;
    assert_eq!(status, 500, "{state}");
    let why = state["message"].as_str().unwrap();
    assert!(why.contains("1 znodes are not as in the backup"), "{why}");
}

/// Success is not told of servers that nobody has looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_cannot_be_compared_are_told() {
    let mut ensemble = Ensemble::start(&Distribution::locate().unwrap(), &busy()).unwrap();
    let first = ensemble.servers()[0].address();
    plant_all_kinds(&client(&first).await).await;
    let (storage, data) = (
        tempfile::tempdir().unwrap(),
        ensemble.servers()[0].data_directory(),
    );
    let daemon_here = daemon(
        &first,
        storage.path(),
        &recovery_settings(data.to_str().unwrap(), COMMAND),
    );
    let (id, _) = take_snapshot(&daemon_here);
    let body = json!({ "vault": id, "strategy": "files" });
    let restart = async |files: &Path| ensemble.begin_with(files).unwrap();
    let (status, state) = recover(&daemon_here, storage.path(), &body, restart).await;
    assert_eq!(status, 500, "{state}");
    let why = state["message"].as_str().unwrap();
    assert!(why.contains(&first) && why.contains("it has 3 servers"), "{why}");
}

/// A command may leave servers behind that go on writing to its output, and ends with all it started when it is late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_command_has_started_stays_unless_it_is_late() {
    let server = start(&busy());
    plant_all_kinds(&client(&server.address()).await).await;
    let (storage, data) = (tempfile::tempdir().unwrap(), server.data_directory());
    let pid = storage.path().join("pid");
    let process = || fs::read_to_string(&pid).unwrap().trim().parse::<u32>().unwrap();
    let is_there = |process: u32| {
        Path::new(&format!("/proc/{process}/fd"))
            .read_dir()
            .is_ok_and(|mut fds| fds.next().is_some())
    };
    let started = "sleep 1000 & echo $! > \"$RECOVER_DIR/../pid\"";
    for late in [false, true] {
        let command = if late {
            format!("{started}; echo hanging; wait")
        } else {
            started.to_owned()
        };
        let mut settings = recovery_settings(data.to_str().unwrap(), &command);
        if late {
            settings[2].1 = "4";
        }
        let daemon_here = daemon(&server.address(), storage.path(), &settings);
        let (id, _) = take_snapshot(&daemon_here);
        let body = json!({ "vault": id, "strategy": "files" }).to_string();
        let (_, state) = daemon_here.do_job("/restore", &body).unwrap();
        assert_eq!(state.status, if late { 500 } else { 200 }, "{}", state.text);
        if late {
            until("it is ended", || !is_there(process()));
            assert!(
                state.text.contains("did not end in time: hanging"),
                "{}",
                state.text
            );
        } else {
            assert!(is_there(process()));
            let killed = std::process::Command::new("kill")
                .arg(process().to_string())
                .status();
            assert!(killed.unwrap().success());
        }
    }
}

/// A restore that was interrupted may have left its command running, which must not do its work on the files of the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_was_left_running_is_ended_by_the_next_restore() {
    let server = start(&busy());
    plant_all_kinds(&client(&server.address()).await).await;
    let (storage, data) = (tempfile::tempdir().unwrap(), server.data_directory());
    let (asked, quick) = (storage.path().join("asked"), storage.path().join("quick"));
    let command = "echo $$ > \"$RECOVER_DIR/../asked\"; [ -e \"$RECOVER_DIR/../quick\" ] || sleep 1000; true";
    let settings = recovery_settings(data.to_str().unwrap(), command);
    let mut daemon_here = daemon(&server.address(), storage.path(), &settings);
    let (id, _) = take_snapshot(&daemon_here);
    let body = json!({ "vault": id, "strategy": "files" }).to_string();
    let task = daemon_here.http.post("/restore", &body).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let process = loop {
        let said = fs::read_to_string(&asked).unwrap_or_default();
        match said.trim().parse::<u32>() {
            Ok(process) if storage.path().join("recover.pid").exists() => break process,
            _ => assert!(Instant::now() < deadline, "{}", daemon_here.said()),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    daemon_here.kill();
    let runs = || fs::read_to_string(format!("/proc/{process}/cmdline")).is_ok_and(|line| !line.is_empty());
    assert!(runs(), "killing the server does not end it");

    fs::write(quick, b"").unwrap();
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    assert_eq!(daemon_here.wait_for_job(&task.text).unwrap().status, 500);
    let (_, state) = daemon_here.do_job("/restore", &body).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    assert!(!runs());
    assert!(!storage.path().join("recover.pid").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_a_waiting_restore_needs_is_never_removed() {
    let mut server = start(&busy());
    plant_all_kinds(&client(&server.address()).await).await;
    let (storage, data) = (tempfile::tempdir().unwrap(), server.data_directory());
    let mut settings = recovery_settings(data.to_str().unwrap(), COMMAND);
    settings[3] = ("GRANULAR_EVICTION_POLICY", "1y/delete");
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let take = || {
        let (id, state) = daemon_here.do_job("/backup", r#"{"dbs": ["plain"]}"#).unwrap();
        assert_eq!(state.status, 200, "{}", state.text);
        id
    };
    let (needed, _newest) = (take(), take());
    let (first, _) = take_snapshot(&daemon_here);
    drop(daemon_here);
    as_if_scheduled(storage.path());
    settings[3].1 = "0/delete";
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let body = json!({ "vault": first, "strategy": "files" });
    let mut waiting = String::new();
    let restart = async |files: &Path| {
        let body = json!({ "vault": needed, "dbs": ["plain"] }).to_string();
        waiting = daemon_here.http.post("/restore", &body).unwrap().text;
        let refused = daemon_here.http.post(&format!("/evict/{needed}"), "").unwrap();
        assert_eq!(refused.status, 409, "{}", refused.text);
        assert_eq!(daemon_here.http.post("/evict", "").unwrap().status, 200);
        let left = daemon_here.http.get("/listbackups").unwrap().text;
        assert!(left.contains(&needed), "{left}");
        begin_with(&mut server, files).await;
    };
    let (status, state) = recover(&daemon_here, storage.path(), &body, restart).await;
    assert_eq!(status, 200, "{state}");
    let state = daemon_here.wait_for_job(&waiting).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    assert_eq!(daemon_here.http.post("/evict", "").unwrap().status, 200);
    let left = daemon_here.http.get("/listbackups").unwrap().text;
    assert!(!left.contains(&needed), "{left}");
}
