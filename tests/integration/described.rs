//! The API by its own document: schemathesis makes requests of it, good and bad ones, and compares what is answered.

use std::path::{Path, PathBuf};
use std::process::Command;

use zk_backup_testkit::{Daemon, PASSWORD, USER};

use crate::common::clients::observer;
use crate::common::daemons::{back_up, daemon};
use crate::common::servers::server;
use crate::common::trees::plant;

/// How long it may try, in seconds.
const BUDGET: &str = "60";

/// Where the program is: `SCHEMATHESIS`, which must be there then, or where `.ci/run` puts it.
fn schemathesis() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("SCHEMATHESIS") {
        let named = PathBuf::from(named);
        assert!(named.exists(), "SCHEMATHESIS: {} is not there", named.display());
        return Some(named);
    }
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/schemathesis/bin/schemathesis");
    usual.exists().then_some(usual)
}

/// What it says of the server, with everything that is not as described.
fn tried(program: &Path, daemon: &Daemon, report: &Path) -> (bool, String) {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = ours.join("schemathesis.toml");
    let seed = std::env::var("SCHEMATHESIS_SEED").unwrap_or_else(|_| "1".to_owned());
    let budget = std::env::var("SCHEMATHESIS_SECONDS").unwrap_or_else(|_| BUDGET.to_owned());
    let output = Command::new(program)
        .args(["--config-file", config.to_str().unwrap(), "run"])
        .arg(format!("http://{}/openapi.json", daemon.address))
        .args([
            "--auth",
            &format!("{USER}:{PASSWORD}"),
            "--seed",
            &seed,
            "--max-time",
            &budget,
        ])
        .args(["--workers", "1", "--no-color"])
        // Nothing fails for a machine that is busy.
        .args(["--request-timeout", "60", "--suppress-health-check", "all"])
        .env("SCHEMATHESIS_HOOKS", ours.join("schemathesis_hooks.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(report)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_is_answered_as_the_document_says() {
    let Some(program) = schemathesis() else {
        eprintln!(
            "left out: schemathesis is not there; python3 -m venv target/schemathesis, and pip install it there"
        );
        return;
    };
    let zookeeper = server();
    let client = observer(&zookeeper).await;
    plant(
        &client,
        &[
            ("/app", b""),
            ("/app/config", b"retries=3"),
            ("/other", b"\0\xff"),
        ],
    )
    .await;
    let storage = tempfile::tempdir().unwrap();
    let root = [("EXTERNAL_ROOT", storage.path().to_str().unwrap())];
    let mut daemon = daemon(&zookeeper.address(), storage.path(), &root);
    back_up(&daemon, "");
    back_up(&daemon, r#"{"dbs": ["app"]}"#);
    let (holds, said) = tried(&program, &daemon, storage.path());
    assert!(holds, "{said}");
    // And it goes on serving.
    assert_eq!(daemon.http.get("/health/live").unwrap().status, 200);
    let died = daemon.said().lines().any(|line| line.contains("panicked"));
    assert!(!died, "{}", daemon.said());
    daemon.kill();
}
