//! Backups that are sealed: what a server without an identity does, and what nobody can read.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use zk_backup_testkit::{Daemon, ZooKeeper};
use zookeeper_async::Acl;

use crate::common::buckets::{KEYS, as_if_scheduled, files_of, left_out, vaults_of};
use crate::common::cli::Cli;
use crate::common::clients::{client, observer};
use crate::common::daemons::{back_up, daemon, restore};
use crate::common::servers::{busy, server, start};
use crate::common::snapshots::{from_file, newest, take_snapshot};
use crate::common::trees::{assert_exact, assert_same, dump, exact, plant, plant_all_kinds};

/// A file of the identities with these numbers.
fn identities(directory: &Path, of: &[usize]) -> PathBuf {
    let path = directory.join(format!("identities-{of:?}"));
    let text: String = of.iter().map(|number| KEYS[*number].1).collect();
    fs::write(&path, text).unwrap();
    path
}

/// A server that seals to the key with this number, and opens what is sealed to those.
fn sealing(
    zookeeper: &str,
    storage: &Path,
    to: usize,
    opening: Option<&Path>,
    more: &[(&str, &str)],
) -> Daemon {
    let mut settings = vec![("ENCRYPTION_RECIPIENTS", KEYS[to].0)];
    settings.extend(opening.map(|path| ("ENCRYPTION_IDENTITY_FILE", path.to_str().unwrap())));
    settings.extend(more);
    daemon(zookeeper, storage, &settings)
}

/// The files of vaults below `root` that have `canary` in them. `jobs.db` is no vault.
fn telling(root: &Path, canary: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let is_jobs = path.file_name().unwrap().to_string_lossy().starts_with("jobs.db");
        if path.is_dir() {
            found.extend(telling(&path, canary));
        } else if !is_jobs
            && fs::read(&path)
                .unwrap()
                .windows(canary.len())
                .any(|bytes| bytes == canary)
        {
            found.push(path);
        }
    }
    found
}

/// A tree with canaries in paths, data and ACLs.
async fn planted() -> (ZooKeeper, zookeeper_async::ZooKeeper) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(
        &outside,
        &[
            ("/canarypath", b"canarydata"),
            ("/canarypath/b", b"2"),
            ("/other", b"3"),
        ],
    )
    .await;
    let acl = Acl::new(zookeeper_async::Permission::ALL, "digest", "canaryuser:x1=");
    outside.set_acl("/canarypath/b", vec![acl], None).await.unwrap();
    (zookeeper, outside)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_recipients_alone_backs_up_lists_and_evicts_and_refuses_the_rest() {
    let (zookeeper, _outside) = planted().await;
    let (storage, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let kept = [
        ("EVICTION_POLICY", "1y/delete"),
        ("GRANULAR_EVICTION_POLICY", "1y/delete"),
    ];
    let closed = sealing(&zookeeper.address(), storage.path(), 0, None, &kept);
    assert!(closed.said().contains("without an identity"), "{}", closed.said());
    let partial = r#"{"dbs": ["canarypath"], "allow_partial": true}"#;
    let (full, granular) = (
        back_up(&closed, r#"{"allow_partial": true}"#),
        back_up(&closed, partial),
    );
    let second = back_up(&closed, r#"{"allow_partial": true}"#);
    // The failure names the znode.
    let (failed, state) = closed.do_job("/backup", r#"{"dbs": ["canarymissing"]}"#).unwrap();
    assert_eq!(state.status, 500, "{}", state.text);
    for canary in ["canary", "Y2FuYXJ5"] {
        let found = telling(&vaults_of(storage.path()), canary.as_bytes());
        assert!(found.is_empty(), "{canary}: {found:?}");
    }

    let listed = closed.http.get("/listbackups").unwrap().json();
    assert_eq!(listed, json!([full, granular, second, failed]));
    for (id, valid, is_granular) in [
        (&full, true, false),
        (&granular, true, true),
        (&failed, false, true),
    ] {
        let told = closed.describe(id).unwrap();
        assert_eq!(told["sealed"], json!([KEYS[0].0]), "{told}");
        assert_eq!(
            (&told["valid"], &told["is_granular"]),
            (&json!(valid), &json!(is_granular)),
            "{told}"
        );
        assert_eq!(
            (&told["format"], &told["znodes"]),
            (&json!(3), &json!(null)),
            "{told}"
        );
    }
    let health = closed.http.get("/health").unwrap().json();
    assert!(
        health["storage"]["lastSuccessful"]["id"] == json!(second),
        "{health}"
    );

    let named = format!(r#"{{"vault": "{full}"}}"#);
    for refused in [
        closed.http.post("/restore", &named),
        closed.http.post("/restore", r#"{"ts": 1700000000000}"#),
        closed
            .http
            .post("/restore", r#"{"ts": 1700000000000, "dbs": ["canarypath"]}"#),
        closed.http.get(&format!("/listbackups/{full}/znodes?path=/")),
        closed
            .http
            .get(&format!("/listbackups/{granular}/znode?path=/canarypath")),
        closed.http.get(&format!("/diff?from={full}&to={second}")),
        closed.http.get(&format!("/diff?from={full}&to=live")),
    ] {
        let refused = refused.unwrap();
        assert_eq!(
            (refused.status, &refused.json()["code"]),
            (409, &json!("backup_sealed")),
            "{}",
            refused.text
        );
        assert!(
            refused.text.contains(KEYS[0].0) && refused.text.contains("ENCRYPTION_IDENTITY_FILE"),
            "{}",
            refused.text
        );
    }

    assert_eq!(
        closed
            .http
            .post(&format!("/evict/{granular}"), "")
            .unwrap()
            .status,
        200
    );
    drop(closed);
    as_if_scheduled(storage.path());
    let strict = [
        ("EVICTION_POLICY", "0/delete"),
        ("GRANULAR_EVICTION_POLICY", "0/delete"),
    ];
    let closed = sealing(&zookeeper.address(), storage.path(), 0, None, &strict);
    assert_eq!(closed.http.post("/evict", "").unwrap().status, 200);
    let listed = closed.http.get("/listbackups").unwrap().json();
    assert_eq!(listed, json!([second]), "the newest good one stays");
    drop(closed);

    // Damage of sealed bytes is seen, and a wrong identity is none.
    let opening = identities(keys.path(), &[1]);
    let wrong = sealing(&zookeeper.address(), storage.path(), 0, Some(&opening), &kept);
    let refused = wrong
        .http
        .post("/restore", &format!(r#"{{"vault": "{second}"}}"#))
        .unwrap();
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert_eq!(wrong.describe(&second).unwrap()["valid"], true);
    let archive = files_of(storage.path(), &second).join("archive.zst");
    fs::write(&archive, &fs::read(&archive).unwrap()[1..]).unwrap();
    assert_eq!(wrong.describe(&second).unwrap()["valid"], false);
}

/// With an identity what is inside is read, too, and without one the sealed bytes are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_backup_is_verified_with_an_identity_and_without() {
    let (zookeeper, _outside) = planted().await;
    let (storage, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let opening = identities(keys.path(), &[0]);
    let begin = |opening: Option<&Path>| sealing(&zookeeper.address(), storage.path(), 0, opening, &[]);
    let id = back_up(&begin(Some(&opening)), r#"{"allow_partial": true}"#);
    let archive = files_of(storage.path(), &id).join("archive.zst");
    let sound = fs::read(&archive).unwrap();
    let mut bytes = sound.clone();
    *bytes.last_mut().unwrap() ^= 1;
    for opening in [None, Some(&*opening)] {
        let daemon = begin(opening);
        let verify = || daemon.do_job(&format!("/verify/{id}"), "").unwrap().1;
        let state = verify();
        assert_eq!(state.status, 200, "{}", state.text);
        let told = daemon.describe(&id).unwrap();
        assert!(told["verified_at"].is_string() && told["valid"] == true, "{told}");
        assert_eq!(
            (&told["encrypted"], told.get("sealed").is_some()),
            (&json!(true), opening.is_none()),
            "{told}"
        );
        fs::write(&archive, &bytes).unwrap();
        let state = verify();
        assert!(
            state.status == 500 && state.text.contains(&format!("{id} is damaged: archive.zst")),
            "{}",
            state.text
        );
        let told = daemon.describe(&id).unwrap();
        assert_eq!(
            (&told["valid"], &told["damage"][0]["file"]),
            (&json!(false), &json!("archive.zst")),
            "{told}"
        );
        let found = telling(&vaults_of(storage.path()), b"canary");
        assert!(found.is_empty(), "{found:?}");
        fs::write(&archive, &sound).unwrap();
        let state = verify();
        assert_eq!(state.status, 200, "{opening:?}: {}", state.text);
    }
    // What was found by somebody who could look into it is told until he has looked again: it may have lain deeper.
    let verified_by = |opening: Option<&Path>| {
        let daemon = begin(opening);
        let state = daemon.do_job(&format!("/verify/{id}"), "").unwrap().1;
        (state.status, daemon.describe(&id).unwrap()["valid"] == true)
    };
    fs::write(&archive, &bytes).unwrap();
    assert_eq!(verified_by(Some(&opening)), (500, false));
    fs::write(&archive, &sound).unwrap();
    assert_eq!(verified_by(None), (500, false));
    assert_eq!(verified_by(Some(&opening)), (200, true));
}

/// ACLs that were asked for, and those that an earlier backup knew.
fn reused(daemon: &Daemon, id: &str) -> u64 {
    daemon.describe(id).unwrap()["acls"]["reused"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sealed_is_restored_by_its_identity_also_after_the_keys_changed() {
    let (zookeeper, outside) = planted().await;
    let (storage, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (old_key, new_key, both) = (
        identities(keys.path(), &[0]),
        identities(keys.path(), &[1]),
        identities(keys.path(), &[1, 0]),
    );
    let kept = [
        ("EVICTION_POLICY", "1y/delete"),
        ("ZOOKEEPER_DIGEST_USERNAME", "super"),
        ("ZOOKEEPER_DIGEST_PASSWORD", zk_backup_testkit::SUPER_PASSWORD),
    ];
    let with =
        |to: usize, opening: &Path| sealing(&zookeeper.address(), storage.path(), to, Some(opening), &kept);

    let by_old = with(0, &old_key);
    let old = back_up(&by_old, "");
    let before = dump(&outside).await;
    assert!(
        reused(&by_old, &back_up(&by_old, "")) > 0,
        "an identity opens what is known of ACLs"
    );
    drop(by_old);
    outside.set_data("/other", b"4".to_vec(), None).await.unwrap();

    let mut by_new = with(1, &new_key);
    let new = back_up(&by_new, "");
    assert_eq!(reused(&by_new, &new), 0);
    by_new.wait_for_line("2 earlier backups are sealed").unwrap();
    let refused = by_new
        .http
        .post("/restore", &format!(r#"{{"vault": "{old}"}}"#))
        .unwrap();
    assert_eq!(refused.status, 409, "{}", refused.text);
    drop(by_new);
    let found = telling(&vaults_of(storage.path()), b"canary");
    assert!(found.is_empty(), "{found:?}");

    let by_both = with(1, &both);
    for id in [&old, &new] {
        let told = by_both.describe(id).unwrap();
        assert_eq!(
            (&told["valid"], &told["sealed"], &told["encrypted"]),
            (&json!(true), &json!(null), &json!(true)),
            "{told}"
        );
    }
    let after = dump(&outside).await;
    let diff = by_both.http.get(&format!("/diff?from={old}&to={new}")).unwrap();
    assert!(
        diff.status == 200 && diff.text.contains("/other"),
        "{}",
        diff.text
    );
    let znode = by_both
        .http
        .get(&format!("/listbackups/{old}/znode?path=/canarypath"))
        .unwrap();
    assert!(znode.text.contains("Y2FuYXJ5ZGF0YQ=="), "{}", znode.text);
    outside.delete("/canarypath/b", None).await.unwrap();
    for (id, expected) in [(&old, &before), (&new, &after)] {
        let (status, state) = restore(&by_both, id, "");
        assert_eq!(status, 200, "{state}");
        assert_same(expected, &dump(&outside).await);
    }

    // Damage is no wrong key.
    let path = files_of(storage.path(), &old).join("archive.zst");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let (status, state) = restore(&by_both, &old, "");
    let message = state["message"].as_str().unwrap();
    assert!(
        status == 500 && message.contains("damaged") && message.contains("archive.zst"),
        "{state}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_snapshot_is_restored_online_and_by_files() {
    let zookeeper = start(&busy());
    let outside = client(&zookeeper.address()).await;
    plant_all_kinds(&outside).await;
    let before = exact(&outside).await;
    let (storage, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let data = zookeeper.data_directory();
    let from = [("ZOOKEEPER_DATA_DIR", data.to_str().unwrap())];
    let opening = identities(keys.path(), &[0]);
    let open = sealing(&zookeeper.address(), storage.path(), 0, Some(&opening), &from);
    let (id, _) = take_snapshot(&open);
    let found = telling(&vaults_of(storage.path()), b"/plain");
    assert!(found.is_empty(), "{found:?}");

    let (status, state) = restore(&open, &id, r#", "strategy": "files""#);
    assert_eq!(status, 200, "{state}");
    let placed = newest(&storage.path().join("recover"), "snapshot.").remove(0);
    let copy = from_file(placed);
    assert_exact(&before, &exact(&client(&copy.address()).await).await);
    drop((open, copy));

    let closed = sealing(&zookeeper.address(), storage.path(), 0, None, &from);
    for strategy in ["files", "online"] {
        let body = json!({ "vault": id, "strategy": strategy });
        let refused = closed.http.post("/restore", &body.to_string()).unwrap();
        assert_eq!(refused.status, 409, "{}", refused.text);
    }
    drop(closed);
    outside.set_data("/plain/below", b"spoiled", None).await.unwrap();
    let open = sealing(&zookeeper.address(), storage.path(), 0, Some(&opening), &from);
    let (status, state) = restore(&open, &id, "");
    assert_eq!(status, 200, "{state}");
    assert_eq!(outside.get_data("/plain/below").await.unwrap().0, b"/plain/below");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_backs_up_without_the_server_and_its_keys_is_told_that_it_is_not_encrypted() {
    if left_out("without a server the command line works on a directory") {
        return;
    }
    let (zookeeper, storage) = (server(), tempfile::tempdir().unwrap());
    let daemon = sealing(&zookeeper.address(), storage.path(), 0, None, &[]);
    back_up(&daemon, "");
    drop(daemon);
    let address = zookeeper.address();
    let place = storage.path().to_str().unwrap();
    let alone = || Cli::alone().first(&["--storage", place, "--zookeeper", &address]);
    let told = "the newest backup there is encrypted, and what is backed up now is not";
    let (_, why) = alone()
        .with("ENCRYPTION_RECIPIENTS", KEYS[0].0)
        .ends(0, &["backup", "--wait"]);
    assert!(!why.contains(told), "{why}");
    let (id, why) = alone().ends(0, &["backup", "--wait"]);
    assert!(why.contains(told), "{why}");
    let id = id.split(' ').next().unwrap();
    let (_, why) = alone().ends(0, &["pin", id]);
    assert!(!why.contains(told), "{why}");
}
