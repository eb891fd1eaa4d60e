//! An ensemble of three: the leader is found, and what is lost comes back on every member.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zk_backup_testkit::{Daemon, Distribution, Ensemble};
use zookeeper_client::{Acls, CreateMode, EnsembleUpdate};

use crate::common::cli::Cli;
use crate::common::clients::client;
use crate::common::daemons::{COMMAND, daemon, recover};
use crate::common::servers::{agent, busy, start};
use crate::common::snapshots::take_snapshot;
use crate::common::trees::{Exact, assert_exact, exact, plant_all_kinds};

/// What every member shows, without what each keeps for itself.
async fn on_every_member(ensemble: &Ensemble) -> Vec<Exact> {
    let mut trees = Vec::new();
    for server in ensemble.servers() {
        let mut tree = exact(&client(&server.address()).await).await;
        tree.remove("/zookeeper/config");
        trees.push(tree);
    }
    trees
}

fn zxid(ensemble: &Ensemble) -> i64 {
    let answer = ensemble.servers()[0].four_letter("srvr").unwrap();
    let line = answer.lines().find_map(|line| line.strip_prefix("Zxid: 0x"));
    i64::from_str_radix(line.unwrap(), 16).unwrap()
}

/// Restores by files, and has every server begin with them.
async fn recovered(daemon: &Daemon, ensemble: &mut Ensemble, storage: &Path, body: &Value) -> Value {
    let restart = async |files: &Path| ensemble.begin_with(files).unwrap();
    let (status, state) = recover(daemon, storage, body, restart).await;
    assert_eq!(status, 200, "{state}");
    assert!(!storage.join("recover").exists());
    state["result"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_ensemble_comes_back_on_every_member() {
    let mut ensemble = Ensemble::start(&Distribution::locate().unwrap(), &busy()).unwrap();
    let outside = client(&ensemble.address()).await;
    plant_all_kinds(&outside).await;
    let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
    for i in 0..700 {
        outside
            .create(&format!("/plain/n{i}"), &[7; 100], &open)
            .await
            .unwrap();
    }
    // Long-lived, so that it outlives what follows.
    outside.delete("/brief", None).await.unwrap();
    let storage = tempfile::tempdir().unwrap();
    let leader = ensemble.leader().unwrap().data_directory();
    let port = agent(leader, storage.path().to_owned(), r#"{"Status":"Ok"}"#).to_string();
    let settings = [
        ("TRANSACTIONAL_SOURCE", "agent"),
        ("ZOOKEEPER_AGENT_PORT", &*port),
        ("RESTORE_RESTART_COMMAND", COMMAND),
        ("RESTORE_TIMEOUT", "300"),
        ("EVICTION_POLICY", "1y/delete"),
    ];
    let daemon_here = daemon(&ensemble.address(), storage.path(), &settings);
    let (id, info) = take_snapshot(&daemon_here);
    assert_eq!(info["taken_from"]["source"], json!("agent"), "{info:?}");
    let before = on_every_member(&ensemble).await;
    let epoch = zxid(&ensemble) >> 32;
    drop(outside);

    ensemble.lose_everything().unwrap();
    let body = json!({ "vault": id, "strategy": "files" });
    let result = recovered(&daemon_here, &mut ensemble, storage.path(), &body).await;
    assert_eq!(result["verified"].as_array().unwrap().len(), 3, "{result}");
    for (left, right) in before.iter().zip(on_every_member(&ensemble).await) {
        assert_exact(left, &right);
    }

    // Above every zxid that clients have seen, here and in a time that is not known to us.
    let body = json!({ "vault": id, "strategy": "files", "raise_epoch": 40 });
    recovered(&daemon_here, &mut ensemble, storage.path(), &body).await;
    assert!(zxid(&ensemble) >> 32 >= 41, "an election may take more than one");
    assert!(epoch < 40);
    for (left, right) in before.iter().zip(on_every_member(&ensemble).await) {
        assert_exact(left, &right);
    }

    // While it runs.
    let outside = client(&ensemble.address()).await;
    outside.set_data("/plain/n5", b"else", None).await.unwrap();
    outside.delete("/plain/n6", None).await.unwrap();
    outside.create("/plain/more", b"", &open).await.unwrap();
    let online = json!({ "vault": id });
    let (_, state) = daemon_here.do_job("/restore", &online.to_string()).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let contents = |trees: &[Exact]| -> Vec<Vec<_>> {
        let content = |tree: &Exact| {
            tree.iter()
                .map(|(path, (data, acl, _))| (path.clone(), data.clone(), acl.clone()))
                .collect()
        };
        trees.iter().map(content).collect()
    };
    let deadline = Instant::now() + Duration::from_secs(90);
    while contents(&before) != contents(&on_every_member(&ensemble).await) {
        assert!(Instant::now() < deadline, "the members differ");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_command_the_files_and_the_steps_are_given() {
    let server = start(&busy());
    plant_all_kinds(&client(&server.address()).await).await;
    let (storage, data) = (tempfile::tempdir().unwrap(), server.data_directory());
    let settings = [
        ("ZOOKEEPER_DATA_DIR", data.to_str().unwrap()),
        ("EVICTION_POLICY", "1y/delete"),
    ];
    let daemon_here = daemon(&server.address(), storage.path(), &settings);
    let (hierarchical, _) = daemon_here.do_job("/backup", "").unwrap();
    let body = json!({ "vault": "latest", "strategy": "files" }).to_string();
    let refused = daemon_here.http.post("/restore", &body).unwrap();
    assert!(
        refused.status == 404 && refused.text.contains("that is transactional, valid and"),
        "{}",
        refused.text
    );
    let (id, info) = take_snapshot(&daemon_here);
    for body in [
        json!({ "vault": hierarchical, "strategy": "files" }),
        json!({ "vault": id, "strategy": "files", "dbs": ["plain"] }),
        json!({ "vault": id, "raise_epoch": true }),
        json!({ "vault": id, "strategy": "files", "raise_epoch": "much" }),
        json!({ "vault": id, "strategy": "files", "raise_epoch": 2_000_000_001 }),
        json!({ "vault": id, "strategy": "magic" }),
        json!({ "vault": id, "dry_run": "on" }),
        json!({ "vault": id, "dry_run": "null" }),
    ] {
        let refused = daemon_here.http.post("/restore", &body.to_string()).unwrap();
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
    }
    let recover = storage.path().join("recover");
    let body = json!({ "vault": id, "strategy": "files", "dry_run": true }).to_string();
    let (_, state) = daemon_here.do_job("/restore", &body).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    assert!(!recover.exists());
    let body = json!({ "vault": id, "strategy": "files", "raise_epoch": true }).to_string();
    let (_, state) = daemon_here.do_job("/restore", &body).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let steps = state.json()["result"]["steps"].as_array().unwrap().len();
    assert_eq!(steps, 5, "{}", state.text);
    let by_hand = [
        "restore",
        &id,
        "--strategy",
        "files",
        "--raise-epoch",
        "--yes",
        "--no-backup-first",
    ];
    let told = Cli::of_server(&daemon_here).ok(&by_hand);
    let last = told.lines().last().unwrap();
    assert!(
        last.contains(recover.to_str().unwrap())
            && last.ends_with("nothing is restored until the steps above are done"),
        "{told}"
    );
    assert!(
        told.contains("1. Stop every ") && !told.contains("restored from"),
        "{told}"
    );
    let mut names: Vec<_> = fs::read_dir(&recover)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let snapshot = format!(
        "snapshot.{}",
        info["zxid"]["newest"].as_str().unwrap().trim_start_matches("0x")
    );
    assert_eq!(names, ["README", "acceptedEpoch", "currentEpoch", &*snapshot]);
    drop(daemon_here);

    // A command that fails is told, and the files stay.
    let command = ("RESTORE_RESTART_COMMAND", "echo no such pod; exit 3");
    let daemon_here = daemon(
        &server.address(),
        storage.path(),
        &[settings[0], settings[1], command],
    );
    let (_, state) = daemon_here.do_job("/restore", &body).unwrap();
    assert_eq!(state.status, 500, "{}", state.text);
    assert!(state.text.contains("no such pod"), "{}", state.text);
    let result = &state.json()["result"];
    assert_eq!(
        (&result["zxid"], &result["verified"]),
        (&info["zxid"]["newest"], &json!([])),
        "{result}"
    );
    assert!(recover.join(snapshot).exists());
}

/// A change of the ensemble itself is a transaction of its own kind, and what comes after it is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reconfiguration_is_replayed() {
    let mut setup = busy();
    setup.config = "reconfigEnabled=true\n".to_owned();
    let ensemble = Ensemble::start(&Distribution::locate().unwrap(), &setup).unwrap();
    let leader = ensemble.leader().unwrap();
    let outside = client(&leader.address()).await;
    plant_all_kinds(&outside).await;
    let first_leads = ensemble.servers()[0].address() == leader.address();
    let leaving = [if first_leads { "2" } else { "1" }];
    let update = EnsembleUpdate::Incremental {
        joinings: [].iter().copied(),
        leavings: leaving.iter().copied(),
    };
    let (config, _) = outside.update_ensemble(update, None).await.unwrap();
    let config = String::from_utf8(config).unwrap();
    assert!(!config.contains(&format!("server.{}=", leaving[0])), "{config}");
    let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
    outside.create("/after", b"", &open).await.unwrap();

    let storage = tempfile::tempdir().unwrap();
    let data = leader.data_directory();
    let settings = [("ZOOKEEPER_DATA_DIR", data.to_str().unwrap())];
    let daemon_here = daemon(&leader.address(), storage.path(), &settings);
    let (id, info) = take_snapshot(&daemon_here);
    let digests = &info["taken_from"]["digests"];
    assert!(digests["compared"].as_u64().unwrap() > 10, "{info:?}");
    assert_eq!(digests["differing"], json!(0), "{info:?}");
    let answer = daemon_here
        .http
        .get(&format!("/listbackups/{id}/znode?path=/zookeeper/config"));
    let node = answer.unwrap().json();
    let data = STANDARD.decode(node["data"].as_str().unwrap()).unwrap();
    let text = String::from_utf8(data).unwrap();
    assert_eq!(text, config);
}
