//! Several servers that reach each other by HTTPS.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use zk_backup_testkit::{Daemon, S3Server, ZooKeeper};

use crate::common::buckets::in_bucket;
use crate::common::cli::Cli;
use crate::common::daemons::{daemon, hang_up};
use crate::common::servers::server;

/// An authority, and a directory with what it has issued to the servers.
struct Authority {
    directory: TempDir,
}

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let key = KeyPair::generate().unwrap();
        let issued = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &ca)
            .unwrap();
        let write = |name: &str, text: String| fs::write(directory.path().join(name), text).unwrap();
        write("ca.crt", ca.pem());
        // With the authority, as servers that are reached by others show it.
        write("tls.crt", issued.pem() + &ca.pem());
        write("tls.key", key.serialize_pem());
        Self { directory }
    }

    fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }
}

struct Group {
    zookeeper: ZooKeeper,
    s3: S3Server,
    storages: Vec<TempDir>,
}

impl Group {
    fn start(&mut self, name: &str, certificates: &Path, ca: Option<&Path>) -> Daemon {
        let storage = tempfile::tempdir().unwrap();
        let url = self.s3.url();
        let mut settings = in_bucket(&url, "zk").to_vec();
        settings.extend([
            ("HA", "true"),
            ("HA_NAME", name),
            ("TLS_ENABLED", "true"),
            ("TLS_PORT", "0"),
            ("CERTS_PATH", certificates.to_str().unwrap()),
        ]);
        settings.extend(ca.map(|ca| ("HA_CA_FILE", ca.to_str().unwrap())));
        let daemon = daemon(&self.zookeeper.address(), storage.path(), &settings);
        self.storages.push(storage);
        daemon
    }
}

/// The command line, which trusts only `ca`.
fn asking(daemon: &Daemon, ca: &Path) -> Cli {
    let cli = Cli::of_server(daemon).with("ZK_BACKUP_URL", &format!("https://{}", daemon.address));
    cli.first(&["--ca", ca.to_str().unwrap()])
}

#[test]
fn a_standby_hands_on_to_a_leader_whose_certificate_it_trusts_and_to_no_other() {
    let (right, other) = (Authority::new(), Authority::new());
    let certificates = right.directory.path();
    let mut group = Group {
        zookeeper: server(),
        s3: S3Server::start().unwrap(),
        storages: Vec::new(),
    };
    let mut leader = group.start("one", certificates, Some(&right.ca()));
    leader.wait_for_line("this server leads").unwrap();
    assert!(leader.said().contains("is reached at https://127.0.0.1:"));

    let mut trusting = group.start("two", certificates, Some(&right.ca()));
    let id = asking(&trusting, &right.ca()).back_up(&[]);
    leader.wait_for_line("POST /backup 200").unwrap();
    asking(&leader, &right.ca()).ok(&["show", &id]);

    let asked = leader.said().matches("POST /").count();
    // One that knows another authority, and one that knows none but the certificate that it shows itself.
    for ca in [Some(other.ca()), None] {
        let wary = group.start(
            "three",
            if ca.is_some() {
                certificates
            } else {
                other.directory.path()
            },
            ca.as_deref(),
        );
        let shown = if ca.is_some() { right.ca() } else { other.ca() };
        let (_, why) = asking(&wary, &shown).ends(1, &["evict", &id]);
        assert!(
            why.contains("the leader one cannot be reached") && why.contains("certificate"),
            "{why}"
        );
    }
    // Servers that show the same certificates trust them without being told of an authority.
    let mut same = group.start("four", certificates, None);
    asking(&same, &right.ca()).ok(&["evict", &id]);
    leader.wait_for_line(&format!("POST /evict/{id} 200")).unwrap();
    let said = leader.said();
    assert_eq!(
        said.matches("POST /").count(),
        asked + 1,
        "nothing came of the wary: {said}"
    );
    asking(&leader, &right.ca()).ends(10, &["show", &id]);

    // Another authority signs for all of them from now on.
    for name in ["ca.crt", "tls.crt", "tls.key"] {
        fs::copy(other.directory.path().join(name), certificates.join(name)).unwrap();
    }
    for one in [&mut leader, &mut trusting, &mut same] {
        hang_up(one);
        one.wait_for_line("certificates were read again").unwrap();
    }
    let id = asking(&same, &other.ca()).back_up(&[]);
    asking(&trusting, &other.ca()).ok(&["evict", &id]);
}
