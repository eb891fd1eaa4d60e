//! The unit of systemd, and the Debian package that brings it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use zk_backup_daemon::{Args, Settings};
use zk_backup_testkit::{blocks, write_script};

use crate::tools::tool;
use crate::{files, read, workspace};

const DAEMON: &str = "bins/zk-backup-daemon";

const UNIT: &str = "examples/deploy/systemd/zk-backup.service";

/// What the server looks for where secrets are, and is none: names, places and paths.
const OPEN: [&str; 13] = [
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ENDPOINT",
    "AZURE_CREDENTIAL_TYPE",
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_AUTHORITY_HOST",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_MSI_RESOURCE_ID",
    "IDENTITY_ENDPOINT",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SKIP_SIGNATURE",
    "GOOGLE_BASE_URL",
];

/// What `BACKUP_DAEMON_SECRETS_DIR` may hold: all that the server asks for, wherever it keeps its backups.
fn secrets() -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    for (s3, url) in [
        (true, None),
        (false, Some("az://backups")),
        (false, Some("gs://backups")),
    ] {
        let args = Args {
            s3_enabled: Some(s3.to_string()),
            s3_bucket: Some("one".to_owned()),
            storage_url: url.map(str::to_owned),
            secondary_s3_bucket: Some("two".to_owned()),
            ..Args::default()
        };
        let settings = Settings::new(&args, |name| {
            asked.borrow_mut().insert(name.to_owned());
            (name == "WEBHOOK_URL").then(|| "https://hooks.example".into())
        });
        settings.unwrap();
    }
    let mut asked = asked.into_inner();
    // The path of a key, which is asked for by its own name as well.
    let is_path = |name: &&String| name.strip_suffix("_FILE").is_some_and(|key| asked.contains(key));
    let paths: BTreeSet<_> = asked.iter().filter(is_path).cloned().collect();
    asked.retain(|name| !paths.contains(name) && !OPEN.contains(&name.as_str()));
    asked
}

/// With `SYSTEMD_ANALYZE`, the program of systemd.
#[test]
fn the_unit_is_closed_to_nearly_everything() {
    let Some(mut analyze) = tool("SYSTEMD_ANALYZE", "systemd-analyze") else {
        return;
    };
    let output = analyze
        .args(["security", "--offline=true", "--threshold=20"])
        .arg(workspace().join(UNIT))
        .output()
        .expect("SYSTEMD_ANALYZE is the program of systemd");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "the exposure is above 2.0: {said}");
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
    let mut taken = BTreeSet::new();
    for line in lines.filter_map(|line| line.strip_prefix("LoadCredential=")) {
        let (name, file) = line.split_once(':').unwrap();
        assert_eq!(file, format!("zk-backup.{name}"));
        taken.insert(name.to_owned());
    }
    let secrets = secrets();
    assert_eq!(taken, secrets);
    for secret in secrets {
        assert!(chart.contains(&format!("\"{secret}\"")), "{secret}");
    }
}

/// None is asked for under a condition that [`secrets`] does not meet.
#[test]
fn these_are_all_secrets_of_the_server() {
    let secrets = secrets();
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
        .filter(|name| *name != "KEY_SECRET" && !secrets.contains(*name))
        .collect();
    assert_eq!(unlisted, BTreeSet::new());
}

/// It is what the day is left to on which all else is gone. What systemd makes of it is tried by hand.
#[test]
fn the_command_that_works_without_the_server_gives_it_the_secrets_of_the_unit() {
    let (unit, guide) = (read(UNIT), read("examples/deploy/README.md"));
    let mut scripts = blocks(&guide).into_iter().map(|(_, script)| script);
    let script = scripts.rfind(|script| script.contains("systemd-run"));
    let (properties, command) = script.unwrap().split_once("    sh -c ").unwrap();
    // Units know it, and systemd-run does not.
    assert!(!properties.contains('%'), "{properties}");
    let credentials: Vec<_> = properties
        .split_whitespace()
        .filter(|word| word.contains("Credential="))
        .collect();
    assert!(credentials.len() > 2, "{credentials:?}");
    for credential in credentials {
        assert!(unit.contains(&format!("\n{credential}\n")), "{credential}");
    }
    let programs = tempfile::tempdir().unwrap();
    let program = programs.path().join("zk-backup");
    write_script(&program, "#!/bin/sh\necho \"$BACKUP_DAEMON_SECRETS_DIR $1\"\n").unwrap();
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-euc", &format!("sh -c {command}")])
        .env("PATH", path)
        .env("CREDENTIALS_DIRECTORY", "/run/credentials/it")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "/run/credentials/it --storage\n");
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
