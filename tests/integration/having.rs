//! The backups that have a znode, what it holds there, and backups that come in from a file.

use std::fs;

use serde_json::json;

use crate::common::buckets::files_of;
use crate::common::cli::Cli;
use crate::common::clients::observer;
use crate::common::daemons::{back_up, curl, daemon};
use crate::common::servers::server;
use crate::common::trees::plant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_znode_is_found_in_all_that_have_it_and_its_data_come_as_they_are() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/a", b"<script>\r\n"), ("/b", b"")]).await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&zookeeper.address(), storage.path(), &[]);
    let first = back_up(&daemon, "");
    let other = back_up(&daemon, r#"{"dbs": ["b"]}"#);
    let written = outside.set_data("/a", b"two".to_vec(), None).await.unwrap();
    let second = back_up(&daemon, "");
    let broken = back_up(&daemon, "");
    outside.delete("/a", None).await.unwrap();
    let without = back_up(&daemon, "");
    let files = files_of(storage.path(), &broken);
    match files.join("manifest.json") {
        manifest if manifest.exists() => fs::write(manifest, b"{").unwrap(),
        // In a bucket a manifest that was read once is known.
        _ => files
            .read_dir()
            .unwrap()
            .for_each(|file| fs::write(file.unwrap().path(), b"{").unwrap()),
    }

    let http = &daemon.http;
    let found = http.get("/find?path=/a").unwrap().json();
    let ids = |key: &str| -> Vec<_> {
        let backups = found[key].as_array().unwrap().iter();
        backups.map(|backup| backup["id"].clone()).collect()
    };
    assert_eq!(found["total"], 5, "{found}");
    assert_eq!(ids("found"), [&*second, &first].map(|id| json!(id)));
    assert_eq!(ids("not_looked"), [&*broken, &other].map(|id| json!(id)));
    let newest = &found["found"][0];
    assert_eq!((&newest["version"], &newest["size"]), (&json!(1), &json!(3)));
    let ts = daemon.describe(&second).unwrap()["ts"].clone();
    assert_eq!(
        (&newest["mtime"], &newest["ts"]),
        (&json!(written.mtime), &ts),
        "{found}"
    );
    // The newest alone, which has it no more.
    let page = http.get("/find?path=/a&limit=1").unwrap().json();
    assert_eq!(
        (&page["found"], &page["next"]),
        (&json!([]), &json!(1)),
        "{without}"
    );
    let anonymous = http.clone().without_credentials();
    assert_eq!(anonymous.get("/find?path=/a").unwrap().status, 401);
    assert_eq!(http.get("/find?path=/a&ts=1700000000000").unwrap().status, 400);

    let cli = Cli::of_server(&daemon);
    let table = cli.ok(&["find", "/a"]);
    let lines: Vec<_> = table.lines().collect();
    assert!(
        lines[1].starts_with(&second) && lines[2].starts_with(&first),
        "{table}"
    );
    assert!(table.contains(&format!("{broken} does not tell: ")), "{table}");
    cli.ends(10, &["find", "/none"]);

    let head = storage.path().join("head");
    let raw = [
        "-H",
        "Accept: application/octet-stream",
        "-D",
        head.to_str().unwrap(),
    ];
    let (status, data) = curl(&daemon, &format!("/listbackups/{first}/znode?path=/a"), &raw);
    assert_eq!((status, &*data), (200, "<script>\r\n"));
    let head = fs::read_to_string(&head).unwrap().to_lowercase();
    for line in [
        "content-type: application/octet-stream",
        "x-content-type-options: nosniff",
        "content-disposition: attachment",
    ] {
        assert!(head.contains(line), "{head}");
    }
    let (status, _) = curl(&daemon, &format!("/listbackups/{without}/znode?path=/a"), &raw);
    assert_eq!(status, 404);
    assert_eq!(
        cli.run(&["browse", &first, "/a", "--raw"]).stdout,
        b"<script>\r\n"
    );

    // By `latest`, the newest good one is checked.
    for path in ["/verify/latest", "/restoretest/latest"] {
        let (_, job) = daemon.do_job(path, "").unwrap();
        let job = job.json();
        assert_eq!(
            (&job["status"], &job["vault"]),
            (&json!("Successful"), &json!(without))
        );
    }

    let zip = storage.path().join("some backup.zip");
    curl(
        &daemon,
        &format!("/backup/{other}"),
        &["-o", zip.to_str().unwrap()],
    );
    let file = zip.to_str().unwrap();
    let (_, why) = cli.ends(2, &["import", file]);
    assert!(why.contains("granular"), "{why}");
    let (_, why) = cli.ends(1, &["import", file, "--granular"]);
    assert!(why.contains("exists already: --force"), "{why}");
    cli.ok(&["evict", &other]);
    let imported = cli.json(&["import", file, "--granular"]);
    assert_eq!(imported[0]["id"], json!(other));
    assert!(cli.ok(&["ls"]).contains(&other));
    cli.ok(&["import", file, "--granular", "--force"]);
}
