//! Verifications: damage is found, named and told.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use zk_backup_testkit::Daemon;

use crate::common::buckets::{files_of, is_sealed};
use crate::common::clients::{client, observer};
use crate::common::daemons::{back_up, daemon};
use crate::common::servers::{busy, nobody, server, start};
use crate::common::snapshots::take_snapshot;
use crate::common::trees::{plant, plant_all_kinds};

/// Verifies as `path` says, and gives how the job ended.
fn verify(daemon: &Daemon, path: &str) -> (u16, Value) {
    let (_, state) = daemon.do_job(path, "").unwrap();
    (state.status, state.json())
}

/// Those that a verification reads, apart from manifests.
fn read_files(storage: &Path, id: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(files_of(storage, id)).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut files: Vec<_> = files
        .filter(|path| !name(path).starts_with("manifest") && name(path) != "verified.json")
        .collect();
    files.sort();
    files
}

/// How many bytes the header of a sealed file takes: up to the line with its checksum.
fn header_of_age(file: &[u8]) -> usize {
    let last = file.windows(5).position(|bytes| bytes == b"\n--- ").unwrap() + 1;
    last + file[last..].iter().position(|byte| *byte == b'\n').unwrap() + 1
}

/// In each file of a backup of each kind, at several places.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_byte_is_named_and_told_until_it_is_right_again() {
    let zookeeper = start(&busy());
    plant_all_kinds(&client(&zookeeper.address()).await).await;
    let storage = tempfile::tempdir().unwrap();
    let data = zookeeper.data_directory();
    let settings = [("ZOOKEEPER_DATA_DIR", data.to_str().unwrap())];
    let daemon = daemon(&zookeeper.address(), storage.path(), &settings);
    let walked = back_up(&daemon, "");
    let (snapshot, _) = take_snapshot(&daemon);
    let (status, state) = verify(&daemon, "/verify");
    assert_eq!((status, &state["result"]["vaults"]), (200, &2.into()), "{state}");
    assert_eq!((&state["type"], &state["vault"]), (&"verify".into(), &"".into()));
    for id in [&walked, &snapshot] {
        let files = read_files(storage.path(), id);
        assert!(files.len() >= 2, "{files:?}");
        for file in files {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            let sound = fs::read(&file).unwrap();
            let header = if is_sealed() { header_of_age(&sound) } else { 0 };
            for place in [0, sound.len() / 2, sound.len() - 1] {
                let mut bytes = sound.clone();
                bytes[place] ^= 1;
                fs::write(&file, &bytes).unwrap();
                let (status, state) = verify(&daemon, &format!("/verify/{id}"));
                assert_eq!(status, 500, "{name} at {place}: {state}");
                let said = state["message"].as_str().unwrap();
                // Of a sealed file without its header nothing can be read, so that no frame is named.
                let has_frame = place >= header;
                let frame = if has_frame { ", frame " } else { ": " };
                assert!(
                    said.contains(&format!("{id} is damaged: {name}{frame}")),
                    "{said}"
                );
                let info = daemon.describe(id).unwrap();
                assert_eq!(info["damage"][0]["file"], *name, "{info}");
                assert_eq!(info["damage"][0]["frame"].is_u64(), has_frame, "{info}");
                let spare = matches!(&*name, "acls.idx" | "index.zst" | "job.log");
                assert_eq!(info["valid"], spare, "{info}");
                let health = daemon.http.get("/health").unwrap().json();
                let (status, damaged) = match spare {
                    true => ("UP", Value::Null),
                    false => ("Warning", 1.into()),
                };
                assert_eq!(
                    (&health["status"], &health["damaged_vaults"]),
                    (&status.into(), &damaged)
                );
                assert_eq!(health["problems"].to_string().contains(&name), !spare, "{health}");
            }
            fs::write(&file, &sound).unwrap();
            assert_eq!(verify(&daemon, &format!("/verify/{id}")).0, 200);
            let info = daemon.describe(id).unwrap();
            assert_eq!(
                (&info["valid"], &info["damage"]),
                (&true.into(), &Value::Null),
                "{info}"
            );
        }
    }
    let health = daemon.http.get("/health").unwrap().json();
    assert_eq!(
        (&health["status"], &health["damaged_vaults"]),
        (&"UP".into(), &Value::Null)
    );
    assert!(health["last_verification"].is_string() && health["oldest_unverified_seconds"].is_u64());
    let metrics = daemon.http.get("/metrics").unwrap().text;
    for begin in [
        "zk_backup_damaged_vaults 0",
        "zk_backup_verified_bytes_total ",
        "zk_backup_last_verification_timestamp_seconds 1",
        "zk_backup_verifications_total{outcome=\"failed\"} ",
    ] {
        assert!(
            metrics.lines().any(|line| line.starts_with(begin)),
            "{begin}: {metrics}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_over_several_runs_is_everything() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/a", &[7; 10_000])]).await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(
        &zookeeper.address(),
        storage.path(),
        &[("EVICTION_POLICY", "1y/delete")],
    );
    let ids: Vec<_> = (0..4).map(|_| back_up(&daemon, "")).collect();
    let unverified = || {
        let unverified = |id: &&String| daemon.describe(id).unwrap()["verified_at"].is_null();
        ids.iter().filter(unverified).count()
    };
    let mut before = unverified();
    for body in ["", r#"{"share": "25%"}"#, "", ""] {
        let path = if body.is_empty() {
            "/verify?share=25%25"
        } else {
            "/verify"
        };
        let (_, state) = daemon.do_job(path, body).unwrap();
        assert_eq!(state.status, 200, "{}", state.text);
        let now = unverified();
        assert!(now < before || now == 0, "{now} of {before}");
        before = now;
    }
    assert_eq!(before, 0);
    for (path, body) in [
        ("/verify?share=0%25", ""),
        ("/verify?share=5", ""),
        ("/verify?share=5%25", r#"{"share": "5%"}"#),
        ("/verify?all=true", ""),
        ("/verify", r#"{"vault": "x"}"#),
        ("/restoretest/x?in=space", ""),
    ] {
        let answer = daemon.http.post(path, body).unwrap();
        assert_eq!(answer.status, 400, "{path} {body}: {}", answer.text);
    }
    for path in ["/verify/20000101T000000", "/restoretest/20000101T000000"] {
        assert_eq!(daemon.http.post(path, "").unwrap().status, 404);
    }
}

/// Each minute: a backup that is there is verified, and restored for a test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_check_what_is_stored() {
    let zookeeper = server();
    let storage = tempfile::tempdir().unwrap();
    let id = {
        let daemon = daemon(&zookeeper.address(), storage.path(), &[]);
        back_up(&daemon, "")
    };
    let settings = [
        ("VERIFY_SCHEDULE", "* * * * *"),
        ("VERIFY_SHARE", "5%"),
        ("RESTORE_TEST_SCHEDULE", "* * * * *"),
    ];
    // What is stored needs no ZooKeeper.
    let daemon = daemon(&nobody(), storage.path(), &settings);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(150);
    loop {
        let info = daemon.describe(&id).unwrap();
        let health = daemon.http.get("/health").unwrap().json();
        if info["tested_at"].is_string() && daemon.said().contains("1 backups were verified") {
            assert_eq!(
                (&info["tested"]["by"], &info["tested"]["place"]),
                (&"schedule".into(), &"memory".into())
            );
            assert!(health["seconds_since_proof"].is_u64(), "{health}");
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{info} {}", daemon.said());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
