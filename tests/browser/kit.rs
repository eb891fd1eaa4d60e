//! What the suites share: a server, a browser that is signed in, and clients of ZooKeeper.

use std::path::PathBuf;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};
use zk_backup_testkit::{Browser, Daemon, Distribution, PASSWORD, Proxy, SUPER_PASSWORD, USER, ZooKeeper};
use zookeeper_client::{Acls, Client, CreateMode};

/// One browser at a time: each takes as much as a machine of two cores has.
static TURN: Mutex<()> = Mutex::const_new(());

/// For those that have no [`Site`], and hold this instead.
pub(crate) async fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// Whoever may look, and no more.
pub(crate) const READER: [(&str, &str); 2] = [
    ("BACKUP_DAEMON_API_READER_USERNAME", "reader"),
    ("BACKUP_DAEMON_API_READER_PASSWORD", "canary-reader-password"),
];

/// ZooKeeper, the server over it, and a browser. What is declared first ends first.
pub(crate) struct Site {
    pub(crate) browser: Browser,
    pub(crate) daemon: Daemon,
    /// A client of the tests' own, whom no ACL binds.
    pub(crate) client: Client,
    /// The server's way to ZooKeeper.
    pub(crate) proxy: Proxy,
    _zookeeper: ZooKeeper,
    pub(crate) storage: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With more settings of the server.
    pub(crate) async fn start_with(more: &[(&str, &str)]) -> Self {
        let turn = turn().await;
        let zookeeper = ZooKeeper::start(&Distribution::locate().unwrap()).unwrap();
        // A server that waits for its disk is silent for seconds.
        let connector = Client::connector().with_session_timeout(Duration::from_secs(30));
        let client = connector.connect(&zookeeper.address()).await.unwrap();
        let secret = format!("super:{SUPER_PASSWORD}");
        client.auth("digest", secret.as_bytes()).await.unwrap();
        let storage = tempfile::tempdir().unwrap();
        let settings = [&READER[..], more].concat();
        let program = env!("CARGO_BIN_EXE_daemon-under-test");
        let proxy = Proxy::start(&zookeeper.address()).unwrap();
        let daemon = Daemon::start(program, proxy.address(), storage.path(), &settings).unwrap();
        Self {
            browser: Browser::start().unwrap(),
            daemon,
            client,
            proxy,
            _zookeeper: zookeeper,
            storage,
            _turn: turn,
        }
    }

    /// Creates znodes that are open to everybody, in this order.
    pub(crate) async fn plant(&self, znodes: &[(&str, &[u8])]) {
        let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
        for (path, data) in znodes {
            self.client.create(path, data, &open).await.unwrap();
        }
    }

    /// Creates `/many`, with so many children.
    pub(crate) async fn plant_many(&self, children: usize) {
        self.plant(&[("/many", b"")]).await;
        let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
        let paths = (0..children).map(|number| format!("/many/n{number:06}"));
        futures::stream::iter(paths)
            .map(|path| {
                let (client, open) = (&self.client, &open);
                async move { client.create(&path, b"x", open).await.map(drop) }
            })
            .buffer_unordered(2_000)
            .try_collect::<()>()
            .await
            .unwrap();
    }

    pub(crate) fn back_up(&self) -> String {
        let (id, state) = self.daemon.do_job("/backup", "").unwrap();
        assert_eq!(state.status, 200, "{}", state.text);
        id
    }

    /// Signs in as the browser itself does it, and shows the overview.
    pub(crate) fn sign_in(&self) {
        self.sign_in_as(USER, PASSWORD);
    }

    pub(crate) fn sign_in_as(&self, user: &str, password: &str) {
        self.sign_in_at(&self.daemon.address, user, password);
    }

    /// At an address that leads to the server.
    pub(crate) fn sign_in_at(&self, address: &str, user: &str, password: &str) {
        self.browser
            .open(&format!("http://{user}:{password}@{address}/ui/"))
            .unwrap();
        self.browser.open("about:blank").unwrap();
        self.browser
            .open(&format!("http://{address}/ui/#/overview"))
            .unwrap();
        self.browser.wait_for_text("Last success").unwrap();
    }

    /// Goes to a part of the page, which is loaded anew.
    pub(crate) fn show(&self, part: &str) {
        self.browser.open("about:blank").unwrap();
        self.browser
            .open(&format!("http://{}/ui/#/{part}", self.daemon.address))
            .unwrap();
    }

    /// Goes through the steps of a restore of everything up to its plan.
    pub(crate) fn plan(&self, id: &str) {
        self.show(&format!("restore?id={id}"));
        self.browser.wait_for_text("Consistency").unwrap();
        for text in [
            "To where it was.",
            "Only what is missing",
            "as in the backup already",
        ] {
            self.browser.press("Next").unwrap();
            self.browser.wait_for_text(text).unwrap();
        }
    }

    /// Nothing is wider than the window.
    pub(crate) fn assert_fits(&self, width: u32, part: &str) {
        let wide = "return document.documentElement.scrollWidth";
        let wide = self.browser.run(wide, &[]).unwrap();
        assert!(
            wide.as_u64().unwrap() <= width.into(),
            "{part} at {width}: {wide}"
        );
    }

    /// The data that ZooKeeper has, or nothing where there is no such znode.
    pub(crate) async fn data(&self, path: &str) -> Option<Vec<u8>> {
        match self.client.get_data(path).await {
            Ok((data, _)) => Some(data),
            Err(zookeeper_client::Error::NoNode) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The browser has noted nothing, but for what contains one of `expected`.
    pub(crate) fn assert_no_complaints(&self, expected: &[&str]) {
        let mut complaints = self.browser.complaints().unwrap();
        complaints.retain(|complaint| !expected.iter().any(|part| complaint.contains(part)));
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    /// Keeps a picture of the page for the documents, where that is asked for.
    pub(crate) fn picture(&self, name: &str) {
        if std::env::var_os("UPDATE_SCREENSHOTS").is_none() {
            return;
        }
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/images");
        std::fs::create_dir_all(&folder).unwrap();
        let png = self.browser.screenshot().unwrap();
        std::fs::write(folder.join(format!("ui-{name}.png")), png).unwrap();
    }
}
