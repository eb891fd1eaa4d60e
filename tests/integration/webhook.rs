//! What is told to others: by a webhook, at least once and signed, and by commands around jobs.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use zk_backup_testkit::{Daemon, Exposition, Received, Receiver, S3Server};

use crate::common::buckets::in_bucket;
use crate::common::daemons::{back_up, daemon, hang_up, restore, until};
use crate::common::servers::server;

const SECRET: &str = "canary-webhook-secret";

/// HMAC-SHA256 as RFC 2104 writes it down.
fn hmac(key: &str, text: &str) -> String {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block
            .iter_mut()
            .zip(key.bytes())
            .for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(text)
        .finalize();
    let outer = Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize();
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn assert_signed(came: &Received, by: &str) {
    let signed = format!("{}.{}", came.header("x-zk-backup-timestamp"), came.body);
    assert_eq!(
        came.header("x-zk-backup-signature"),
        format!("sha256={}", hmac(by, &signed))
    );
    assert_eq!(came.json()["id"], came.header("x-zk-backup-id"));
}

fn told(storage: &Path, zookeeper: &str, url: &str) -> Daemon {
    let settings = [
        ("S3_ENABLED", "false"),
        ("WEBHOOK_URL", url),
        ("WEBHOOK_SECRET", SECRET),
    ];
    daemon(zookeeper, storage, &settings)
}

/// Whether the metrics come to say of what is owed, and of the seconds that the oldest is, what is expected.
fn owes(daemon: &Daemon, expected: impl Fn(f64, f64) -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let told = Exposition::check(&daemon.http.get("/metrics").unwrap().text, &["backup_"]).unwrap();
        let value = |name| told.value(name, &[]).unwrap();
        if expected(
            value("zk_backup_webhook_owed"),
            value("zk_backup_webhook_oldest_owed_seconds"),
        ) {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_happened_is_told_until_it_was_heard_and_by_the_next_process_if_need_be() {
    let zookeeper = server();
    let storage = tempfile::tempdir().unwrap();
    // Nobody hears it yet, and no job waits for that.
    let receiver = Receiver::start().unwrap();
    let url = receiver.url.clone();
    let mut first = told(storage.path(), &zookeeper.address(), &url);
    let id = back_up(&first, "");
    first.wait_for_line("the webhook could not be told").unwrap();
    // The metrics say so, also of what comes while it waits to try again.
    assert!(owes(&first, |owed, oldest| owed == 1.0 && oldest >= 1.0));
    let later = back_up(&first, "");
    let before = [&id, &later].map(|id| format!("job/{id}"));
    assert!(owes(&first, |owed, _| owed == 2.0));
    let said = first.said();
    assert!(!said.contains(SECRET) && !said.contains("/hook"), "{said}");
    first.kill();

    receiver.hear();
    let mut second = told(storage.path(), &zookeeper.address(), &url);
    let came = receiver.next().unwrap();
    assert_signed(&came, SECRET);
    let body = came.json();
    assert_eq!(
        (&body["id"], &body["event"]),
        (&json!(format!("job/{id}")), &json!("job.ended"))
    );
    assert_eq!(
        body["job"],
        second.http.get(&format!("/jobstatus/{id}")).unwrap().json()
    );
    // What was tried before has the same id, whatever became of it.
    let next_but = |before: &[String]| {
        let mut all = std::iter::from_fn(|| receiver.next());
        all.find(|came| !before.contains(&came.header("x-zk-backup-id").to_owned()))
            .unwrap()
    };
    let next = || next_but(&before);
    assert!(owes(&second, |owed, oldest| owed == 0.0 && oldest == 0.0));

    // Of what comes later only what is new: damage once, however often it is found.
    let archive = storage.path().join(&id).join("archive.zst");
    let mut bytes = fs::read(&archive).unwrap();
    bytes[20] ^= 1;
    fs::write(&archive, bytes).unwrap();
    let (mut events, mut last) = (Vec::new(), String::new());
    for _ in 0..2 {
        let (task, state) = second.do_job(&format!("/verify/{id}"), "").unwrap();
        assert_eq!(state.status, 500);
        let mut came = next().json();
        if came["event"] == "damage.found" {
            events.push(came["backup"].as_str().unwrap().to_owned());
            came = next().json();
        }
        assert_eq!(came["id"], format!("job/{task}"));
        assert_eq!(came["job"]["status"], "Failed");
        // It is told after the job that found it, or before where health looked first.
        if events.is_empty() {
            let came = next().json();
            assert_eq!(came["event"], "damage.found", "{came}");
            events.push(came["backup"].as_str().unwrap().to_owned());
        }
        last = format!("job/{task}");
    }
    assert_eq!(events, [&*id]);
    assert!(owes(&second, |owed, _| owed == 0.0));
    second.kill();
    // The last one comes once more if the kill was sooner than the note that it was heard.
    let third = told(storage.path(), &zookeeper.address(), &url);
    let newest = back_up(&third, "");
    assert_eq!(next_but(&[last]).json()["id"], format!("job/{newest}"));
    // And nothing else does: damage would before this.
    assert!(owes(&third, |owed, _| owed == 0.0));
    let newest = back_up(&third, "");
    assert_eq!(receiver.next().unwrap().json()["id"], format!("job/{newest}"));
    assert!(owes(&third, |owed, _| owed == 0.0));
    assert_eq!(receiver.left(), 0);
}

#[test]
fn another_one_is_told_and_by_another_secret_once_the_files_say_so() {
    let zookeeper = server();
    let [secrets, storage] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let write = |name: &str, text: &str| fs::write(secrets.path().join(name), text).unwrap();
    let [silent, hearing] = [(); 2].map(|()| Receiver::start().unwrap());
    hearing.hear();
    write("WEBHOOK_URL", &silent.url);
    write("WEBHOOK_SECRET", SECRET);
    let settings = [("BACKUP_DAEMON_SECRETS_DIR", secrets.path().to_str().unwrap())];
    let mut daemon = daemon(&zookeeper.address(), storage.path(), &settings);
    let id = back_up(&daemon, "");
    daemon.wait_for_line("the webhook could not be told").unwrap();
    assert_signed(&silent.next().unwrap(), SECRET);
    write("WEBHOOK_URL", &hearing.url);
    write("WEBHOOK_SECRET", "another");
    hang_up(&daemon);
    let came = hearing.next().unwrap();
    assert_signed(&came, "another");
    assert_eq!(came.json()["id"], format!("job/{id}"));
    // One that is gone is wrong, and the last one is told on.
    let told = |what: &str| daemon.http.get("/health").unwrap().text.contains(what);
    for name in ["WEBHOOK_URL", "WEBHOOK_SECRET"] {
        let text = fs::read_to_string(secrets.path().join(name)).unwrap();
        fs::remove_file(secrets.path().join(name)).unwrap();
        hang_up(&daemon);
        until("health tells", || told(name));
        let id = back_up(&daemon, "");
        let came = hearing.next().unwrap();
        assert_signed(&came, "another");
        assert_eq!(came.json()["id"], format!("job/{id}"));
        write(name, &text);
        hang_up(&daemon);
        until("it is back", || !told(name));
    }
}

#[test]
fn what_was_not_heard_is_told_by_the_group_that_the_server_joins() {
    let zookeeper = server();
    let (s3, storage) = (S3Server::start().unwrap(), tempfile::tempdir().unwrap());
    let receiver = Receiver::start().unwrap();
    let mut alone = told(storage.path(), &zookeeper.address(), &receiver.url);
    let id = back_up(&alone, "");
    let as_told_alone = alone.http.get(&format!("/jobstatus/{id}")).unwrap().json();
    alone.wait_for_line("the webhook could not be told").unwrap();
    alone.kill();

    receiver.hear();
    let s3 = s3.url();
    let shared = [
        ("HA", "true"),
        ("ZOOKEEPER_TIMEOUT", "3"),
        ("WEBHOOK_URL", &receiver.url),
    ];
    let settings = [&in_bucket(&s3, "zk")[..], &shared].concat();
    let _group = daemon(&zookeeper.address(), storage.path(), &settings);
    let mut all = std::iter::from_fn(|| receiver.next());
    // The one that came before said the same, and was not heard.
    let gained = all.find(|came| came.json()["event"] == "leadership.gained");
    assert!(gained.is_some());
    let came = all.next().unwrap().json();
    assert_eq!(
        (&came["id"], &came["job"]),
        (&json!(format!("job/{id}")), &as_told_alone)
    );
}

#[test]
fn hooks_are_run_around_backups_and_restores_and_fail_by_name() {
    let zookeeper = server();
    let (storage, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let said = place.path().join("said");
    let refuse = place.path().join("refuse");
    let before = json!([
        "/bin/sh",
        "-c",
        format!(
            "echo before $ZK_BACKUP_JOB_TYPE $ZK_BACKUP_VAULT $WEBHOOK_SECRET >>{}; test ! -e {} || {{ echo not now; exit 7; }}",
            said.display(),
            refuse.display()
        )
    ]);
    let after = json!([
        "/bin/sh",
        "-c",
        format!(
            "echo after $ZK_BACKUP_JOB $ZK_BACKUP_JOB_TYPE $ZK_BACKUP_JOB_STATUS $ZK_BACKUP_JOB_MESSAGE >>{}; test ! -e {}.after",
            said.display(),
            refuse.display()
        )
    ]);
    let (before, after) = (before.to_string(), after.to_string());
    let settings = [
        ("HOOK_BEFORE", &*before),
        ("HOOK_AFTER", &*after),
        ("WEBHOOK_URL", "http://127.0.0.1:9/"),
        ("WEBHOOK_SECRET", SECRET),
    ];
    let daemon = daemon(&zookeeper.address(), storage.path(), &settings);
    let taken = || {
        let text = fs::read_to_string(&said).unwrap();
        fs::remove_file(&said).unwrap();
        text
    };
    let id = back_up(&daemon, "");
    assert_eq!(
        taken(),
        format!("before backup {id}\nafter {id} backup Successful\n")
    );
    assert_eq!(restore(&daemon, &id, r#", "dry_run": true"#).0, 200);
    assert!(!said.exists(), "a dry run changes nothing");
    let body = json!({ "vault": id }).to_string();
    let (task, state) = daemon.do_job("/restore", &body).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    assert_eq!(
        taken(),
        format!("before restore {id}\nafter {task} restore Successful\n")
    );

    // One that fails afterwards is told, and the job is as it was.
    fs::write(place.path().join("refuse.after"), "").unwrap();
    let (second, state) = daemon.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    assert_eq!(state.json()["message"], "HOOK_AFTER failed: exit status: 1");
    assert_eq!(daemon.describe(&second).unwrap()["valid"], true);
    taken();

    // One that fails before it keeps the job from anything.
    fs::write(&refuse, "").unwrap();
    let (failed, state) = daemon.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 500);
    let why = "HOOK_BEFORE failed: exit status: 7: not now";
    assert_eq!(
        state.json()["message"],
        format!("{why}; HOOK_AFTER failed: exit status: 1")
    );
    assert_eq!(daemon.describe(&failed).unwrap()["failed"], true);
    assert_eq!(
        taken(),
        format!("before backup {failed}\nafter {failed} backup Failed {why}\n")
    );
    let (status, state) = restore(&daemon, &id, "");
    assert_eq!(status, 500);
    assert!(state["message"].as_str().unwrap().starts_with(why), "{state}");
    assert!(state["result"].get("report").is_none(), "{state}");
}
