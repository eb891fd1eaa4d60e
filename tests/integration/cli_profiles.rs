//! Where the command line finds a server that no flag names: files of profiles in their usual places, and the environment.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use zk_backup_testkit::{Daemon, PASSWORD, USER};

use crate::common::cli::Cli;
use crate::common::daemons::daemon;
use crate::common::servers::nobody;

/// What only who has credentials is answered.
const ASKS: [&str; 2] = ["evict", "--dry-run"];

/// Writes a file of profiles into a directory of settings.
fn write(settings: &Path, profiles: &str) {
    let file = settings.join("zk-backup/config.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, profiles).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
}

fn profile(name: &str, address: &str) -> String {
    format!("[profiles.{name}]\nurl = 'http://{address}'\nusername = '{USER}'\npassword = '{PASSWORD}'\n")
}

#[test]
fn the_profile_called_default_is_for_who_says_nothing_else() {
    let [storage, settings, home] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let served = daemon(&nobody(), storage.path(), &[]);
    let path = |directory: &tempfile::TempDir| directory.path().to_str().unwrap().to_owned();
    let silent = profile("silent", &nobody());
    write(settings.path(), &(profile("default", &served.address) + &silent));
    let cli = || Cli::alone().with("XDG_CONFIG_HOME", &path(&settings));
    cli().ok(&ASKS);
    // Whoever says more means that.
    let (_, why) = cli().ends(1, &[&["--profile", "silent"][..], &ASKS].concat());
    assert!(why.contains(&nobody()), "{why}");
    let elsewhere = format!("http://{}", nobody());
    let (_, why) = cli().with("ZK_BACKUP_URL", &elsewhere).ends(1, &ASKS);
    assert!(why.contains(&nobody()), "{why}");
    let (_, why) = cli().ends(1, &[&["--url", &elsewhere][..], &ASKS].concat());
    assert!(why.contains(&nobody()), "{why}");
    // Its credentials are for its URL alone.
    let url = format!("http://{}", served.address);
    cli().with("ZK_BACKUP_URL", &url).ends(12, &ASKS);

    // Without the variable it is below the home directory, and with it nothing else counts.
    let below = home.path().join(".config");
    write(&below, &profile("default", &served.address));
    let cli = Cli::alone().with("HOME", &path(&home));
    cli.ok(&ASKS);
    write(&below, &profile("default", &nobody()));
    cli.ends(1, &ASKS);
    let cli = cli.with("XDG_CONFIG_HOME", &path(&settings));
    cli.ok(&ASKS);
    let file = below.join("zk-backup/config.toml");
    let (_, why) = cli.ends(1, &[&["--config", file.to_str().unwrap()][..], &ASKS].concat());
    assert!(why.contains(&nobody()), "{why}");
}

/// A server whose certificates, by that file, only itself has signed.
fn secured(storage: &Path, certs: &Path) -> (Daemon, String) {
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(certs.join("tls.crt"), pair.cert.pem()).unwrap();
    fs::write(certs.join("tls.key"), pair.signing_key.serialize_pem()).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(certs.join("other.crt"), other.cert.pem()).unwrap();
    let settings = [
        ("TLS_ENABLED", "true"),
        ("TLS_PORT", "0"),
        ("CERTS_PATH", certs.to_str().unwrap()),
    ];
    let served = daemon(&nobody(), storage, &settings);
    let port = served.address.rsplit(':').next().unwrap();
    let url = format!("https://localhost:{port}");
    (served, url)
}

#[test]
fn the_authority_that_the_environment_names_is_trusted_unless_another_is_named() {
    let [storage, certs, settings] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (served, url) = secured(storage.path(), certs.path());
    let of = |name: &str| certs.path().join(name).to_str().unwrap().to_owned();
    let (right, wrong) = (of("tls.crt"), of("other.crt"));
    let cli = |ca: &str| {
        let cli = Cli::of_server(&served).with("ZK_BACKUP_URL", &url);
        cli.with("ZK_BACKUP_CA", ca)
    };
    assert_eq!(cli(&right).ok(&["ls"]), "no backups\n");
    let (_, why) = cli(&wrong).ends(1, &["ls"]);
    assert!(why.contains("--ca"), "{why}");
    cli("/none").ends(2, &["ls"]);
    assert_eq!(cli(&wrong).ok(&["ls", "--ca", &right]), "no backups\n");
    cli(&right).ends(1, &["ls", "--ca", &wrong]);

    // A profile has its own, or none.
    let profiles = |ca: &str| format!("[profiles.default]\nurl = '{url}'\n{ca}");
    let by_profile = |ca: &str| {
        let cli = Cli::alone().with("XDG_CONFIG_HOME", settings.path().to_str().unwrap());
        cli.with("ZK_BACKUP_CA", ca)
    };
    write(settings.path(), &profiles(""));
    assert_eq!(by_profile(&right).ok(&["ls"]), "no backups\n");
    by_profile(&wrong).ends(1, &["ls"]);
    write(settings.path(), &profiles(&format!("ca = '{right}'\n")));
    assert_eq!(by_profile(&wrong).ok(&["ls"]), "no backups\n");
}
