//! The README's tour, run as it stands there.

use std::process::Command;

use serde_json::Value;
use zk_backup_testkit::{PASSWORD, USER, blocks};

use crate::common::clients::observer;
use crate::common::daemons::daemon;
use crate::common::servers::server;
use crate::common::trees::plant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_works_as_the_readme_shows_it() {
    let blocks = blocks(include_str!("../../README.md"));
    let (_, tour) = blocks.iter().find(|(kind, _)| *kind == "sh tour").unwrap();
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/config", b"3"), ("/other", b"")]).await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&zookeeper.address(), storage.path(), &[]);
    let script = tour
        .replace("localhost:8080", &daemon.address)
        .replace("admin:admin", &format!("{USER}:{PASSWORD}"))
        .replace("curl -sS ", "curl -sS -w '\\n' ")
        .replace("curl -sS -w '\\n' -X POST", "curl -sS -X POST");
    let elsewhere = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        .args(["-eu", "-c", &script])
        .current_dir(elsewhere.path())
        .output()
        .expect("sh");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "is curl installed? {err}\n{out}");
    assert_eq!(err, "", "{out}");
    assert_eq!(out.matches(r#""status":"Successful""#).count(), 4, "{out}");
    assert!(out.contains(r#""db_list":["config"]"#), "{out}");
    assert!(
        out.contains(r#""Ok""#) && out.contains(" successfully removed"),
        "{out}"
    );
    assert!(
        out.contains(r#""status":"UP""#) && out.contains("# HELP backup_queue_size"),
        "{out}"
    );
    let left = daemon.http.get("/listbackups").unwrap().json();
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");
    assert_ne!(left[0], Value::Null);
}
