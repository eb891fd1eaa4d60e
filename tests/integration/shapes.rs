//! Trees of extreme shapes round-trip by both adapters.

use futures::stream::{self, StreamExt, TryStreamExt};
use zk_backup_testkit::{Daemon, ZooKeeper};
use zookeeper_client as zk;

use crate::common::clients::stranger;
use crate::common::daemons::daemon;
use crate::common::servers::server;

const DRIVERS: [&str; 2] = ["batched", "plain"];

fn data(i: usize, bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|byte| (byte * 31 + i * 7 + byte / 256) as u8)
        .collect()
}

async fn multis(
    client: &zk::Client,
    znodes: usize,
    together: usize,
    add: impl Fn(&mut zk::MultiWriter<'_>, usize) -> Result<(), zk::Error>,
) {
    stream::iter((0..znodes).step_by(together))
        .map(|begin| {
            let mut multi = client.new_multi_writer();
            (begin..znodes.min(begin + together)).for_each(|i| add(&mut multi, i).unwrap());
            multi.commit()
        })
        .buffered(8)
        .try_for_each(|_| async { Ok(()) })
        .await
        .unwrap();
}

struct Shape {
    znodes: usize,
    bytes: usize,
    together: usize,
}

impl Shape {
    async fn create(&self, client: &zk::Client) {
        let open = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
        client.create("/top", b"", &open).await.unwrap();
        multis(client, self.znodes, self.together, |multi, i| {
            multi.add_create(&format!("/top/n{i:06}"), &data(i, self.bytes), &open)
        })
        .await;
    }

    async fn delete(&self, client: &zk::Client) {
        multis(client, self.znodes, 500, |multi, i| {
            multi.add_delete(&format!("/top/n{i:06}"), None)
        })
        .await;
        client.delete("/top", None).await.unwrap();
    }

    async fn is_there(&self, client: &zk::Client) {
        assert_eq!(client.list_children("/top").await.unwrap().len(), self.znodes);
        for begin in (0..self.znodes).step_by(self.together) {
            let mut reader = client.new_multi_reader();
            let end = self.znodes.min(begin + self.together);
            (begin..end).for_each(|i| reader.add_get_data(&format!("/top/n{i:06}")).unwrap());
            for (i, result) in (begin..end).zip(reader.commit().await.unwrap()) {
                match result {
                    zk::MultiReadResult::Data { data: found, .. } => {
                        assert!(found == data(i, self.bytes), "data of {i} differ");
                    }
                    other => panic!("{i}: {other:?}"),
                }
            }
        }
    }

    async fn round_trips(&self) {
        let zookeeper: ZooKeeper = server();
        let outside = stranger(&zookeeper.address()).await;
        self.create(&outside).await;
        for driver in DRIVERS {
            let storage = tempfile::tempdir().unwrap();
            let daemon: Daemon = daemon(
                &zookeeper.address(),
                storage.path(),
                &[("ZOOKEEPER_DRIVER", driver)],
            );
            let (id, state) = daemon.do_job("/backup", "").unwrap();
            assert_eq!(state.status, 200, "{driver}: {}", state.text);
            assert_eq!(
                daemon.describe(&id).unwrap()["consistency"],
                "consistent",
                "{driver}"
            );
            self.delete(&outside).await;
            let (_, state) = daemon
                .do_job("/restore", &format!(r#"{{"vault": "{id}"}}"#))
                .unwrap();
            assert_eq!(state.status, 200, "{driver}: {}", state.text);
            self.is_there(&outside).await;
            let (_, state) = daemon
                .do_job("/restore", &format!(r#"{{"vault": "{id}"}}"#))
                .unwrap();
            let report = &state.json()["result"]["report"];
            let changed = ["created", "data_changed", "acl_changed", "deleted"];
            assert!(changed.iter().all(|key| report[key] == 0), "{driver}: {report}");
            let peak = daemon.peak_memory().unwrap_or(0) / 1024;
            assert!(peak < 300, "{driver}: {peak} MiB");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_parent_with_200_000_children() {
    let shape = Shape {
        znodes: 200_000,
        bytes: 20,
        together: 500,
    };
    shape.round_trips().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_znodes_of_a_million_bytes() {
    let shape = Shape {
        znodes: 200,
        bytes: 1_000_000,
        together: 1,
    };
    shape.round_trips().await;
}
