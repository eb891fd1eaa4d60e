//! Several servers over one bucket: backups that come in at any of them.

use crate::common::cli::Cli;
use crate::common::clients::observer;
use crate::common::daemons::{back_up, curl};
use crate::common::group::{Group, wait_until};
use crate::common::servers::server;
use crate::common::trees::{assert_same, dump, plant};

/// Bytes that no archive makes smaller.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_to_a_standby_comes_to_the_leader_as_a_whole() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let data: Vec<_> = (1..=4).map(|seed| noise(seed, 800_000)).collect();
    plant(
        &outside,
        &[
            ("/a", &data[0]),
            ("/b", &data[1]),
            ("/c", &data[2]),
            ("/d", &data[3]),
        ],
    )
    .await;
    let before = dump(&outside).await;
    let mut group = Group::new();
    let lease = [("HA_LEASE_SECONDS", "60")];
    let mut one = group.start(&zookeeper.address(), "one", &lease);
    let two = group.start(&zookeeper.address(), "two", &lease);
    let id = back_up(&one, "");
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join(format!("{id}.zip"));
    let (status, _) = curl(&one, &format!("/backup/{id}"), &["-o", archive.to_str().unwrap()]);
    assert_eq!(status, 200);
    assert!(std::fs::metadata(&archive).unwrap().len() > 3_000_000);
    // Until it was read back it is in use.
    wait_until(
        || one.http.post(&format!("/evict/{id}"), "").unwrap().status == 200,
        || one.said(),
    );

    // Who is not known is refused by the leader, and asked for credentials.
    let url = format!("http://{}/restore/backup", two.address);
    let unknown = std::process::Command::new("curl")
        .args(["-s", "-i", "-F", &format!("file=@{}", archive.display()), &url])
        .output()
        .unwrap();
    let unknown = String::from_utf8_lossy(&unknown.stdout).to_lowercase();
    assert!(
        unknown.contains(" 401 ") && unknown.contains("www-authenticate: basic"),
        "{unknown}"
    );
    Cli::of_server(&two).ok(&["import", archive.to_str().unwrap()]);
    one.wait_for_line("POST /restore/backup 200").unwrap();
    wait_until(
        || two.http.get("/listbackups").unwrap().json() == serde_json::json!([id]),
        || two.said(),
    );
    outside.delete("/b", None).await.unwrap();
    Cli::of_server(&two).ok(&["restore", &id, "--yes"]);
    assert_same(&before, &dump(&outside).await);
}
