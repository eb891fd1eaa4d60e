//! The runbooks of `docs/OPERATIONS.md`, gone through as they stand there: what is typed, in one shell after the other, and what comes of it.

use std::fs;

use zk_backup_testkit::{Proxy, SUPER_PASSWORD, Walk, blocks};
use zookeeper_async::{CreateMode, Permission, ZooKeeper as Client};

use crate::common::cli::PROGRAMS;
use crate::common::clients::{APP, digest, observer};
use crate::common::daemons::{health_with_zookeeper, wait_until_held};
use crate::common::operator::{Operator, daemon, part};
use crate::common::servers::{busy, server, start};
use crate::common::trees::plant;

async fn data(client: &Client, path: &str) -> Option<Vec<u8>> {
    client.get_data(path, false).await.ok().map(|(data, _)| data)
}

/// What somebody does who should not.
async fn break_it(outside: &Client) {
    outside
        .set_data("/config/retries", b"0".to_vec(), None)
        .await
        .unwrap();
    outside.delete("/config/gone", None).await.unwrap();
    plant(outside, &[("/config/new", b""), ("/config/new/below", b"")]).await;
}

async fn assert_broken(outside: &Client) {
    assert_eq!(data(outside, "/config/retries").await.as_deref(), Some(&b"0"[..]));
    assert_eq!(data(outside, "/config/gone").await, None);
    assert!(data(outside, "/config/new/below").await.is_some());
}

async fn assert_whole(outside: &Client) {
    assert_eq!(data(outside, "/config/retries").await.as_deref(), Some(&b"3"[..]));
    assert!(data(outside, "/config/gone").await.is_some());
    assert_eq!(data(outside, "/config/new").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_backed_up_made_and_undone() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let planted: [(&str, &[u8]); 4] = [
        ("/config", b""),
        ("/config/retries", b"3"),
        ("/config/gone", b""),
        ("/config/stays", b""),
    ];
    plant(&outside, &planted).await;
    let place = tempfile::tempdir().unwrap();
    let walk = Walk::new(place.path(), PROGRAMS, Vec::new());
    let daemon = daemon(&walk, &zookeeper.address(), &place.path().join("zk-backup"), "");
    let operator = Operator::new(&walk, &daemon, Vec::new());

    operator.does("Back up before a change", 0, ["Successful"]);
    let id = operator.id();
    operator.means("20261126T022515", &id);
    operator.does("Choose a backup", 0, [&id, r#""differences":[]"#, ""]);

    break_it(&outside).await;
    operator.does("Restore one subtree", 0, ["Successful"]);
    assert_broken(&outside).await;
    let out = operator.does("Restore one subtree", 1, ["Successful"]);
    assert_whole(&outside).await;
    let (_, rest) = out.split_once(r#""backup_first":""#).unwrap();
    operator.means("<backup_first>", rest.split('"').next().unwrap());
    operator.does("Undo a restore", 0, ["Successful"]);
    assert_broken(&outside).await;
    operator.does("Restore everything online", 0, ["Successful"]);
    assert_broken(&outside).await;
    operator.does("Restore everything online", 1, ["Successful"]);
    assert_whole(&outside).await;
    operator.does("A restore failed", 0, [r#""failed":0"#]);
    operator.does("Back up before a change", 1, ["successfully removed"]);
    assert!(!operator.types("get /listbackups").contains(&id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_are_looked_after() {
    let zookeeper = server();
    plant(&observer(&zookeeper).await, &[("/config", b"")]).await;
    let place = tempfile::tempdir().unwrap();
    let (storage, safe) = (place.path().join("zk-backup"), place.path().join("safe"));
    fs::create_dir(&safe).unwrap();
    let walk = Walk::new(place.path(), PROGRAMS, Vec::new());
    let mut daemon_here = daemon(&walk, &zookeeper.address(), &storage, "");
    let instead = vec![
        ("/var/lib/zk-backup", storage.to_str().unwrap().to_owned()),
        ("/mnt/safe", safe.to_str().unwrap().to_owned()),
        ("<pid>", daemon_here.id().to_string()),
    ];
    let operator = Operator::new(&walk, &daemon_here, instead.clone());

    operator.does("Back up before a change", 0, ["Successful"]);
    let id = operator.id();
    operator.means("20261126T022515", &id);
    operator.does("A backup failed", 0, [&id]);
    operator.does("A backup is damaged", 0, ["verified_at"]);
    operator.does("Prove that a backup restores", 0, ["tested_at"]);
    operator.does("A backup is partial", 0, [r#""unreadable":0"#, "Successful"]);
    assert_ne!(operator.id(), id);
    operator.does("Health says Warning, or names problems", 0, ["200"]);
    operator.types(&format!("id={id}; post /listbackups/$id/unpin"));
    operator.does("A note cannot be read", 0, [""]);
    let pinned = operator.types("get /listbackups/$id");
    assert!(pinned.contains(r#""evictable":false"#), "{pinned}");
    operator.does("The disk is full", 0, [r#""Ok""#]);
    operator.does("The clock moved", 0, [r#""Ok""#]);
    let secure = "Secure it: TLS, credentials, files";
    let scripts = blocks(part(secure));
    let hangup = scripts.iter().find(|(_, script)| script.contains("kill -HUP"));
    operator.types(hangup.unwrap().1);
    daemon_here.wait_for_line("were read again").unwrap();

    let copying = "Copy backups away and back";
    operator.does(copying, 0, [""]);
    operator.does("Back up before a change", 1, ["successfully removed"]);
    operator.types("kill <pid>");
    assert!(daemon_here.wait_for_end().unwrap().success());
    operator.does(copying, 1, [""]);
    let daemon_here = daemon(&walk, &zookeeper.address(), &storage, "");
    let operator = Operator::new(&walk, &daemon_here, instead);
    let there = operator.types(&format!("get /listbackups/{id}"));
    assert!(there.contains(r#""valid":true"#), "{there}");
    let checked = operator.types(&format!(
        "cd /var/lib/zk-backup/{id} && sha256sum -c manifest.json.sha256"
    ));
    assert!(checked.contains("OK"), "{checked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ensemble_that_is_lost_begins_with_the_files() {
    let mut zookeeper = start(&busy());
    plant(&observer(&zookeeper).await, &[("/config", b"3")]).await;
    let place = tempfile::tempdir().unwrap();
    let storage = place.path().join("zk-backup");
    let walk = Walk::new(place.path(), PROGRAMS, Vec::new());
    let data_dir = zookeeper.data_directory().parent().unwrap().display().to_string();
    let daemon = daemon(
        &walk,
        &zookeeper.address(),
        &storage,
        &format!("ZOOKEEPER_DATA_DIR='{data_dir}'"),
    );
    let instead = vec![
        ("<STORAGE>", storage.to_str().unwrap().to_owned()),
        ("<dataDir>", data_dir),
        ("chown -R zookeeper:", "chown -R \"$(id -u)\"".to_owned()),
    ];
    let operator = Operator::new(&walk, &daemon, instead);
    operator.does("Take transactional backups", 0, ["Successful"]);
    let lost = "The ensemble is lost: restore by files";
    operator.does(lost, 0, [r#""steps":["#]);
    plant(&observer(&zookeeper).await, &[("/later", b"")]).await;
    operator.does(lost, 1, ["Successful"]);
    zookeeper.kill();
    operator.types("mv <dataDir>/version-2 aside; mkdir <dataDir>/version-2");
    operator.does(lost, 2, [""]);
    zookeeper.restart().unwrap();
    let outside = observer(&zookeeper).await;
    assert_eq!(data(&outside, "/config").await.as_deref(), Some(&b"3"[..]));
    assert_eq!(data(&outside, "/later").await, None);
}

/// What the killed server was to write next never comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_was_interrupted_is_finished_and_its_way_back_found() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let closed = vec![digest(Permission::ALL, APP)];
    for path in ["/p", "/p/a", "/p/b"] {
        let created = outside.create(path, Vec::new(), closed.clone(), CreateMode::Persistent);
        created.await.unwrap();
    }
    plant(&outside, &[("/p/a/n", b"0123456789"), ("/p/b/n", b"0123456789")]).await;
    let place = tempfile::tempdir().unwrap();
    let storage = place.path().join("zk-backup");
    let walk = Walk::new(place.path(), PROGRAMS, Vec::new());
    let proxy = Proxy::start(&zookeeper.address()).unwrap();
    let as_super = format!("ZOOKEEPER_DIGEST_USERNAME=super ZOOKEEPER_DIGEST_PASSWORD={SUPER_PASSWORD}");
    let first = daemon(&walk, proxy.address(), &storage, &as_super);
    let operator = Operator::new(&walk, &first, Vec::new());
    operator.does("Back up before a change", 0, ["Successful"]);
    let id = operator.id();
    for path in ["/p/a/n", "/p/b/n", "/p/a", "/p/b"] {
        outside.delete(path, None).await.unwrap();
    }
    proxy.hold_at(b"0123456789");
    let asked = format!(r#"post /restore '{{"vault": "{id}", "dbs": ["p"], "backup_first": true}}'"#);
    let task = operator.types(&asked).trim().to_owned();
    wait_until_held(&proxy, &first);
    drop(first); // kills it
    assert_eq!(data(&outside, "/p/a/n").await, None);

    let second = daemon(&walk, &zookeeper.address(), &storage, &as_super);
    health_with_zookeeper(&second);
    let instead = vec![("<id>", id.clone()), ("<task>", task.clone())];
    let operator = Operator::new(&walk, &second, instead);
    let interrupted = "A restore was interrupted";
    operator.does(interrupted, 0, [&*task, "Successful", &*task]);
    assert_eq!(
        data(&outside, "/p/a/n").await.as_deref(),
        Some(&b"0123456789"[..])
    );
    let (list, _) = outside.get_acl("/p/a").await.unwrap();
    assert_eq!(list, closed);
    let health = operator.types("get /health");
    assert!(
        !health.contains("unfinished") && !health.contains(&task),
        "{health}"
    );
    let ways_back = operator.does(interrupted, 2, [&*id]);
    assert_eq!(ways_back.lines().count(), 1, "{ways_back}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_dropped_and_the_rest_goes_on() {
    let zookeeper = server();
    plant(&observer(&zookeeper).await, &[("/config", b"")]).await;
    let place = tempfile::tempdir().unwrap();
    let walk = Walk::new(place.path(), PROGRAMS, Vec::new());
    let proxy = Proxy::start(&zookeeper.address()).unwrap();
    // What is held back is waited for as long as the commands take.
    let storage = place.path().join("zk-backup");
    let mut daemon = daemon(&walk, proxy.address(), &storage, "ZOOKEEPER_TIMEOUT=600");
    let operator = Operator::new(&walk, &daemon, vec![("<pid>", daemon.id().to_string())]);
    proxy.hold_after(0);
    operator.types("id=$(post /backup); until get /jobstatus/$id | grep -q Processing; do sleep 0.1; done");
    let waiting = operator.types("post /backup; post /backup; post /backup '{\"dbs\": [\"config\"]}'");
    let dropped = operator.does("Stop it, or stop a job", 0, [""]);
    let ids: Vec<_> = waiting.lines().collect();
    assert_eq!(ids.len(), 3, "{waiting}");
    assert_eq!(dropped.lines().count(), 3, "{dropped}");
    for id in ids {
        assert!(dropped.contains(id), "{dropped}");
        let state = operator.types(&format!("get /jobstatus/{id}"));
        assert!(state.contains(r#""status":"Canceled""#), "{state}");
    }
    proxy.go_on();
    operator.types("wait_for \"$id\"; grep Successful state; kill -TERM <pid>");
    assert!(daemon.wait_for_end().unwrap().success());
}

/// Without the line of an AdminServer, which is not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_settings_are_checked_first() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let closed = vec![digest(Permission::ALL, APP)];
    let created = outside.create("/kafka-acl", Vec::new(), closed, CreateMode::Persistent);
    created.await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).display().to_string();
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::create_dir_all(at("etc/tls")).unwrap();
    fs::write(at("etc/tls/tls.crt"), pair.cert.pem()).unwrap();
    fs::write(at("etc/tls/tls.key"), pair.signing_key.serialize_pem()).unwrap();
    fs::write(at("etc/password"), "admin").unwrap();
    let instead = vec![
        ("/etc/zk-backup", at("etc")),
        ("/var/lib/zk-backup", at("zk-backup")),
    ];
    let walk = Walk::new(place.path(), PROGRAMS, instead.clone());
    let readme = include_str!("../../README.md");
    let file = blocks(readme).into_iter().find(|(kind, _)| *kind == "toml");
    let here = [(
        "\"zk1\", \"zk2\", \"zk3\"",
        format!("\"{}\"", zookeeper.address()),
    )];
    let replace = |text: String, (from, to): &(&str, String)| text.replace(from, to);
    let file = here
        .iter()
        .chain(&instead)
        .fold(file.unwrap().1.to_owned(), replace);
    fs::write(at("etc/zk-backup.toml"), file).unwrap();

    let blocks = blocks(part("Check the settings first"));
    let (check, example) = (blocks[0].1.trim(), blocks[1].1);
    let out = walk.run(
        &format!(
            "export TLS_ENABLED=true TLS_PORT=0 CERTS_PATH=/etc/zk-backup/tls\n\
             export ZOOKEEPER_DIGEST_USERNAME=backup ZOOKEEPER_DIGEST_PASSWORD=secret\n\
             {check} || echo \"it ends with $?\"\n"
        ),
        "",
    );
    let begins = |line: &str| {
        line.split_whitespace()
            .take(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut lines = out.lines();
    for shown in example.lines().filter(|line| !line.contains("AdminServer")) {
        assert!(
            lines.any(|line| begins(line) == begins(shown)),
            "{shown}\nis not in\n{out}"
        );
    }
    assert!(
        out.contains("digest:backup") && out.contains("such as /kafka-acl"),
        "{out}"
    );
    assert!(out.ends_with("it ends with 1\n"), "{out}");
    assert!(!place.path().join("zk-backup").exists(), "nothing is made");
}
