//! The unit of systemd, and the Debian package that brings it.

use std::process::Command;

use crate::{read, workspace};

const DAEMON: &str = "bins/zk-backup-daemon";

const UNIT: &str = "examples/deploy/systemd/zk-backup.service";

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
    let secrets = read("examples/deploy/helm/zk-backup/values.schema.json");
    for line in unit
        .lines()
        .filter_map(|line| line.strip_prefix("LoadCredential="))
    {
        let (name, file) = line.split_once(':').unwrap();
        assert_eq!(file, format!("zk-backup.{name}"));
        assert!(secrets.contains(&format!("\"{name}\"")), "{name}");
    }
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
