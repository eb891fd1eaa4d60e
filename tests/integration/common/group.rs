//! Several servers over one bucket.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use zk_backup_testkit::{Daemon, Proxy, S3Server};

use super::buckets::in_bucket;
use super::daemons::daemon;

/// How long a lease lasts here; after a kill others wait for a sixth of it more.
pub(crate) const LEASE: Duration = Duration::from_secs(9);

/// Servers that share a bucket.
pub(crate) struct Group {
    pub(crate) s3: S3Server,
    /// How they reach it.
    pub(crate) url: String,
    storages: Vec<TempDir>,
}

impl Group {
    pub(crate) fn new() -> Self {
        let s3 = S3Server::start().unwrap();
        Self {
            url: s3.url(),
            s3,
            storages: Vec::new(),
        }
    }

    /// Another server, once it knows who leads.
    pub(crate) fn start(&mut self, zookeeper: &str, name: &str, more: &[(&str, &str)]) -> Daemon {
        let daemon = self.begin(zookeeper, name, more);
        wait_until(|| health(&daemon).get("leader").is_some(), || daemon.said());
        daemon
    }

    /// Another server, which listens.
    pub(crate) fn begin(&mut self, zookeeper: &str, name: &str, more: &[(&str, &str)]) -> Daemon {
        let storage = tempfile::tempdir().unwrap();
        let seconds = LEASE.as_secs().to_string();
        let ha = [
            ("HA", "true"),
            ("HA_NAME", name),
            ("HA_LEASE_SECONDS", &seconds),
            ("ZOOKEEPER_TIMEOUT", "3"),
        ];
        let settings = [&in_bucket(&self.url, "zk")[..], &ha, more].concat();
        let daemon = daemon(zookeeper, storage.path(), &settings);
        self.storages.push(storage);
        daemon
    }
}

pub(crate) fn wait_until(is_so: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !is_so() {
        assert!(Instant::now() < deadline, "{}", otherwise());
        std::thread::sleep(Duration::from_millis(30));
    }
}

pub(crate) fn health(daemon: &Daemon) -> Value {
    daemon.http.get("/health").unwrap().json()
}

pub(crate) fn leads(daemon: &Daemon) -> bool {
    health(daemon)["role"] == "leader"
}

pub(crate) fn wait_to_lead(daemon: &Daemon) {
    wait_until(|| leads(daemon), || daemon.said());
}

pub(crate) fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args([name, &process.to_string()]).status();
    assert!(sent.unwrap().success());
}

/// Does `what` once, when so many bytes have gone to the server after it was armed.
pub(crate) fn once_so_much_is_sent(
    zookeeper: &str,
    bytes: usize,
    what: impl Fn() + Send + Sync + 'static,
) -> (Proxy, Arc<AtomicBool>) {
    let is_armed = Arc::new(AtomicBool::new(false));
    let (armed, seen, done) = (Arc::clone(&is_armed), AtomicUsize::new(0), AtomicBool::new(false));
    let watch = move |sent: &[u8]| {
        let counts = armed.load(Ordering::SeqCst);
        if counts
            && seen.fetch_add(sent.len(), Ordering::SeqCst) > bytes
            && !done.swap(true, Ordering::SeqCst)
        {
            what();
        }
    };
    (Proxy::start_with(zookeeper, watch).unwrap(), is_armed)
}
