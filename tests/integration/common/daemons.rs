//! The server under test as a process, its settings and its jobs.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use backup_engine::Driver;
use serde_json::Value;
use zk_backup_testkit::{Daemon, DaemonError, PASSWORD, Proxy, SUPER_PASSWORD, USER};

use super::buckets::{KEYS, in_bucket, is_sealed, prefix_of, shared};
use super::servers::nobody;

/// A file with the identity. It stays, as servers read it again.
static IDENTITY: LazyLock<String> = LazyLock::new(|| {
    let file = format!(
        "{}/identity-{}.txt",
        env!("CARGO_TARGET_TMPDIR"),
        std::process::id()
    );
    fs::write(&file, KEYS[0].1).unwrap();
    file
});

/// The server under test, as a process of its own, by the adapter that it chooses unless told.
pub(crate) fn daemon(zookeeper: &str, storage: &Path, settings: &[(&str, &str)]) -> Daemon {
    try_daemon(zookeeper, storage, settings).unwrap()
}

/// What `/health` tells once ZooKeeper has answered, which is asked in the background.
pub(crate) fn health_with_zookeeper(daemon: &Daemon) -> Value {
    daemon.health_with_zookeeper().unwrap()
}

pub(crate) fn try_daemon(
    zookeeper: &str,
    storage: &Path,
    settings: &[(&str, &str)],
) -> Result<Daemon, DaemonError> {
    let program = env!("CARGO_BIN_EXE_daemon-under-test");
    let mut more = settings.to_vec();
    let bucket = shared().map(|server| (server.url(), prefix_of(storage)));
    if let Some((url, prefix)) = &bucket {
        more.splice(0..0, in_bucket(url, prefix));
    }
    let has_keys = settings.iter().any(|(name, _)| name.starts_with("ENCRYPTION_"));
    if !has_keys && is_sealed() {
        let identity = ("ENCRYPTION_IDENTITY_FILE", &**IDENTITY);
        more.splice(0..0, [("ENCRYPTION_RECIPIENTS", KEYS[0].0), identity]);
    }
    Daemon::start(program, zookeeper, storage, &more)
}

/// Why a server does not start with `settings` once the one that `changed` names has another value.
pub(crate) fn refused_with<'a, const N: usize>(
    mut settings: [(&str, &'a str); N],
    changed: (&str, &'a str),
) -> String {
    let storage = tempfile::tempdir().unwrap();
    for setting in &mut settings {
        if setting.0 == changed.0 {
            setting.1 = changed.1;
        }
    }
    let refused = try_daemon(&nobody(), storage.path(), &settings);
    refused.unwrap_err().to_string()
}

/// [`daemon`] by that adapter.
pub(crate) fn daemon_by(
    driver: Driver,
    zookeeper: &str,
    storage: &Path,
    settings: &[(&str, &str)],
) -> Daemon {
    let name = match driver {
        Driver::Auto => "auto",
        Driver::Batched => "batched",
        Driver::Plain => "plain",
        other => panic!("{other:?} has no name"),
    };
    daemon(
        zookeeper,
        storage,
        &[settings, &[("ZOOKEEPER_DRIVER", name)]].concat(),
    )
}

/// Has it read its secrets again.
pub(crate) fn hang_up(daemon: &Daemon) {
    let sent = Command::new("kill")
        .args(["-HUP", &daemon.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Asks until it is so.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) const AS_BOB: [(&str, &str); 2] = [
    ("ZOOKEEPER_DIGEST_USERNAME", "bob"),
    ("ZOOKEEPER_DIGEST_PASSWORD", "pw"),
];

pub(crate) const AS_SUPER: [(&str, &str); 2] = [
    ("ZOOKEEPER_DIGEST_USERNAME", "super"),
    ("ZOOKEEPER_DIGEST_PASSWORD", SUPER_PASSWORD),
];

pub(crate) fn by_admin(url: &str) -> [(&'static str, &str); 4] {
    [
        ("TRANSACTIONAL_SOURCE", "admin"),
        ("ZOOKEEPER_ADMIN_URL", url),
        ("EVICTION_POLICY", "1y/delete"),
        ("ZOOKEEPER_ADMIN_AUTHORIZATION", "digest super:secret"),
    ]
}

/// Backs up as `body` says, and returns the id.
pub(crate) fn back_up(daemon: &Daemon, body: &str) -> String {
    let (id, state) = daemon.do_job("/backup", body).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    id
}

/// Restores as `more` says, and returns how the job ended.
pub(crate) fn restore(daemon: &Daemon, id: &str, more: &str) -> (u16, Value) {
    let (_, state) = daemon
        .do_job("/restore", &format!(r#"{{"vault": "{id}"{more}}}"#))
        .unwrap();
    (state.status, state.json())
}

pub(crate) fn recovery_settings<'a>(data: &'a str, command: &'a str) -> [(&'static str, &'a str); 6] {
    [
        ("ZOOKEEPER_DATA_DIR", data),
        ("RESTORE_RESTART_COMMAND", command),
        ("RESTORE_TIMEOUT", "300"),
        ("EVICTION_POLICY", "1y/delete"),
        ("ZOOKEEPER_DIGEST_USERNAME", "super"),
        ("ZOOKEEPER_DIGEST_PASSWORD", SUPER_PASSWORD),
    ]
}

/// A restart command that asks for the restart, and waits until it is done.
pub(crate) const COMMAND: &str =
    "touch \"$RECOVER_DIR/../asked\"; while [ ! -e \"$RECOVER_DIR/../done\" ]; do sleep 0.05; done";

/// Asks for a restore by files, does by `restart` what the command waits for, and returns how the job ended.
pub(crate) async fn recover(
    daemon: &Daemon,
    storage: &Path,
    body: &Value,
    restart: impl AsyncFnOnce(&Path),
) -> (u16, Value) {
    let (asked, done) = (storage.join("asked"), storage.join("done"));
    for file in [&asked, &done] {
        let _ = fs::remove_file(file); // there is none the first time
    }
    let task = daemon.http.post("/restore", &body.to_string()).unwrap();
    assert_eq!(task.status, 200, "{}", task.text);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !asked.exists() {
        assert!(Instant::now() < deadline, "{}", daemon.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    restart(&storage.join("recover")).await;
    fs::write(done, b"").unwrap();
    let state = daemon.wait_for_job(&task.text).unwrap();
    (state.status, state.json())
}

/// The status code, and what was answered.
pub(crate) fn curl(daemon: &Daemon, path: &str, arguments: &[&str]) -> (u16, String) {
    let output = Command::new("curl")
        .args(["-sS", "-w", "\n%{http_code}", "-u", &format!("{USER}:{PASSWORD}")])
        .args(arguments)
        .arg(format!("http://{}{path}", daemon.address))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

/// What was asked for is certainly in the middle of its work then.
pub(crate) fn wait_until_held(proxy: &Proxy, daemon: &Daemon) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !proxy.holds() {
        assert!(Instant::now() < deadline, "{}", daemon.said());
        std::thread::sleep(Duration::from_millis(5));
    }
}
