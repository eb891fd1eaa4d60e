//! A restore under another name, onto what is there: what would go is told first, and then goes, and nothing else.

use backup_engine::Driver;
use serde_json::{Value, json};
use zookeeper_async::{Acl, CreateMode};

use crate::common::by_each_adapter;
use crate::common::clients::observer;
use crate::common::daemons::{back_up, daemon_by, restore};
use crate::common::servers::server;
use crate::common::trees::{assert_same, dump, plant};

/// What a job says that is to be the same of what would be done and of what was done.
fn figures(result: &Value) -> Vec<&Value> {
    let report = &result["report"];
    [
        "created",
        "data_changed",
        "acl_changed",
        "deleted",
        "unchanged",
        "left_alone",
        "failed",
        "deleted_below",
        "differences",
    ]
    .iter()
    .map(|name| &report[name])
    .collect()
}

by_each_adapter!(a_dry_run_onto_what_is_there_says_what_goes_and_the_run_does_exactly_that);

async fn a_dry_run_onto_what_is_there_says_what_goes_and_the_run_does_exactly_that(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(
        &outside,
        &[
            ("/a", b"a"),
            ("/a/same", b"same"),
            ("/a/differs", b"of the backup"),
            ("/a/new", b""),
            ("/a/new/below", b"new"),
        ],
    )
    .await;
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon_by(driver, &zookeeper.address(), storage.path(), &[]);
    let id = back_up(&daemon, r#"{"dbs": ["a"]}"#);
    // The place, what lives beside it, and what the backup was taken of have all gone on.
    plant(
        &outside,
        &[
            ("/place", b""),
            ("/place/copy", b"live"),
            ("/place/copy/same", b"same"),
            ("/place/copy/differs", b"live"),
            ("/place/copy/goes", b""),
            ("/place/copy/goes/too", b""),
            ("/place/copy/alone", b"live"),
            ("/place/copy/held", b"live"),
            ("/place/beside", b"live"),
            ("/place/copyist", b""),
            ("/place/copyist/below", b"live"),
            ("/a/later", b"live"),
        ],
    )
    .await;
    let (open, mode) = (Acl::open_unsafe().clone(), CreateMode::Ephemeral);
    let session = outside.create("/place/copy/held/session", b"mine".to_vec(), open, mode);
    session.await.unwrap();
    outside.set_data("/a", b"later".to_vec(), None).await.unwrap();
    let before = dump(&outside).await;

    let request = r#", "dbs": ["a"], "changeDbNames": {"a": "place/copy"}"#;
    let dry = |more: &str| {
        let (status, state) = restore(&daemon, &id, &format!(r#"{request}, "dry_run": true{more}"#));
        assert_eq!(status, 200, "{state}");
        state["result"].clone()
    };
    let merged = dry(r#", "policy": "merge""#);
    assert_eq!(merged["report"]["deleted"], 0, "{merged}");
    assert_eq!(merged["notes"], json!([]), "{merged}");
    let planned = dry("");
    let told = "3 live znodes below /place/copy, where something else is restored to, are not in the backup";
    assert_eq!(
        planned["notes"],
        json!([format!("{told} and would be deleted")]),
        "{planned}"
    );
    assert_eq!(
        planned["report"]["deleted_below"],
        json!({ "/place/copy": 3 }),
        "{planned}"
    );
    let differences = planned["report"]["differences"].as_array().unwrap();
    let deleted = differences.iter().filter(|one| one["change"] == "delete");
    let mut deleted: Vec<_> = deleted.map(|one| one["path"].as_str().unwrap()).collect();
    deleted.sort_unstable();
    let gone = ["/place/copy/alone", "/place/copy/goes", "/place/copy/goes/too"];
    assert_eq!(deleted, gone);
    assert_same(&before, &dump(&outside).await);

    let (status, state) = restore(&daemon, &id, request);
    assert_eq!(status, 200, "{state}");
    let done = &state["result"];
    assert_eq!(
        done["notes"],
        json!([format!("{told} and were deleted")]),
        "{done}"
    );
    assert_eq!(figures(done), figures(&planned));
    let mut expected = before;
    for path in gone {
        expected.remove(path);
    }
    let open = expected["/place/copy"].1.clone();
    for (path, data) in [
        ("/place/copy", &b"a"[..]),
        ("/place/copy/differs", b"of the backup"),
        ("/place/copy/new", b""),
        ("/place/copy/new/below", b"new"),
    ] {
        expected.insert(path.to_owned(), (data.to_vec(), open.clone()));
    }
    assert_same(&expected, &dump(&outside).await);
    let session = outside.get_data("/place/copy/held/session", false).await;
    assert_eq!(session.unwrap().0, b"mine");
}
