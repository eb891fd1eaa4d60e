//! Clients that write while something else is tested.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use zookeeper_client::{Acl, Acls, AuthId, CreateMode, Permission};

use super::clients::{client, stranger};

/// Writes everything that there is to a server, until it is stopped.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Writer {
    pub(crate) fn start(address: String) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let task = tokio::spawn(write(address, Arc::clone(&stop), Arc::clone(&done)));
        Self { stop, done, task }
    }

    /// Waits until it has done so many steps more.
    pub(crate) async fn steps(&self, more: u64) {
        let last = self.done.load(Ordering::Relaxed);
        while self.done.load(Ordering::Relaxed) < last + more {
            assert!(!self.task.is_finished(), "it writes no more");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
    }
}

/// Creations, changes, deletions, multis, ephemerals, TTL and container znodes and changes of ACLs.
async fn write(address: String, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    let client = client(&address).await;
    let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let only_super = [Acl::new(
        Permission::ALL,
        AuthId::new("digest", "bob:ZWxzZXdoZXJlIQ=="),
    )];
    client.create("/load", b"", &open).await.unwrap();
    let mut turn = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let path = format!("/load/n{turn}");
        match turn % 8 {
            0 => {
                let ttl = CreateMode::Persistent
                    .with_acls(Acls::anyone_all())
                    .with_ttl(Duration::from_secs(3_600));
                client.create(&path, b"ttl", &ttl).await.unwrap();
            }
            1 => {
                let container = CreateMode::Container.with_acls(Acls::anyone_all());
                client.create(&path, b"", &container).await.unwrap();
                client.create(&format!("{path}/child"), b"", &open).await.unwrap();
            }
            2 => {
                let own = stranger(&address).await;
                let ephemeral = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
                own.create(&format!("{path}-"), b"mine", &ephemeral)
                    .await
                    .unwrap();
                drop(own);
            }
            3 => {
                let mut multi = client.new_multi_writer();
                multi.add_create(&path, b"one", &open).unwrap();
                multi
                    .add_create(&format!("{path}/two"), &vec![7; 3_000], &open)
                    .unwrap();
                multi
                    .add_set_data("/load", turn.to_string().as_bytes(), None)
                    .unwrap();
                multi.commit().await.unwrap();
            }
            4 => {
                let sequential = CreateMode::PersistentSequential.with_acls(Acls::new(&only_super));
                client.create("/load/s-", b"", &sequential).await.unwrap();
                let mut multi = client.new_multi_writer();
                multi.add_create(&path, b"never", &open).unwrap();
                multi.add_delete("/no/such/znode", None).unwrap();
                assert!(multi.commit().await.is_err());
            }
            5 => {
                client.create(&path, b"", &open).await.unwrap();
                client.set_data(&path, &turn.to_be_bytes(), None).await.unwrap();
                client.set_acl(&path, &only_super, None).await.unwrap();
            }
            6 if turn > 16 => {
                let gone = format!("/load/n{}", turn - 14);
                client.delete(&format!("{gone}/none"), None).await.unwrap_err();
                client
                    .delete(&format!("/load/n{}", turn - 9), None)
                    .await
                    .unwrap();
            }
            _ => {
                client.create(&path, "ł".as_bytes(), &open).await.unwrap();
                client.set_data("/load", b"again", None).await.unwrap();
            }
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
}
