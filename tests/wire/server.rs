//! The server in this process, over a tree in memory, by a clock that stands.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use backup_engine::{Client, Engine, Ensemble, MembersUnknown, MemoryEnsemble, SettingNames};
use eviction_policy::RulePolicy;
use health_metrics::ZooKeeperHealth;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use zk_backup_daemon::{Access, ServeOptions, serve};
use zk_backup_testkit::Http;
use zk_snapshot::tree::{Acl, AclEntry, ClientError, MemoryTree};

use crate::vaults;

/// Later than every vault.
pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-25 12:00:00 UTC);

/// Lets nobody in while the gate is shut, so that a job can be looked at while it is done.
pub(crate) struct Gated {
    pub(crate) memory: MemoryEnsemble,
    pub(crate) open: watch::Receiver<bool>,
}

#[async_trait]
impl Ensemble for Gated {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    async fn connect(&self) -> Result<Box<dyn Client>, ClientError> {
        // An error means that nobody opens it any more.
        let _ = self.open.clone().wait_for(|open| *open).await;
        self.memory.connect().await
    }

    async fn probe(&self) -> ZooKeeperHealth {
        self.memory.probe().await
    }

    async fn other_members(&self) -> Result<Vec<Arc<dyn Ensemble>>, MembersUnknown> {
        Ok(Vec::new())
    }
}

pub(crate) fn digest(perms: u32, id: &str) -> Acl {
    Acl::new(vec![AclEntry {
        perms,
        scheme: "digest".to_owned(),
        id: id.to_owned(),
    }])
}

pub(crate) fn tree() -> Arc<MemoryTree> {
    let tree = Arc::new(MemoryTree::new());
    tree.put("/app", b"", Acl::open()).unwrap();
    tree.put(
        "/app/config",
        b"retries=3",
        digest(31, "ann:wYAv2pkOVVUBw0i1Zi3bl3j2fZo="),
    )
    .unwrap();
    tree.put("/app/empty", b"", Acl::open()).unwrap();
    tree.put("/other", b"\0\xff", Acl::open()).unwrap();
    tree.put("/session", b"", Acl::open()).unwrap();
    tree.own("/session", 7);
    tree
}

fn policy() -> Arc<RulePolicy> {
    Arc::new("1y/delete".parse().unwrap())
}

/// As the server calls what an answer here speaks of.
fn names() -> SettingNames {
    SettingNames {
        states: "ZOOKEEPER_DATA_DIR names the data directory of a server".to_owned(),
        ..SettingNames::default()
    }
}

/// Somebody who listens to events.
pub(crate) struct Listener(BufReader<TcpStream>);

pub(crate) struct Server {
    http: Http,
    address: SocketAddr,
    gate: watch::Sender<bool>,
    _runtime: Runtime,
    _stop: oneshot::Sender<()>,
    _storage: tempfile::TempDir,
}

impl Server {
    /// Over a copy of the golden vaults.
    pub(crate) fn start() -> Self {
        let storage = tempfile::tempdir().unwrap();
        let memory = MemoryEnsemble::new(tree());
        // As where they were made, there is a job database.
        drop(
            Engine::builder(Arc::new(memory.clone()))
                .storage(storage.path())
                .unwrap(),
        );
        vaults::copy_to(storage.path());
        let (gate, open) = watch::channel(false);
        let engine = Engine::builder(Arc::new(Gated { memory, open }))
            .storage(storage.path())
            .unwrap()
            .clock(Arc::new(|| NOW))
            .uptime(Arc::new(|| Duration::from_secs(3_600)))
            .full_policy(policy())
            .granular_policy(policy())
            // None came due since the newest vault: it would be made now.
            .schedule("0 3 * * 4".parse().unwrap())
            .setting_names(names())
            .build()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let http = Http::new(&address.to_string());
        let runtime = Runtime::new().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let options = ServeOptions::new(Access::anonymous());
        runtime.spawn(serve(listener, engine, options, async {
            let _ = stopped.await; // dropped is stopped
        }));
        Self {
            http,
            address,
            gate,
            _runtime: runtime,
            _stop: stop,
            _storage: storage,
        }
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let answer = self.http.send(method, path, body).unwrap();
        let found = match serde_json::from_str(&answer.text) {
            Ok(json) => json,
            Err(_) => json!(answer.text),
        };
        let header = |name: &str| answer.header(name).to_owned();
        json!({
            "status": answer.status, "type": header("content-type"), "location": header("location"), "body": found,
        })
    }

    /// The methods that a refusal of this one names.
    pub(crate) fn allowed(&self, method: &str, path: &str) -> Vec<String> {
        let answer = self.http.send(method, path, "").unwrap();
        answer
            .header("allow")
            .split(", ")
            .map(str::to_lowercase)
            .collect()
    }

    pub(crate) fn listen(&self) -> Listener {
        let mut socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let request = format!("GET /events HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        socket.write_all(request.as_bytes()).unwrap();
        let mut listener = Listener(BufReader::new(socket));
        let status = listener.line();
        assert!(status.contains(" 200 "), "{status}");
        while listener.line() != "" {}
        listener
    }

    pub(crate) fn text(&self, path: &str) -> String {
        self.http.get(path).unwrap().text
    }

    /// Until the state of a job is as it is to be.
    fn wait_for(&self, job: &str, holds: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let state = self.ask("GET", &format!("/jobstatus/{job}"), "");
            if holds(&state) {
                return;
            }
            assert!(Instant::now() < deadline, "{job}: {state}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Until a job has come to the gate.
    pub(crate) fn wait_until_processing(&self, job: &str) {
        self.wait_for(job, |state| state["body"]["progress"]["phase"] == "connecting");
    }

    pub(crate) fn wait_for_end(&self, job: &str) {
        self.wait_for(job, |state| state["status"] != 206);
    }

    /// Opens or shuts the gate.
    pub(crate) fn let_in(&self, open: bool) {
        self.gate.send_replace(open);
    }

    /// Opens the gate until these jobs are done.
    pub(crate) fn work(&self, jobs: &[&str]) {
        self.let_in(true);
        for job in jobs {
            self.wait_for_end(job);
        }
        self.let_in(false);
    }
}

impl Listener {
    /// Without its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).unwrap() > 0, "the answer has ended");
        line.trim_end().to_owned()
    }

    /// The name and the data of the next event.
    pub(crate) fn next(&mut self) -> (String, Value) {
        loop {
            if let Some(name) = self.line().strip_prefix("event: ") {
                let data = self.line();
                let data = data.strip_prefix("data: ").unwrap();
                return (name.to_owned(), serde_json::from_str(data).unwrap());
            }
        }
    }
}
