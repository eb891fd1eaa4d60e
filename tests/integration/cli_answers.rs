//! The command line, and what servers answer that are not as one wishes.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::common::cli::{Cli, lines};
use crate::common::daemons::until;
use crate::common::servers::nobody;
use crate::common::stand_in::{asked, stand_in};

const ID: &str = "20261123T140000";

fn backup(id: &str) -> String {
    let told = json!({
        "id": id, "ts": 1_795_000_000_000_i64, "spent_time": "1ms", "size": "1b", "db_list": ["odd/sub"], "is_granular": true,
        "evictable": true, "locked": false, "exit_code": 0, "valid": true, "mode": "hierarchical",
    });
    told.to_string()
}

fn asking(answer: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static) -> Cli {
    Cli::alone().with("ZK_BACKUP_URL", &stand_in(answer))
}

#[test]
fn jobs_that_are_not_shown_are_counted() {
    let cli = asking(|request| {
        let number = |key| asked(request, key).unwrap().parse::<usize>().unwrap();
        let (offset, limit) = (number("offset"), number("limit"));
        let job = |at: usize| json!({ "status": "Successful", "type": "backup", "task_id": format!("job{at}"), "vault": "v" });
        let jobs: Vec<_> = (offset..1_167.min(offset + limit.min(1_000))).map(job).collect();
        Some((200, json!({ "total": 1_167, "jobs": jobs }).to_string()))
    });
    let told = cli.ok(&["jobs"]);
    assert_eq!(told.lines().count(), 102, "{told}");
    assert!(
        told.contains("job99 ") && told.ends_with("… 1 067 more (-n)\n"),
        "{told}"
    );
    let all = cli.ok(&["jobs", "-n", "2000"]);
    assert_eq!(all.lines().count(), 1_168, "{all}");
    assert!(all.contains("job1166 ") && !all.contains("more"), "{all}");
    let some = cli.json(&["jobs", "-n", "2"]);
    assert_eq!(some.len(), 3);
    assert_eq!(
        (&some[2]["message_type"], &some[2]["left"]),
        (&json!("more"), &json!(1_165))
    );
    cli.ends(2, &["jobs", "-n", "0"]);
}

#[test]
fn a_backup_that_cannot_be_read_does_not_hide_the_others() {
    let (bad, good) = ("20261122T140000", ID);
    let cli = asking(move |request| {
        Some(match request.split('?').next().unwrap() {
            "/listbackups" => (200, json!([bad, good]).to_string()),
            at if at == format!("/listbackups/{bad}") => {
                let refusal =
                    json!({ "status": "Failed", "message": "Permission denied", "code": "storage_failed" });
                (500, refusal.to_string())
            }
            at if at == format!("/listbackups/{good}") => (200, backup(good)),
            _ => {
                let znode = json!({
                    "path": "/odd/sub", "name": "sub", "role": "captured", "size": 0, "children": 0, "stat": {}, "data": "", "acl": [],
                });
                (200, znode.to_string())
            }
        })
    });
    let (told, why) = cli.ends(3, &["ls"]);
    assert_eq!(why, "");
    let row = told.lines().find(|line| line.starts_with(bad)).unwrap();
    assert!(row.ends_with("cannot be read: Permission denied"), "{told}");
    assert!(told.contains(good), "{told}");
    let (told, _) = cli.ends(3, &["ls", "--json"]);
    let told = lines(&told);
    assert_eq!(
        (&told[0]["message_type"], &told[0]["id"], &told[1]["id"]),
        (&json!("unreadable"), &json!(bad), &json!(good))
    );
    let (told, why) = cli.ends(3, &["ls", "--valid"]);
    assert!(
        !told.contains(bad) && told.contains(good) && why.contains(bad),
        "{told}{why}"
    );
    cli.ok(&["ls", "-n", "1"]);
    let (told, why) = cli.ends(3, &["history", "/odd/sub"]);
    assert!(told.contains(good) && why.contains(bad), "{told}{why}");
    assert!(told.contains("1 backup does not tell"), "{told}");
    let (told, _) = cli.ends(3, &["history", "/odd/sub", "--json"]);
    let told = lines(&told);
    assert_eq!(
        (&told[1]["message_type"], &told[1]["backups"]),
        (&json!("not_looked"), &json!(1))
    );
}

#[test]
fn another_web_server_knows_of_no_backups() {
    for body in ["<html>404 Not Found</html>", "", r#"{"error": "gone"}"#] {
        let cli = asking(move |_| Some((404, body.to_owned())));
        for command in [&["ls"][..], &["show", ID]] {
            let (_, why) = cli.ends(1, command);
            assert!(why.contains("is it a zk-backup server?"), "{why}");
        }
    }
    let cli = asking(|_| Some((404, "\"backup a not found\"".to_owned())));
    cli.ends(10, &["show", "a"]);
}

/// Whoever asks again would do it twice.
#[test]
fn what_was_sent_and_not_answered_may_have_been_done() {
    let lost = "it may have been accepted all the same; look at `zk-backup jobs`";
    for answer in [(0, ""), (502, "<html>Bad Gateway</html>"), (504, "")] {
        let cli = asking(move |_| Some((answer.0, answer.1.to_owned())));
        let (_, why) = cli.ends(1, &["backup"]);
        assert!(why.contains(lost), "{answer:?}: {why}");
        let (_, why) = cli.ends(1, &["ls"]);
        assert!(
            !why.contains(lost) && !why.contains("what ZooKeeper says"),
            "{answer:?}: {why}"
        );
    }
    let refusal = json!({ "status": "Failed", "message": "ZooKeeper is away", "code": "zookeeper_failed" });
    let cli = asking(move |_| Some((502, refusal.to_string())));
    let (_, why) = cli.ends(1, &["backup"]);
    assert!(
        !why.contains(lost) && why.contains("what ZooKeeper says"),
        "{why}"
    );
    // Nobody listens there.
    let cli = Cli::alone().with("ZK_BACKUP_URL", &format!("http://{}", nobody()));
    let (_, why) = cli.ends(1, &["backup"]);
    assert!(
        !why.contains(lost) && why.contains("does the server run there?"),
        "{why}"
    );
}

/// Each answer is of another comparison.
#[test]
fn differences_to_a_tree_that_changes_are_not_told_in_part() {
    fn page(paths: &[&str], request: &str) -> Value {
        let offset: usize = asked(request, "offset").unwrap().parse().unwrap();
        let on_it = paths.iter().skip(offset).take(2);
        let differences: Vec<_> = on_it
            .map(|path| json!({ "path": path, "change": "removed" }))
            .collect();
        json!({
            "added": 0, "removed": paths.len(), "data_changed": 0, "acl_changed": 0, "unknown": 0, "differences": differences,
        })
    }
    let compared = |later: &'static [&'static str]| {
        let asked = AtomicUsize::new(0);
        asking(move |request| {
            Some(if request.starts_with("/diff?") {
                let is_first = asked.fetch_add(1, Ordering::Relaxed) == 0;
                let paths = if is_first { &["/a", "/b", "/c"] } else { later };
                (200, page(paths, request).to_string())
            } else {
                (200, backup(ID))
            })
        })
    };
    let told = compared(&["/a", "/b", "/c"]).ok(&["diff", "latest", "live"]);
    let head = format!("from {ID} (of /odd/sub) to live\n");
    assert!(
        told.starts_with(&format!("{head}- /a\n- /b\n- /c\n0 added, 3 removed")),
        "{told}"
    );
    // "/c" would be left out, though as many differ.
    let (told, why) = compared(&["/b", "/c", "/d"]).ends(1, &["diff", ID, "live"]);
    assert_eq!(told, head);
    assert!(why.contains("changed while it was compared"), "{why}");
    let told = compared(&["/a", "/b", "/c"]).json(&["diff", "latest", "live"]);
    let summary = told.last().unwrap();
    assert_eq!(
        (&summary["from"], &summary["to"], &summary["roots"]),
        (&json!(ID), &json!("live"), &json!(["/odd/sub"]))
    );
    Cli::alone().ends(2, &["diff", "live", ID]);
}

/// What an export waits for at its first znode, and a copy at its first session: the URL, the hosts, and how often somebody waits.
fn keeps_waiting() -> (String, String, Arc<AtomicUsize>) {
    let waiting = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&waiting);
    let url = stand_in(move |request| match request.contains("/znode") {
        true => {
            count.fetch_add(1, Ordering::Relaxed);
            None
        }
        false => Some((200, backup(ID))),
    });
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let hosts = silent.local_addr().unwrap().to_string();
    let count = Arc::clone(&waiting);
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for socket in silent.incoming() {
            open.push(socket);
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    (url, hosts, waiting)
}

#[test]
fn what_is_half_written_goes_whatever_signal_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let there = || fs::read_dir(directory.path()).unwrap().count();
    let output = directory.path().join("out.jsonl");
    let ends = [("-INT", 130), ("-TERM", 143)];
    for (is_copy, (signal, code)) in [false, true].into_iter().flat_map(|is| ends.map(|end| (is, end))) {
        let (url, hosts, waiting) = keeps_waiting();
        let args = match is_copy {
            false => ["export", ID, "/wait", "-o", output.to_str().unwrap(), "--force"],
            true => ["copy", "--from", &hosts, "--to", "zk1", "--yes"],
        };
        let mut command = Cli::alone().with("ZK_BACKUP_URL", &url).command(&args);
        command
            .env("TMPDIR", directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let process = command.spawn().unwrap();
        until("it waits", || waiting.load(Ordering::Relaxed) > 0);
        assert_eq!(there(), 1, "{args:?}");
        let number = process.id().to_string();
        let killed = Command::new("kill").args([signal, &number]).status();
        assert!(killed.unwrap().success());
        let ended = process.wait_with_output().unwrap();
        let why = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{args:?} {signal}: {why}");
        assert_eq!(there(), 0, "{args:?} {signal}: {why}");
    }
}
