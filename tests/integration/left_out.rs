//! A restore that cannot bring back everything: its plan says what is left out, and that nothing else is.

use serde_json::json;
use zk_backup_testkit::{Daemon, Proxy};
use zookeeper_async::{Acl, CreateMode, ZooKeeper};

use crate::common::cli::{Cli, lines};
use crate::common::clients::observer;
use crate::common::daemons::{daemon, until};
use crate::common::servers::server;
use crate::common::terminal::{Outputs, Session};
use crate::common::trees::plant;

const LEFT_OUT: &str = "! /config/new: a live ephemeral znode stands in its place\n";

async fn retries(outside: &ZooKeeper) -> Vec<u8> {
    outside.get_data("/config/retries", false).await.unwrap().0
}

/// How many backups there are.
fn stored(served: &Daemon) -> usize {
    let ids = served.http.get("/listbackups").unwrap().json();
    ids.as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_brought_back_is_named_and_the_rest_is_restored() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(
        &outside,
        &[("/config", b""), ("/config/new", b"n"), ("/config/retries", b"3")],
    )
    .await;
    let storage = tempfile::tempdir().unwrap();
    let served = daemon(&zookeeper.address(), storage.path(), &[]);
    let cli = Cli::of_server(&served);
    let id = cli.back_up(&[]);
    outside.delete("/config/new", None).await.unwrap();
    let open = Acl::open_unsafe().clone();
    let lock = outside.create("/config/new", b"a lock".to_vec(), open, CreateMode::Ephemeral);
    lock.await.unwrap();
    outside
        .set_data("/config/retries", b"0".to_vec(), None)
        .await
        .unwrap();

    let restore = ["restore", &*id, "--root", "/config"];
    let asked = |more: &[&'static str]| [&restore[..], more].concat();
    let (plan, why) = cli.ends(1, &asked(&["--dry-run"]));
    assert!(
        plan.contains(LEFT_OUT) && plan.contains("~ /config/retries  (data)\n"),
        "{plan}"
    );
    let said = "1 znodes would not be brought back, the first /config/new: a live ephemeral znode stands in its place; \
                nothing was written, and a restore would make 1 changes";
    assert!(why.contains(said), "{why}");
    // Where nobody can be asked, and where the answer is no.
    let (plan, why) = cli.ends(2, &restore);
    assert!(
        plan.contains(LEFT_OUT) && why.contains("add --yes"),
        "{plan}\n{why}"
    );
    let mut session = Session::start(&cli.command(&restore), Outputs::Both);
    session.wait_for("[y/N] ");
    session.types("n\n");
    let ended = session.end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for told in [
        "1 znode cannot be brought back, see `!`: a restore brings back the rest, and fails",
        &format!("Restore {id} as shown, without 1 znode? [y/N] "),
    ] {
        assert!(ended.shown.contains(told), "{told}: {}", ended.shown);
    }
    assert_eq!((retries(&outside).await, stored(&served)), (b"0".to_vec(), 1));

    let (told, why) = cli.ends(1, &asked(&["--yes", "--json"]));
    let told = lines(&told);
    let [plan, .., job] = &told[..] else {
        panic!("{told:?}")
    };
    for (line, kind) in [(plan, "plan"), (job, "job")] {
        assert_eq!(
            (
                &line["message_type"],
                &line["status"],
                &line["result"]["report"]["failed"]
            ),
            (&json!(kind), &json!("Failed"), &json!(1)),
            "{line}"
        );
    }
    assert_eq!(lines(&why)[0]["exit_code"], 1, "{why}");
    assert!(why.contains("; 1 changes were made"), "{why}");
    assert_eq!((retries(&outside).await, stored(&served)), (b"3".to_vec(), 2));
    let lock = outside.get_data("/config/new", false).await.unwrap().0;
    assert_eq!(lock, b"a lock");

    // Where nothing else differs there is nothing to restore, and nothing to back up before that; nor where no plan could be made.
    let (plan, why) = cli.ends(1, &asked(&["--yes"]));
    assert!(
        plan.contains(LEFT_OUT) && why.contains("would make 0 changes"),
        "{plan}\n{why}"
    );
    let (_, why) = cli.ends(10, &["restore", &id, "--root", "/nowhere", "--yes"]);
    assert!(why.contains("the backup has no znode /nowhere"), "{why}");
    assert_eq!(stored(&served), 2);
}

/// What is written nowhere is not called restoring.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_made_by_comparing() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/config", b""), ("/config/retries", b"3")]).await;
    let proxy = Proxy::start(&zookeeper.address()).unwrap();
    let storage = tempfile::tempdir().unwrap();
    let served = daemon(proxy.address(), storage.path(), &[]);
    let id = Cli::of_server(&served).back_up(&[]);
    for (dry_run, phase) in [(true, "comparing"), (false, "restoring")] {
        proxy.hold_at(b"/config/retries");
        let request = json!({ "vault": id, "dry_run": dry_run }).to_string();
        let job = served.http.post("/restore", &request).unwrap().text;
        until("the live znode is read", || proxy.holds());
        until(phase, || {
            served.http.get(&format!("/jobstatus/{job}")).unwrap().json()["progress"]["phase"] == phase
        });
        proxy.go_on();
        let ended = served.wait_for_job(&job).unwrap();
        assert_eq!(ended.status, 200, "{}", ended.text);
    }
}
