//! Which servers a restore by files compares, where these have begun with the state of another ensemble.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use backup_engine::{Driver, Ensemble as _, ZooKeeperEnsemble};
use serde_json::json;
use zk_backup_testkit::{Distribution, Ensemble, ZooKeeper};
use zk_snapshot::client::BatchedConfig;

use crate::common::clients::client;
use crate::common::daemons::{COMMAND, daemon, recover, recovery_settings};
use crate::common::servers::{busy, server, start};
use crate::common::snapshots::take_snapshot;
use crate::common::trees::plant_all_kinds;

/// The others, by their addresses, of which the servers at `address` know.
async fn others(address: &str) -> Result<Vec<String>, String> {
    let ensemble = ZooKeeperEnsemble::new(BatchedConfig::new(address), Driver::Auto);
    let others = ensemble.other_members().await.map_err(|why| why.to_string())?;
    Ok(others.iter().map(|other| other.name()).collect())
}

/// An address before `zookeeper` that answers `srvr` by itself, with the mode that `mode` has for how often it was asked before, or that it may not answer, and
/// no other word. How often it was asked for `srvr`.
fn saying(
    zookeeper: &ZooKeeper,
    mode: impl Fn(usize) -> Option<&'static str> + Send + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (behind, asked) = (zookeeper.address(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, mut word) = (socket.unwrap(), [0; 4]);
            socket.read_exact(&mut word).unwrap();
            if !word.is_ascii() || word.contains(&0) {
                pass_on(socket, word, &behind);
                continue;
            }
            let is_srvr = &word == b"srvr";
            let mode = is_srvr
                .then(|| mode(counted.fetch_add(1, Ordering::SeqCst)))
                .flatten();
            let answer = match mode {
                Some(mode) => {
                    format!("Zookeeper version: 3.9.5\nZxid: 0x100000001\nMode: {mode}\nNode count: 5\n")
                }
                None => format!(
                    "{} is not executed because it is not in the whitelist.\n",
                    String::from_utf8_lossy(&word)
                ),
            };
            socket.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, asked)
}

/// A session of a client that has sent these bytes.
fn pass_on(client: TcpStream, begun: [u8; 4], server: &str) {
    let mut server = TcpStream::connect(server).unwrap();
    server.write_all(&begun).unwrap();
    for (from, to) in [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))] {
        let (mut from, mut to) = (from.unwrap(), to.unwrap());
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to); // however it ends
            let _ = to.shutdown(Shutdown::Both); // it may be closed already
        });
    }
}

/// An address before the one `behind`, where there is no `/zookeeper/config`, as before 3.5: what asks for it is sent to where no znode is.
fn without_config(behind: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (client, server) = (socket.unwrap(), TcpStream::connect(&behind).unwrap());
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || {
                let (config, absent) = (b"/zookeeper/config", b"/zookeeper/absent");
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = from.read(&mut buffer) {
                    let part = &mut buffer[..length];
                    let asked = part.windows(config.len()).position(|bytes| bytes == config);
                    if let Some(at) = asked {
                        part[at..at + absent.len()].copy_from_slice(absent);
                    }
                    if to.write_all(part).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(Shutdown::Write); // it may be closed already
            });
            let (mut from, mut to) = (server, client);
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to); // however it ends
                let _ = to.shutdown(Shutdown::Both); // it may be closed already
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_does_not_tell_who_the_others_are_is_not_alone() {
    let zookeeper = server();
    let (follower, _) = saying(&zookeeper, |_| Some("follower"));
    let follower = without_config(follower);
    let why = others(&follower).await.unwrap_err();
    assert!(why.contains("before 3.5"), "{why}");
    let all = format!("{follower},{}", zookeeper.address());
    assert_eq!(others(&all).await, Ok(Vec::new()));
    let (alone, _) = saying(&zookeeper, |_| Some("standalone"));
    assert_eq!(others(&without_config(alone)).await, Ok(Vec::new()));
    // It may not say which of the two it is.
    let (silent, _) = saying(&zookeeper, |_| None);
    let silent = without_config(silent);
    let why = others(&silent).await.unwrap_err();
    assert!(why.contains("whether it is alone"), "{why}");
    let all = format!("{silent},{}", without_config(zookeeper.address()));
    assert_eq!(others(&all).await, Ok(Vec::new()));
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
    let zookeeper = server();
    let (address, asked) = saying(&zookeeper, |_| Some("leader"));
    let why = others(&address).await.unwrap_err();
    assert!(why.contains("leads") && why.contains("`conf`"), "{why}");
    // Others might have been behind the address.
    assert!(asked.load(Ordering::SeqCst) > 2, "{asked:?}");
}

/// One whose `/zookeeper/config` is that of an ensemble.
async fn with_two_members() -> ZooKeeper {
    let zookeeper = server();
    let config = b"server.1=zk-1:2888:3888:participant;0.0.0.0:2181\nserver.2=zk-2:2888:3888:participant;0.0.0.0:2182\nversion=0";
    let outside = client(&zookeeper.address()).await;
    outside.set_data("/zookeeper/config", config, None).await.unwrap();
    assert_eq!(others(&zookeeper.address()).await, Ok(Vec::new()));
    zookeeper
}

fn both() -> Result<Vec<String>, String> {
    Ok(vec!["zk-1:2181".to_owned(), "zk-2:2182".to_owned()])
}

/// One address may be that of all of them, and whoever follows is asked as soon as it answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_behind_the_address_of_the_leader_is_found() {
    let zookeeper = with_two_members().await;
    let (address, asked) = saying(&zookeeper, |before| {
        Some(if before < 2 { "leader" } else { "follower" })
    });
    assert_eq!(others(&address).await, both());
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_may_not_say_what_it_is_is_believed_who_the_others_are() {
    let zookeeper = with_two_members().await;
    let (address, _) = saying(&zookeeper, |_| None);
    assert_eq!(others(&address).await, both());
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
