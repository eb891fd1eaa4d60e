//! Which servers a restore by files compares, where these have begun with the state of another ensemble.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;

use backup_engine::{Driver, Ensemble as _, ZooKeeperEnsemble};
use serde_json::json;
use zk_backup_testkit::{Distribution, Ensemble, ZooKeeper};
use zk_snapshot::client::BatchedConfig;

use crate::common::clients::client;
use crate::common::daemons::{COMMAND, daemon, recover, recovery_settings};
use crate::common::servers::{busy, start};
use crate::common::snapshots::take_snapshot;
use crate::common::trees::plant_all_kinds;

/// The others, by their addresses, of which the servers at `address` know.
async fn others(address: &str) -> Result<Vec<String>, String> {
    let ensemble = ZooKeeperEnsemble::new(BatchedConfig::new(address), Driver::Auto);
    let others = ensemble.other_members().await.map_err(|why| why.to_string())?;
    Ok(others.iter().map(|other| other.name()).collect())
}

/// `/zookeeper/config` of a leader is that of the snapshot; here of a server that was alone, and named none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_is_not_believed_what_its_snapshot_says_of_the_servers() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/zk-snapshot/tests/golden/3.9.5");
    let mut setup = busy();
    setup.data = vec![golden.join("snapshot.8")];
    let ensemble = Ensemble::start(&Distribution::locate().unwrap(), &setup).unwrap();
    let leader = ensemble.leader().unwrap().address();
    let (config, _) = client(&leader).await.get_data("/zookeeper/config").await.unwrap();
    assert_eq!(config, b"", "else this proves nothing");

    let follows = |server: &&ZooKeeper| server.address() != leader;
    let follower = ensemble.servers().iter().find(follows).unwrap().address();
    for address in [leader.clone(), follower.clone(), format!("{leader},{follower}")] {
        let why = others(&address).await.unwrap_err();
        assert!(why.contains("it has 3 servers"), "{address}: {why}");
    }
    assert_eq!(others(&ensemble.address()).await, Ok(Vec::new()));
}

/// Where it may not say more than what it is, nobody knows who follows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_may_not_tell_who_follows_it_is_not_taken_for_all_there_is() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, mut word) = (socket.unwrap(), [0; 4]);
            socket.read_exact(&mut word).unwrap();
            let answer: &[u8] = match &word {
                b"srvr" => b"Zookeeper version: 3.9.5\nZxid: 0x100000001\nMode: leader\nNode count: 5\n",
                _ => b"conf is not executed because it is not in the whitelist.\n",
            };
            socket.write_all(answer).unwrap();
        }
    });
    let why = others(&address).await.unwrap_err();
    assert!(why.contains("leads") && why.contains("`conf`"), "{why}");
}

/// What it shows of the ensemble that the backup is of is not where it is looked whether all is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_alone_that_begins_with_the_state_of_an_ensemble_is_all_there_is() {
    let ensemble = Ensemble::start(&Distribution::locate().unwrap(), &busy()).unwrap();
    let first = &ensemble.servers()[0];
    plant_all_kinds(&client(&first.address()).await).await;
    let (storage, data) = (tempfile::tempdir().unwrap(), first.data_directory());
    let settings = recovery_settings(data.to_str().unwrap(), COMMAND);
    let daemon_there = daemon(&ensemble.address(), storage.path(), &settings);
    let (id, _) = take_snapshot(&daemon_there);
    drop(daemon_there);
    drop(ensemble);

    let mut alone = start(&busy());
    let daemon_here = daemon(&alone.address(), storage.path(), &settings);
    let body = json!({ "vault": id, "strategy": "files", "raise_epoch": true });
    let restart = async |files: &Path| {
        alone.replace_data(files).unwrap();
        alone.restart().unwrap();
    };
    let (status, state) = recover(&daemon_here, storage.path(), &body, restart).await;
    assert_eq!(status, 200, "{state}");
    let result = &state["result"];
    assert_eq!(result["verified"], json!([alone.address()]), "{result}");
    let shown = client(&alone.address()).await;
    let (config, _) = shown.get_data("/zookeeper/config").await.unwrap();
    let config = String::from_utf8(config).unwrap();
    assert!(config.contains("server.3="), "else this proves nothing: {config}");
    // Nor is it said to have begun above an epoch, which it does not.
    assert_eq!(result["epoch"], json!(null), "{result}");
    let notes = result["notes"].to_string();
    assert!(notes.contains("the epoch was not raised"), "{notes}");
}
