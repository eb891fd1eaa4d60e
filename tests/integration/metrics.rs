//! What Prometheus reads: its rules hold of all of it, and what dashboard and alerts ask for is there.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use zk_backup_testkit::{Daemon, Exposition, S3Server};

use crate::common::buckets::in_bucket;
use crate::common::daemons::{back_up, daemon, restore};
use crate::common::servers::{nobody, server};

/// Names that others have given.
const OLD: [&str; 1] = ["backup_"];

fn metrics(daemon: &Daemon) -> Exposition {
    let text = daemon.http.get("/metrics").unwrap().text;
    Exposition::check(&text, &OLD).unwrap_or_else(|broken| panic!("{}\n{text}", broken.join("\n")))
}

/// The metrics that a file of `examples/deploy` names.
fn named_in(file: &str) -> BTreeSet<String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(workspace.join("examples/deploy").join(file)).unwrap();
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
    let names = words.filter(|word| word.starts_with("backup_") || word.starts_with("zk_backup_"));
    names.map(str::to_owned).collect()
}

#[test]
fn everything_that_dashboard_and_alerts_ask_for_is_told_by_a_server_and_by_the_rules() {
    let zookeeper = server();
    let (storage, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let second = copies.path().join("copies");
    let settings = [
        ("S3_ENABLED", "false"),
        ("SECONDARY_DIRECTORY", second.to_str().unwrap()),
        ("BACKUP_SCHEDULE", "0 3 1 1 *"),
        ("WEBHOOK_URL", "http://127.0.0.1:9/"),
    ];
    let mut first = daemon(&zookeeper.address(), storage.path(), &settings);
    let fresh = metrics(&first);
    let gone = "zk_backup_last_success_timestamp_seconds";
    assert!(!fresh.has(gone), "there is no backup yet");
    assert_eq!(
        fresh.value("zk_backup_backup_failures_total", &[("mode", "hierarchical")]),
        Some(0.0)
    );
    let expected = fresh.value("zk_backup_schedule_expected_interval_seconds", &[]);
    assert_eq!(expected, Some(366.0 * 86_400.0));

    let id = back_up(&first, "");
    assert_eq!(restore(&first, &id, "").0, 200);
    // What only looks has restored nothing, and failed at nothing either.
    for roots in [r#", "dry_run": true"#, r#", "dbs": ["typo"], "dry_run": true"#] {
        restore(&first, &id, roots);
    }
    for check in ["/verify", &format!("/restoretest/{id}")] {
        assert_eq!(first.do_job(check, "").unwrap().1.status, 200);
    }
    let told = metrics(&first);
    let date = told.value(gone, &[("kind", "full")]).unwrap();
    let described = first.describe(&id).unwrap();
    assert!(
        (date - described["ts"].as_f64().unwrap() / 1_000.0).abs() < 2.0,
        "{described}"
    );
    for kind in ["backup", "restore", "verify", "restoretest"] {
        let ended = [("kind", kind), ("outcome", "successful")];
        let count = |from: &Exposition| from.value("zk_backup_job_duration_seconds_count", &ended);
        let dry_runs = f64::from(u8::from(kind == "restore"));
        assert_eq!(
            (count(&fresh), count(&told)),
            (Some(0.0), Some(1.0 + dry_runs)),
            "{kind}"
        );
    }
    let restores = |outcome| told.value("zk_backup_restores_total", &[("outcome", outcome)]);
    assert_eq!(
        (restores("successful"), restores("failed")),
        (Some(1.0), Some(0.0))
    );
    let calls = |op| told.value("zk_backup_storage_operations_total", &[("op", op)]);
    assert_eq!(calls("commit"), Some(1.0));
    let bytes = |op| {
        told.value("zk_backup_storage_bytes_total", &[("op", op)])
            .unwrap()
    };
    assert!(bytes("write") > 100.0 && bytes("read") >= bytes("write"));
    let labels = told.labels();
    assert!(labels.contains(&("backup_storage_last_size", "id")));
    for (name, _) in labels.into_iter().filter(|(_, label)| *label == "id") {
        assert!(name.starts_with("backup_storage_last_"), "{name}");
    }

    let group = leader_of_one();
    let missing: BTreeSet<_> = ["grafana/dashboard.json", "grafana/rules.yaml"]
        .into_iter()
        .flat_map(named_in)
        .filter(|name| !told.has(name) && !group.has(name))
        .collect();
    assert_eq!(missing, BTreeSet::new());

    // What is stored is told again, and what is counted begins anew.
    first.kill();
    let again = metrics(&daemon(&zookeeper.address(), storage.path(), &settings));
    assert_eq!(again.value(gone, &[("kind", "full")]), Some(date));
    assert_eq!(
        again.value("zk_backup_kept_duration_seconds_count", &[]),
        Some(1.0)
    );
    assert_eq!(
        again.value("zk_backup_restores_total", &[("outcome", "successful")]),
        Some(0.0)
    );
}

/// What a server tells that shares a bucket with others.
fn leader_of_one() -> Exposition {
    let (s3, storage) = (S3Server::start().unwrap(), tempfile::tempdir().unwrap());
    let url = s3.url();
    let ha = [("HA", "true"), ("ZOOKEEPER_TIMEOUT", "3")];
    let server = daemon(
        &nobody(),
        storage.path(),
        &[&in_bucket(&url, "zk")[..], &ha].concat(),
    );
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let told = metrics(&server);
        if told.value("zk_backup_leader", &[]) == Some(1.0) {
            return told;
        }
        assert!(Instant::now() < deadline, "{}", server.said());
        std::thread::sleep(Duration::from_millis(50));
    }
}
