//! Servers that demand TLS with a client certificate, SASL DIGEST-MD5, or both.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use zk_backup_testkit::{Daemon, Distribution, Proxy, Setup, ZooKeeper};
use zk_snapshot::client::{BatchedClient, BatchedConfig, Tls};
use zk_snapshot::tree::{Acl, ClientErrorKind, Kind, WriteError, WriteOp, ZnodePath, ZnodeWriter as _};
use zookeeper_client as zk;

use crate::common::daemons::{daemon, health_with_zookeeper};
use crate::common::servers::nobody;
use crate::common::tls::{Certificates, certificate_files, certificates, with_tls};

fn with_sasl(mut setup: Setup) -> Setup {
    let login =
        "Server { org.apache.zookeeper.server.auth.DigestLoginModule required user_backup=\"pass word\"; };";
    setup.files.push(("jaas.conf".to_owned(), login.to_owned()));
    setup
        .java
        .push("-Djava.security.auth.login.config={dir}/jaas.conf".to_owned());
    setup.config += "authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n\
        enforce.auth.enabled=true\nenforce.auth.schemes=sasl\n";
    setup
}

/// A znode that only we may read goes into a backup and comes back, seen by a client of the tests' own.
async fn a_round_trip(outside: &zk::Client, daemon: &Daemon) {
    let acls = [zk::Acl::new(zk::Permission::ALL, zk::AuthId::authed())];
    let (owned, open) = (
        zk::CreateMode::Persistent.with_acls(zk::Acls::new(&acls)),
        zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all()),
    );
    outside.create("/app", b"open", &open).await.unwrap();
    outside.create("/app/owned", b"\r\n", &owned).await.unwrap();
    let (acl, _) = outside.get_acl("/app/owned").await.unwrap();
    let (id, state) = daemon.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    assert_eq!(daemon.describe(&id).unwrap()["consistency"], "consistent");
    outside.delete("/app/owned", None).await.unwrap();
    outside.set_data("/app", b"changed", None).await.unwrap();
    let (_, state) = daemon
        .do_job("/restore", &format!(r#"{{"vault": "{id}"}}"#))
        .unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    assert_eq!(outside.get_data("/app").await.unwrap().0, b"open");
    assert_eq!(outside.get_data("/app/owned").await.unwrap().0, b"\r\n");
    assert_eq!(outside.get_acl("/app/owned").await.unwrap().0, acl);
    let health = health_with_zookeeper(daemon);
    assert_eq!(health["zookeeper"]["mode"], json!("standalone"), "{health}");
}

/// The job fails in time, and says why.
fn is_refused(zookeeper: &str, settings: &[(&str, &str)]) -> String {
    let storage = tempfile::tempdir().unwrap();
    let mut all = settings.to_vec();
    all.push(("ZOOKEEPER_TIMEOUT", "5"));
    let daemon = daemon(zookeeper, storage.path(), &all);
    let begun = std::time::Instant::now();
    let (_, state) = daemon.do_job("/backup", "").unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(state.status, 500, "{}", state.text);
    let said = daemon.said();
    assert!(
        !said.contains("pass word") && !said.contains("PRIVATE KEY"),
        "{said}"
    );
    state.json()["message"].as_str().unwrap().to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn connector() -> zk::Connector {
    let _ = rustls::crypto::ring::default_provider().install_default(); // once for all tests
    zk::Client::connector().with_session_timeout(Duration::from_secs(20))
}

fn tls(certificates: &Certificates) -> zk::TlsOptions {
    let (certificate, key) = &certificates.client;
    zk::TlsOptions::new()
        .with_pem_ca(&certificates.ca)
        .unwrap()
        .with_pem_identity(certificate, key)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_demands_tls_with_a_client_certificate() {
    let certificates = certificates();
    let setup = with_tls(Setup::default(), &certificates);
    let (_server, port) = ZooKeeper::start_with(&Distribution::locate().unwrap(), &setup).unwrap();
    let address = format!("localhost:{port}");
    let (files, storage) = (
        certificate_files(&certificates, true),
        tempfile::tempdir().unwrap(),
    );
    let settings = [
        ("ZOOKEEPER_DRIVER", "auto"),
        ("ZOOKEEPER_ENABLE_SSL", "true"),
        ("ZOOKEEPER_TLS_PATH", text(files.path())),
    ];
    let outside = connector()
        .with_tls(tls(&certificates))
        .secure_connect(&address)
        .await
        .unwrap();
    a_round_trip(&outside, &daemon(&address, storage.path(), &settings)).await;

    // The certificate is an identity: what is still being restored is shown to nobody else.
    let ours = BatchedConfig {
        tls: Some(Tls {
            ca: certificates.ca.clone(),
            identity: Some(certificates.client.clone()),
        }),
        ..BatchedConfig::new(&address)
    };
    let client = BatchedClient::connect(ours).await.unwrap();
    assert_eq!(client.working_acl(), Acl::creator());
    client.close().await;

    // Without our certificate, and by an authority that did not sign the server's.
    let nobody = certificate_files(&certificates, false);
    let strange = certificate_files(&crate::common::tls::certificates(), true);
    for (files, why) in [
        (&nobody, "received fatal alert: "),
        (&strange, "invalid peer certificate: "),
    ] {
        let settings = [
            settings[0],
            settings[1],
            ("ZOOKEEPER_TLS_PATH", text(files.path())),
        ];
        let message = is_refused(&address, &settings);
        assert!(message.contains(&address) && message.contains(why), "{message}");
    }
    let message = is_refused(&address, &[("ZOOKEEPER_DRIVER", "auto")]);
    assert!(message.contains(&address), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_demands_sasl() {
    let setup = with_sasl(Setup::default());
    let (server, _) = ZooKeeper::start_with(&Distribution::locate().unwrap(), &setup).unwrap();
    let storage = tempfile::tempdir().unwrap();
    let settings = [
        ("ZOOKEEPER_DRIVER", "auto"),
        ("ZOOKEEPER_ADMIN_USERNAME", "backup"),
        ("ZOOKEEPER_ADMIN_PASSWORD", "pass word"),
    ];
    let sasl = zk::SaslOptions::digest_md5("backup", "pass word");
    let outside = connector()
        .with_sasl(sasl)
        .connect(&server.address())
        .await
        .unwrap();
    a_round_trip(&outside, &daemon(&server.address(), storage.path(), &settings)).await;
    let wrong = [settings[0], settings[1], ("ZOOKEEPER_ADMIN_PASSWORD", "guess")];
    let message = is_refused(&server.address(), &wrong);
    assert!(message.contains(&server.address()), "{message}");
    let guessed = BatchedConfig {
        sasl: Some(("backup".to_owned(), "guess".to_owned())),
        ..BatchedConfig::new(server.address())
    };
    let refused = BatchedClient::connect(guessed).await.unwrap_err();
    assert_eq!(refused.kind(), ClientErrorKind::Credentials, "{refused}");
    let message = is_refused(&server.address(), &settings[..1]);
    assert!(message.contains(&server.address()), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_demands_both() {
    let certificates = certificates();
    let setup = with_sasl(with_tls(Setup::default(), &certificates));
    let (_server, port) = ZooKeeper::start_with(&Distribution::locate().unwrap(), &setup).unwrap();
    let address = format!("127.0.0.1:{port}");
    let (files, storage) = (
        certificate_files(&certificates, true),
        tempfile::tempdir().unwrap(),
    );
    let settings = [
        ("ZOOKEEPER_DRIVER", "batched"),
        ("ZOOKEEPER_ENABLE_SSL", "true"),
        ("ZOOKEEPER_TLS_PATH", text(files.path())),
        ("ZOOKEEPER_ADMIN_USERNAME", "backup"),
        ("ZOOKEEPER_ADMIN_PASSWORD", "pass word"),
    ];
    let sasl = zk::SaslOptions::digest_md5("backup", "pass word");
    let outside = connector()
        .with_sasl(sasl)
        .with_tls(tls(&certificates))
        .secure_connect(&address)
        .await
        .unwrap();
    a_round_trip(&outside, &daemon(&address, storage.path(), &settings)).await;
    assert!(is_refused(&address, &settings[..3]).contains(&address));
}

/// An AdminServer takes its certificates from those of the ensemble (`ssl.quorum`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_server_that_demands_tls_with_a_client_certificate() {
    let (right, others) = (certificates(), certificates());
    let (certificate, key) = &right.server;
    let mut setup = Setup {
        admin: true,
        ..Setup::default()
    };
    setup
        .files
        .push(("server.pem".to_owned(), format!("{key}{certificate}")));
    setup.files.push(("ca.pem".to_owned(), right.ca.clone()));
    setup.config = "admin.forceHttps=true\nadmin.needClientAuth=true\n\
        ssl.quorum.keyStore.location={dir}/server.pem\nssl.quorum.keyStore.type=PEM\n\
        ssl.quorum.trustStore.location={dir}/ca.pem\nssl.quorum.trustStore.type=PEM\n"
        .to_owned();
    let (server, port) = ZooKeeper::start_with(&Distribution::locate().unwrap(), &setup).unwrap();
    let (storage, url) = (tempfile::tempdir().unwrap(), format!("https://127.0.0.1:{port}"));
    let back_up = |files: &tempfile::TempDir| {
        let settings = [
            ("TRANSACTIONAL_SOURCE", "admin"),
            ("ZOOKEEPER_ADMIN_URL", &*url),
            ("ZOOKEEPER_ADMIN_AUTHORIZATION", "digest user:password"),
            ("ZOOKEEPER_TLS_PATH", files.path().to_str().unwrap()),
        ];
        let daemon = daemon(&server.address(), storage.path(), &settings);
        daemon
            .do_job("/backup", r#"{"mode": "transactional"}"#)
            .unwrap()
            .1
    };
    let state = back_up(&certificate_files(&right, true));
    assert_eq!(state.status, 200, "{}", state.text);
    let state = back_up(&certificate_files(&right, false));
    assert_eq!(state.status, 500, "{}", state.text);
    let state = back_up(&certificate_files(&others, true));
    assert_eq!(state.status, 500, "{}", state.text);
    assert!(state.text.contains("certificate"), "{}", state.text);
}

/// Where what runs may not block, as in the server.
#[tokio::test]
async fn a_client_whose_certificates_cannot_be_used_says_so() {
    let certificates = certificates();
    let (certificate, key) = certificates.client;
    let good = Tls {
        ca: certificates.ca,
        identity: Some((certificate.clone(), key.clone())),
    };
    assert_eq!(good.check(), Ok(()));
    let with = |identity: (&str, &str)| Tls {
        identity: Some((identity.0.to_owned(), identity.1.to_owned())),
        ..good.clone()
    };
    for bad in [
        with((&certificate, "junk")),
        with((&certificate[..certificate.len() / 2], &key)),
        Tls {
            ca: "hello".to_owned(),
            ..good.clone()
        },
    ] {
        let why = bad.check().unwrap_err().to_string();
        let config = BatchedConfig {
            tls: Some(bad),
            ..BatchedConfig::new(nobody())
        };
        let refused = BatchedClient::connect(config).await.unwrap_err();
        assert!(refused.cause.contains("cannot be used"), "{refused} {why}");
        assert_eq!(refused.kind(), ClientErrorKind::Settings);
    }
}

async fn create(client: &BatchedClient, path: &str) -> Result<(), WriteError> {
    let create = WriteOp::Create {
        path: ZnodePath::parse(path).unwrap(),
        data: Vec::new(),
        acl: Acl::open(),
        kind: Kind::Persistent,
    };
    client.write_many(&[create]).await.remove(0)
}

/// Held back on its way, as what a process has sent before it was stopped, and what it sends first when it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_tls_a_write_lands_in_time_or_never() {
    let certificates = certificates();
    let setup = with_tls(Setup::default(), &certificates);
    let (_server, port) = ZooKeeper::start_with(&Distribution::locate().unwrap(), &setup).unwrap();
    let proxy = Proxy::start(&format!("127.0.0.1:{port}")).unwrap();
    let outside = connector().with_tls(tls(&certificates));
    let outside = outside
        .secure_connect(&format!("localhost:{port}"))
        .await
        .unwrap();
    let within = Duration::from_secs(16);
    let config = BatchedConfig {
        session_timeout: within / 2,
        lands_within: Some(within),
        tls: Some(Tls {
            ca: certificates.ca.clone(),
            identity: Some(certificates.client.clone()),
        }),
        ..BatchedConfig::new(proxy.address())
    };
    let longer = BatchedConfig {
        session_timeout: within,
        ..config.clone()
    };
    let client = BatchedClient::connect(longer).await.unwrap();
    let refused = create(&client, "/of-a-long-session").await.unwrap_err();
    assert!(refused.to_string().contains("sessions for 16s"), "{refused}");
    client.close().await;

    let client = BatchedClient::connect(config).await.unwrap();
    create(&client, "/in-time").await.unwrap();
    proxy.hold_after(0);
    let over = tokio::time::sleep(within);
    let late = async {
        let outcome = create(&client, "/late").await;
        assert!(matches!(outcome, Err(WriteError::Unknown(_))), "{outcome:?}");
    };
    tokio::select! {
        // It has to be held until then, whether the client still waits or not.
        ((), ()) = async { tokio::join!(late, over) } => {}
        () = tokio::time::sleep(within * 5) => panic!("the client waits for longer than it may"),
    }
    assert!(proxy.holds());
    proxy.go_on();
    create(&client, "/afterwards").await.unwrap();
    let mut there = outside.list_children("/").await.unwrap();
    there.sort();
    assert_eq!(there, ["afterwards", "in-time", "zookeeper"]);
}
