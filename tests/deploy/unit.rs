//! The unit of systemd, and the Debian package that brings it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::{files, read, workspace};

const DAEMON: &str = "bins/zk-backup-daemon";

const UNIT: &str = "examples/deploy/systemd/zk-backup.service";

/// What `BACKUP_DAEMON_SECRETS_DIR` may hold.
const SECRETS: [&str; 15] = [
    "BACKUP_DAEMON_API_CREDENTIALS_USERNAME",
    "BACKUP_DAEMON_API_CREDENTIALS_PASSWORD",
    "BACKUP_DAEMON_API_READER_USERNAME",
    "BACKUP_DAEMON_API_READER_PASSWORD",
    "ZOOKEEPER_DIGEST_USERNAME",
    "ZOOKEEPER_DIGEST_PASSWORD",
    "ZOOKEEPER_ADMIN_USERNAME",
    "ZOOKEEPER_ADMIN_PASSWORD",
    "ZOOKEEPER_ADMIN_AUTHORIZATION",
    "S3_KEY_ID",
    "S3_KEY_SECRET",
    "SECONDARY_S3_KEY_ID",
    "SECONDARY_S3_KEY_SECRET",
    "WEBHOOK_URL",
    "WEBHOOK_SECRET",
];

/// Asks systemd where it is installed.
#[test]
fn the_unit_is_closed_to_nearly_everything() {
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20"])
        .arg(workspace().join(UNIT))
        .output();
    match output {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "the exposure is above 2.0: {said}");
        }
        Err(error) => println!("systemd-analyze cannot be asked: {error}"),
    }
}

#[test]
fn the_unit_waits_longer_than_the_server_and_takes_every_secret() {
    let unit = read(UNIT);
    assert!(unit.contains("\nType=notify\n") && unit.contains("\nDynamicUser=yes\n"));
    // SHUTDOWN_GRACE is 30 where it is not said.
    assert!(unit.contains("\nTimeoutStopSec=60\n"));
    let chart = read("examples/deploy/helm/zk-backup/values.schema.json");
    // Else systemd makes no directory of secrets where there are none, and the server does not start without it.
    assert!(unit.contains("\nSetCredential="));
    let lines = unit.lines();
    for line in lines.filter_map(|line| line.strip_prefix("LoadCredential=")) {
        let (name, file) = line.split_once(':').unwrap();
        assert_eq!(file, format!("zk-backup.{name}"));
    }
    for secret in SECRETS {
        assert!(unit.contains(&format!("\nLoadCredential={secret}:")), "{secret}");
        assert!(chart.contains(&format!("\"{secret}\"")), "{secret}");
    }
}

/// The reader of secrets is asked for nothing else than what is listed here.
#[test]
fn these_are_all_secrets_of_the_server() {
    let sources = files(&format!("{DAEMON}/src/settings"), ".rs").into_iter();
    let sources: String = sources.map(|path| fs::read_to_string(path).unwrap()).collect();
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let said = sources
        .split('"')
        .filter(|text| text.contains('_') && text.chars().all(is_part));
    let unlisted: BTreeSet<_> = said
        .filter(|name| {
            ["_USERNAME", "_PASSWORD", "_AUTHORIZATION", "_SECRET"]
                .iter()
                .any(|end| name.ends_with(end))
        })
        .filter(|name| *name != "KEY_SECRET" && !SECRETS.contains(name))
        .collect();
    assert_eq!(unlisted, BTreeSet::new());
}

/// What is built is under `target` by then.
#[test]
fn the_package_takes_files_that_are_there() {
    let manifest = read(&format!("{DAEMON}/Cargo.toml"));
    let (_, package) = manifest.split_once("[package.metadata.deb]").unwrap();
    let sources = || package.split('"').filter(|text| text.starts_with("../../"));
    assert!(sources().count() > 3);
    for source in sources() {
        assert!(workspace().join(DAEMON).join(source).exists(), "{source}");
    }
    assert!(
        package.contains("target/release/zk-backup-daemon") && package.contains("target/release/zk-backup\"")
    );
}
