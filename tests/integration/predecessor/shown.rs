//! What is said of its backups, where it kept less than we do or is not what was asked for.

use std::fs::{self, File};
use std::io::Write as _;

use serde_json::json;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::FULL;
use crate::common::buckets::left_out;
use crate::common::cli::Cli;
use crate::common::clients::observer;
use crate::common::daemons::{AS_SUPER, back_up, curl, daemon};
use crate::common::predecessor::Left;
use crate::common::servers::{nobody, server};
use crate::common::trees::plant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_did_not_keep_is_not_shown_as_a_number_or_as_1970() {
    if left_out("the predecessor wrote to a directory") {
        return;
    }
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/a", b"1"), ("/a/b", b"2")]).await;
    let storage = tempfile::tempdir().unwrap();
    Left::new(storage.path(), FULL).znodes(&[("/a", b"1"), ("/a/b", b"2")]);
    let daemon = daemon(&zookeeper.address(), storage.path(), &AS_SUPER);
    let ours = back_up(&daemon, "");
    let cli = Cli::of_server(&daemon);
    let line = |out: &str, begin: &str| -> Vec<String> {
        let line = out.lines().find(|line| line.starts_with(begin));
        line.unwrap_or_else(|| panic!("no {begin} in {out}"))
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    };
    let found = cli.ok(&["find", "/a/b"]);
    assert_eq!(line(&found, FULL)[5..], ["-", "-"], "{found}");
    assert!(!found.contains("1970"), "{found}");
    assert_eq!(line(&found, &ours).last().unwrap(), "UTC", "{found}");
    let root = cli.ok(&["find", "/"]);
    assert_ne!(line(&root, &ours)[5], "-", "{root}");
    let shown = cli.ok(&["browse", FULL, "/a/b"]);
    for fact in ["acl", "changed", "version"] {
        assert_eq!(line(&shown, fact)[1], "-", "{shown}");
    }
    // What it does not tell did not change.
    let history = cli.ok(&["history", "/a/b"]);
    assert_eq!(history.lines().count(), 2, "{history}");
    let one = line(&history, FULL);
    assert_eq!(
        (&*one[3], one.last().unwrap().as_str()),
        ("added", "-"),
        "{history}"
    );
    outside.set_data("/a/b", b"3".to_vec(), None).await.unwrap();
    let later = back_up(&daemon, "");
    let history = cli.ok(&["history", "/a/b"]);
    assert!(
        line(&history, &later)[3..5] == ["data", "changed"] && !history.contains("anew"),
        "{history}"
    );
}

#[test]
fn how_much_of_it_was_read_is_told() {
    if left_out("the predecessor wrote to a directory") {
        return;
    }
    let zookeeper = server();
    let storage = tempfile::tempdir().unwrap();
    let left = Left::new(storage.path(), FULL);
    let znodes: Vec<_> = (0..2_500).map(|n| format!("/n{n:04}")).collect();
    let znodes: Vec<_> = znodes.iter().map(|path| (&**path, &b"some text"[..])).collect();
    left.znodes(&znodes);
    let archive = fs::metadata(left.directory.join("znodes.zip")).unwrap().len();
    let copied = Left::new(storage.path(), "20240106T100000");
    let mut files = 0;
    for entry in fs::read_dir(zookeeper.data_directory()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("snapshot.") || name.starts_with("log.") {
            files += fs::copy(entry.path(), copied.directory.join(&name)).unwrap();
        }
    }
    let daemon = daemon(&nobody(), storage.path(), &[]);
    for (id, bytes) in [(FULL, archive), ("20240106T100000", files)] {
        let (_, state) = daemon.do_job(&format!("/verify/{id}"), "").unwrap();
        assert_eq!(state.status, 200, "{}", state.text);
        assert_eq!(state.json()["result"]["bytes"], bytes, "{}", state.text);
        let metrics = daemon.http.get("/metrics").unwrap().text;
        assert!(metrics.contains("zk_backup_verified_bytes_total"), "{metrics}");
    }
}

#[test]
fn damage_is_told_as_what_it_is() {
    if left_out("the predecessor wrote to a directory") {
        return;
    }
    let storage = tempfile::tempdir().unwrap();
    let entry = ("../../../etc/evil/content".to_owned(), Some("x".to_owned()));
    Left::new(storage.path(), FULL).zip(&[("a/".to_owned(), None), entry]);
    let daemon = daemon(&nobody(), storage.path(), &[]);
    for path in [
        format!("/listbackups/{FULL}/znodes?path=/a"),
        format!("/listbackups/{FULL}/znode?path=/a"),
        "/history?path=/a".to_owned(),
    ] {
        let told = daemon.http.get(&path).unwrap().text;
        assert!(
            told.contains("stands for no znode") && !told.contains("frame"),
            "{path}: {told}"
        );
    }
}

#[test]
fn its_archives_and_directories_are_refused_by_name() {
    if left_out("the predecessor wrote to a directory") {
        return;
    }
    let (storage, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let left = Left::new(place.path(), FULL);
    left.znodes(&[("/a", b"1")]);
    let servers = place.path().join("servers");
    fs::create_dir(&servers).unwrap();
    fs::write(servers.join("snapshot.0"), "x").unwrap();
    let root = place.path().to_str().unwrap();
    let daemon = daemon(&nobody(), storage.path(), &[("EXTERNAL_ROOT", root)]);
    let zip = |name: &str, below: &str, files: &[(&str, &[u8])]| {
        let path = place.path().join(name);
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        for (name, bytes) in files {
            zip.start_file(format!("{below}{name}"), SimpleFileOptions::default())
                .unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
        path
    };
    let files = left.contents();
    let files: Vec<_> = files.iter().map(|(name, bytes)| (&**name, &**bytes)).collect();
    let gzip = place.path().join("20240105T100000.tgz");
    fs::write(&gzip, [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]).unwrap();
    let daemons = ["Qubership backup daemon", "below its id"];
    for (path, says) in [
        (zip("20240105T100000.zip", "", &files), daemons),
        (zip("below.zip", "20240105T100000/", &files), daemons),
        (
            zip("servers.zip", "", &[("snapshot.0", b"x"), ("log.1", b"x")]),
            ["ZooKeeper server", "checksums"],
        ),
        (gzip, ["gzip", "zip archive"]),
    ] {
        let form = format!("file=@{}", path.display());
        let (status, text) = curl(&daemon, "/restore/backup", &["--form", &form]);
        assert!(
            status == 400 && says.iter().all(|part| text.contains(part)),
            "{text}"
        );
        let (_, text) = Cli::of_server(&daemon).ends(2, &["import", path.to_str().unwrap()]);
        assert!(says.iter().all(|part| text.contains(part)), "{text}");
    }
    for (name, whose) in [(FULL, "Qubership"), ("servers", "ZooKeeper server")] {
        let body = json!({ "externalBackupPath": name }).to_string();
        let told = daemon.http.post("/restore", &body).unwrap();
        assert!(told.status == 400 && told.text.contains(whose), "{}", told.text);
    }
    assert_eq!(daemon.http.get("/listbackups").unwrap().text, "[]");
}
