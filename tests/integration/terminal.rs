//! The command line on a terminal: colours, progress, and the question before anything is written.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::Value;
use zk_backup_testkit::Daemon;

use crate::common::cli::{Cli, lines};
use crate::common::clients::observer;
use crate::common::daemons::daemon;
use crate::common::servers::server;
use crate::common::terminal::{Ended, Outputs, Session};
use crate::common::trees::{assert_same, dump, plant};

/// What colours, and a bar that is drawn anew, begin with.
const ESCAPE: char = '\u{1b}';
const QUESTION: &str = "[y/N] ";

fn on_terminal(cli: &Cli, args: &[&str], outputs: Outputs) -> Ended {
    Session::start(&cli.command(args), outputs).end()
}

/// What somebody answers to the question, and how it ends.
fn answered(cli: &Cli, args: &[&str], keys: &str) -> Ended {
    let mut session = Session::start(&cli.command(args), Outputs::Both);
    session.wait_for(QUESTION);
    session.types(keys);
    session.end()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colours_are_for_a_terminal_that_wants_them() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/config", b"3"), ("/config/deep", b"")]).await;
    let storage = tempfile::tempdir().unwrap();
    let served = daemon(&zookeeper.address(), storage.path(), &[]);
    let cli = Cli::of_server(&served);
    let id = cli.back_up(&[]);
    outside.set_data("/config", b"0".to_vec(), None).await.unwrap();
    outside.delete("/config/deep", None).await.unwrap();
    plant(&outside, &[("/new", b"")]).await;

    let args = ["diff", &id, "live"];
    let plain = cli.ok(&args);
    assert!(!plain.contains(ESCAPE), "{plain:?}");
    let coloured = on_terminal(&cli, &args, Outputs::Both);
    assert_eq!(coloured.code, Some(0));
    for line in [
        "\u{1b}[32m+ /new\u{1b}[0m\n",
        "\u{1b}[31m- /config/deep\u{1b}[0m\n",
    ] {
        assert!(coloured.shown.contains(line), "{:?}", coloured.shown);
    }
    let mut stripped = coloured.shown;
    for code in ["0", "1", "2", "31", "32", "33"] {
        stripped = stripped.replace(&format!("{ESCAPE}[{code}m"), "");
    }
    assert_eq!(stripped, plain, "the colours are all that differs");

    let without = Cli::of_server(&served).with("NO_COLOR", "1");
    assert_eq!(on_terminal(&without, &args, Outputs::Both).shown, plain);
    let dumb = Cli::of_server(&served).with("TERM", "dumb");
    assert_eq!(on_terminal(&dumb, &args, Outputs::Both).shown, plain);
    let piped = on_terminal(&cli, &args, Outputs::Stderr);
    assert_eq!((piped.shown, piped.kept), (String::new(), plain));
    let json = on_terminal(&cli, &["diff", &id, "live", "--json"], Outputs::Both).shown;
    assert!(lines(&json).len() > 3 && !json.contains(ESCAPE), "{json:?}");

    let raw = ["browse", &id, "/config", "--as", "raw"];
    let refused = on_terminal(&cli, &raw, Outputs::Both);
    assert_eq!(refused.code, Some(2));
    assert!(refused.shown.contains("not for a terminal"), "{}", refused.shown);
    let piped = on_terminal(&cli, &raw, Outputs::Stderr);
    assert_eq!((piped.code, &*piped.kept, &*piped.shown), (Some(0), "3", ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_asks_and_only_a_yes_writes() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/config", b"3"), ("/config/deep", b"1")]).await;
    let storage = tempfile::tempdir().unwrap();
    let served = daemon(&zookeeper.address(), storage.path(), &[]);
    let cli = Cli::of_server(&served);
    let id = cli.back_up(&[]);
    let before = dump(&outside).await;
    outside.delete("/config/deep", None).await.unwrap();
    let broken = dump(&outside).await;
    let stored = || served.http.get("/listbackups").unwrap().json();

    let args = ["restore", "latest"];
    // No, nothing, what is no answer, the end of what is typed, and Ctrl-C.
    for (keys, code, why) in [
        ("n\n", 1, "nothing was changed"),
        ("\n", 1, "nothing was changed"),
        ("yesterday\n", 1, "nothing was changed"),
        ("\u{4}", 1, "nothing was changed"),
        ("\u{3}", 130, "interrupted"),
    ] {
        let ended = answered(&cli, &args, keys);
        assert_eq!(ended.code, Some(code), "{keys:?}: {ended:?}");
        let (plan, rest) = ended.shown.split_once(QUESTION).unwrap();
        assert!(plan.contains("/config/deep"), "the plan comes first: {plan}");
        assert!(plan.ends_with(&format!("Restore {id} as shown? ")), "{plan}");
        assert!(rest.contains(&format!("zk-backup: {why}")), "{keys:?}: {rest}");
        assert!(!plan.contains('░'), "a bar of nothing that is known: {plan:?}");
        assert_same(&dump(&outside).await, &broken);
        assert_eq!(stored(), serde_json::json!([id]), "{keys:?}: nothing came first");
    }
    let refused = on_terminal(&cli, &["restore", "latest", "--json"], Outputs::Both);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let unseen = on_terminal(&cli, &args, Outputs::Stdout);
    assert_eq!(unseen.code, Some(2), "nobody would see the question: {unseen:?}");
    assert!(unseen.kept.contains("add --yes"), "{unseen:?}");
    assert_same(&dump(&outside).await, &broken);

    // What is kept of stdout is not asked, and not answered.
    let mut session = Session::start(&cli.command(&args), Outputs::Stderr);
    session.wait_for(QUESTION);
    session.types("y\n");
    let ended = session.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.kept.contains(QUESTION) && !ended.kept.contains(ESCAPE));
    assert!(
        ended.kept.ends_with(&format!("restored from {id}\n")),
        "{ended:?}"
    );
    assert_same(&dump(&outside).await, &before);
    assert_eq!(stored().as_array().map(Vec::len), Some(2), "a backup came first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_asks_likewise() {
    let (from, to) = (server(), server());
    let (source, target) = (observer(&from).await, observer(&to).await);
    plant(&source, &[("/config", b"3")]).await;
    plant(&target, &[("/old", b"")]).await;
    let before = dump(&target).await;
    let [from, to] = [from.address(), to.address()];
    let args = ["copy", "--from", &from, "--to", &to];
    let refused = answered(&Cli::alone(), &args, "n\n");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.shown.contains("- /old"), "{}", refused.shown);
    assert_same(&dump(&target).await, &before);
    let done = answered(&Cli::alone(), &args, "y\n");
    assert_eq!(done.code, Some(0), "{done:?}");
    let data = target.get_data("/config", false).await.unwrap().0;
    assert_eq!(data, b"3");
    assert!(target.exists("/old", false).await.unwrap().is_none());
}

/// Waits until the command line follows a job that it has begun after `earlier` others, and calls that off.
fn call_off(served: &mut Daemon, earlier: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let jobs = loop {
        let jobs = served.http.get("/jobs").unwrap().json();
        if jobs["jobs"].as_array().map(Vec::len) == Some(earlier + 1) {
            break jobs;
        }
        assert!(Instant::now() < deadline, "{jobs}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let id = jobs["jobs"][0]["task_id"].as_str().unwrap();
    // It is shown what comes of that before it asks again.
    served.wait_for_line(&format!("/jobstatus/{id}")).unwrap();
    let answer = served.http.post(&format!("/terminate/{id}"), "").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// A ZooKeeper that takes connections and says nothing keeps a job at work until it is called off.
#[test]
fn progress_is_for_stderr_on_a_terminal() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let storage = tempfile::tempdir().unwrap();
    let settings = [
        ("SHUTDOWN_GRACE", "0"),
        ("ZOOKEEPER_TIMEOUT", "600"),
        ("LOG_LEVEL", "DEBUG"),
    ];
    let mut served = daemon(&address, storage.path(), &settings);
    let cli = Cli::of_server(&served);
    let mut earlier = 0;
    let mut follow = |more: &[&str], outputs, progress: bool| {
        let args = [&["backup", "--wait"], more].concat();
        let session = Session::start(&cli.command(&args), outputs);
        if progress {
            // Behind how long it has taken.
            session.wait_for(" backup ");
        }
        call_off(&mut served, earlier);
        earlier += 1;
        let ended = session.end();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        ended
    };

    let all = follow(&[], Outputs::Both, true);
    assert!(all.shown.contains(ESCAPE), "it is drawn anew: {all:?}");
    assert!(
        !all.shown.contains('░'),
        "a bar of nothing that is known: {all:?}"
    );
    let last = all.shown.trim_end().lines().next_back().unwrap();
    assert!(last.contains("canceled: "), "why it ended stays: {last:?}");
    let only_err = follow(&[], Outputs::Stderr, true);
    assert_eq!(only_err.kept, "", "stdout has what was asked for alone");

    let only_out = follow(&[], Outputs::Stdout, false);
    assert_eq!(only_out.shown, "");
    let quiet = follow(&["--quiet"], Outputs::Both, false);
    for said in [&only_out.kept, &quiet.shown] {
        assert!(said.starts_with("zk-backup: backup ") && said.ends_with("all of it\n"));
        assert_eq!(
            (said.lines().count(), said.contains(ESCAPE)),
            (1, false),
            "{said:?}"
        );
    }
    let json = follow(&["--json"], Outputs::Both, false);
    let json: Vec<Value> = lines(&json.shown);
    assert_eq!(json[0]["message_type"], "status");
    assert_eq!(json.last().unwrap()["message_type"], "error");
}
