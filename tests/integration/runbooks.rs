//! The runbooks of `docs/OPERATIONS.md`, gone through as they stand there: what is typed, in one shell after the other, and what comes of it.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use zk_backup_testkit::{Daemon, Walk, ZooKeeper, blocks};
use zookeeper_async::ZooKeeper as Client;

use crate::common::cli::PROGRAMS;
use crate::common::clients::observer;
use crate::common::servers::{busy, server, start};
use crate::common::trees::plant;

const GUIDE: &str = include_str!("../../docs/OPERATIONS.md");

/// Printed before what the shell remembers.
const REMEMBERED: &str = "\n-- what is remembered --\n";

/// Somebody who goes through the guide.
struct Operator<'a> {
    walk: &'a Walk<'a>,
    url: String,
    /// `id`, `task` and `before` of the shell.
    remembered: RefCell<[String; 3]>,
    /// What stands in place of the guide's placeholders.
    instead: RefCell<Vec<(&'static str, String)>>,
}

impl<'a> Operator<'a> {
    fn new(walk: &'a Walk<'a>, daemon: &Daemon, instead: Vec<(&'static str, String)>) -> Self {
        Self {
            walk,
            url: format!("http://{}", daemon.address),
            remembered: RefCell::default(),
            instead: instead.into(),
        }
    }

    /// Runs the blocks of a section from `first` on, as many as there are in `shown`, and returns what the last one prints. Each of `shown` must be
    /// in what its block prints; and so must what the guide shows below it.
    fn does<const N: usize>(&self, section: &str, first: usize, shown: [&str; N]) -> String {
        let all = blocks(part(section));
        let mut at = all
            .iter()
            .enumerate()
            .filter(|(_, (kind, _))| *kind == "sh")
            .skip(first);
        let mut out = String::new();
        for shown in shown {
            let (index, (_, script)) = at.next().expect("a block");
            out = self.types(script);
            assert!(
                out.contains(shown),
                "{shown} is not in what {script}\nprints: {out}"
            );
            if let Some((_, example)) = all.get(index + 1).filter(|(kind, _)| *kind == "json") {
                assert_like(&self.filled(example), &out);
            }
        }
        out
    }

    fn filled(&self, text: &str) -> String {
        let instead = self.instead.borrow();
        instead
            .iter()
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    /// In a shell that was set up as the guide says.
    fn types(&self, script: &str) -> String {
        let set_up = blocks(part("Set up the shell"))[0].1;
        let [id, task, before] = self.remembered.borrow().clone();
        let set_up = set_up.replace("http://localhost:8080", &self.url);
        let script = format!(
            "{set_up}\nid='{id}' task='{task}' before='{before}'\n{}\nprintf '{REMEMBERED}%s\\n%s\\n%s\\n' \"$id\" \"$task\" \"$before\"",
            self.filled(script)
        );
        let out = self.walk.run(&script, &self.url);
        let (out, remembered) = out.split_once(REMEMBERED).expect("what is remembered");
        let mut lines = remembered.lines().map(str::to_owned);
        *self.remembered.borrow_mut() = std::array::from_fn(|_| lines.next().expect("a line"));
        out.to_owned()
    }

    /// What a placeholder of the guide stands for from here on.
    fn means(&self, placeholder: &'static str, what: &str) {
        self.instead.borrow_mut().push((placeholder, what.to_owned()));
    }

    fn id(&self) -> String {
        self.remembered.borrow()[0].clone()
    }
}

/// What stands below a heading, up to the next one.
fn part(heading: &str) -> &'static str {
    let mut parts = GUIDE.split("\n## ").flat_map(|part| part.split("\n### "));
    parts
        .find(|part| part.lines().next() == Some(heading))
        .unwrap_or_else(|| panic!("no {heading}"))
}

/// What an example shows came in that order; `…` stands for whatever comes there, and so does the id of a backup.
fn assert_like(example: &str, out: &str) {
    let mut rest = out;
    // Lines of an example are broken for its readers.
    let mut example: String = example.lines().map(str::trim).collect();
    while let Some(at) = example.find("\"2026") {
        example.replace_range(at + 1..at + 1 + "20261126T022515".len(), "…");
    }
    for piece in example.split('…').map(|piece| piece.trim_matches([' ', ','])) {
        let Some(at) = rest.find(piece) else {
            panic!("{piece}\nis not in\n{rest}\nof\n{out}");
        };
        rest = &rest[at + piece.len()..];
    }
}

/// A server with the API's credentials that the guide has.
fn daemon(walk: &Walk<'_>, zookeeper: &ZooKeeper, storage: &Path, more: &str) -> Daemon {
    let script = format!(
        "export BACKUP_DAEMON_API_CREDENTIALS_USERNAME=admin BACKUP_DAEMON_API_CREDENTIALS_PASSWORD=admin\n\
         export ZOOKEEPER_HOST={} STORAGE='{}' BACKUP_SCHEDULE=None {more}\nzk-backup-daemon\n",
        zookeeper.address(),
        storage.display()
    );
    walk.server(&script)
}

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
    let daemon = daemon(&walk, &zookeeper, &place.path().join("zk-backup"), "");
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
    let mut daemon_here = daemon(&walk, &zookeeper, &storage, "");
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
    let daemon_here = daemon(&walk, &zookeeper, &storage, "");
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
        &zookeeper,
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
