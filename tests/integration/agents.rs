//! Transactional backups by agents.

use std::fs;

use serde_json::json;

use crate::common::clients::client;
use crate::common::daemons::daemon;
use crate::common::servers::{agent, busy, start};
use crate::common::snapshots::{from_file, snapshot_of, take_snapshot};
use crate::common::trees::{assert_exact, exact, plant_all_kinds};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_copies_the_files_and_what_is_not_possible_is_told() {
    let server = start(&busy());
    let outside = client(&server.address()).await;
    plant_all_kinds(&outside).await;
    let storage = tempfile::tempdir().unwrap();
    let leftover = storage.path().join("tmp/version-2/snapshot.ffffffff");
    fs::create_dir_all(leftover.parent().unwrap()).unwrap();
    fs::write(leftover, b"from an earlier time").unwrap();
    let port = agent(
        server.data_directory(),
        storage.path().to_owned(),
        r#"{"Status":"Ok"}"#,
    )
    .to_string();
    let settings = [
        ("ZOOKEEPER_DATA_DIR", "/no/such/directory"),
        ("ZOOKEEPER_AGENT_PORT", &*port),
    ];
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let before = exact(&outside).await;
    let (id, info) = take_snapshot(&daemon_here);
    let from = &info["taken_from"];
    assert_eq!(
        (&from["source"], &from["passed_over"]),
        (&json!("agent"), &json!([])),
        "{info:?}"
    );
    assert!(
        from["not_possible"][0]
            .as_str()
            .unwrap()
            .contains("/no/such/directory"),
        "{info:?}"
    );
    assert!(!storage.path().join("tmp").exists());
    let copy = from_file(snapshot_of(storage.path(), &id));
    assert_exact(&before, &exact(&client(&copy.address()).await).await);
    drop(daemon_here);

    let port = agent(
        server.data_directory(),
        storage.path().to_owned(),
        r#"{"Status":"Failed"}"#,
    )
    .to_string();
    let settings = [
        ("ZOOKEEPER_DATA_DIR", "/no/such/directory"),
        ("ZOOKEEPER_AGENT_PORT", &*port),
    ];
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let (_, state) = daemon_here
        .do_job("/backup", r#"{"mode": "transactional"}"#)
        .unwrap();
    assert_eq!(state.status, 500, "{}", state.text);
    for why in ["files: /no/such/directory", "agent: ", "/store answered 200"] {
        assert!(state.text.contains(why), "{}", state.text);
    }
    assert!(!storage.path().join("tmp").exists());
}
