//! What `docs/OPERATIONS.md` has set and changed, and what the API's document has checked, typed as it stands there; and what comes of it.

use std::fs;
use std::path::Path;

use serde_json::Value;
use zk_backup_testkit::{Daemon, Port, Receiver, SUPER_DIGEST, Walk, blocks, write_script};

use crate::common::buckets::KEYS;
use crate::common::cli::PROGRAMS;
use crate::common::clients::observer;
use crate::common::operator::{Operator, lines, script};
use crate::common::servers::server;
use crate::common::trees::plant;

fn write(place: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let file = place.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
}

fn stop(operator: &Operator<'_>, daemon: &mut Daemon) {
    operator.types(&format!("kill -TERM {}", daemon.id()));
    assert!(daemon.wait_for_end().unwrap().success());
}

#[test]
fn the_hash_of_super_is_what_servers_are_told() {
    let place = tempfile::tempdir().unwrap();
    let walk = Walk::new(place.path(), PROGRAMS, Vec::new());
    let hash = walk.run(script("Give it an identity in ZooKeeper", "openssl"), "");
    assert_eq!(format!("super:{}", hash.trim()), SUPER_DIGEST);
}

/// With secrets in files, HTTPS, readers, hooks, a webhook and public keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_secured_tells_of_its_jobs_and_seals_them() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/config", b"3")]).await;
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).display().to_string();
    let hears = Receiver::start().unwrap();
    hears.hear();
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
    write(
        place.path(),
        &[
            ("ca.crt", &certificate),
            ("etc/tls/tls.crt", &certificate),
            ("etc/tls/tls.key", &key),
            ("etc/secrets/BACKUP_DAEMON_API_CREDENTIALS_USERNAME", "admin"),
            ("etc/secrets/BACKUP_DAEMON_API_CREDENTIALS_PASSWORD", "admin"),
            ("etc/secrets/WEBHOOK_URL", &hears.url),
            ("etc/secrets/WEBHOOK_SECRET", "canary"),
            ("told/zk-backup", "admin\n"),
            ("opens/identity.txt", KEYS[0].1),
        ],
    );
    let port = Port::take().unwrap();
    let here = format!("localhost:{}", port.number());
    let instead = vec![
        ("TLS_PORT=8443", format!("TLS_PORT={}", port.number())),
        ("backup.example:8443", here.clone()),
        ("zk-backup:8443", here.clone()),
        ("/etc/zk-backup", at("etc")),
        ("/var/lib/zk-backup", at("zk-backup")),
        ("/run/secrets", at("told")),
        ("/run/zk-backup", at("opens")),
        ("/usr/local/bin", at("hooks")),
        ("-o zk-backup", "-o \"$(id -un)\"".to_owned()),
        ("age1t7rx…", KEYS[0].0.to_owned()),
        ("age1second…", KEYS[1].0.to_owned()),
        ("READER_PASSWORD=…", "READER_PASSWORD=look".to_owned()),
    ];
    let walk = Walk::new(place.path(), PROGRAMS, instead);
    for name in ["quiesce", "tell"] {
        let hook = format!(
            "#!/bin/sh\necho \"$1: $ZK_BACKUP_JOB $ZK_BACKUP_JOB_STATUS\" >> '{}'\n",
            at("hooked")
        );
        fs::create_dir_all(at("hooks")).unwrap();
        write_script(&place.path().join("hooks").join(name), &hook).unwrap();
    }
    let secure = "Secure it: TLS, credentials, files";
    let https = script(secure, "TLS_ENABLED");
    walk.run(script(secure, "install -d"), "");
    let settings = [
        format!(
            "export ZOOKEEPER_HOST={} STORAGE=/var/lib/zk-backup BACKUP_SCHEDULE=None\n",
            zookeeper.address()
        ),
        script(secure, "BACKUP_DAEMON_SECRETS_DIR").to_owned(),
        lines(https, "TLS_ENABLED"),
        script("Let people look", "READER").to_owned(),
        script("Be told, and run commands around jobs", "HOOK_BEFORE").to_owned(),
        script("Encrypt backups", "ENCRYPTION_RECIPIENTS").to_owned(),
    ]
    .concat();
    let mut first = walk.server(&format!("{settings}\nzk-backup-daemon\n"));

    assert!(walk.run(&lines(https, "curl"), "").contains(r#""status":"#));
    let operator = Operator::over_https(&walk, &here);
    operator.does("Back up before a change", 0, ["Successful"]);
    let id = operator.id();
    let described: Value = serde_json::from_str(&operator.types("get /listbackups/$id")).unwrap();
    assert_eq!(
        (&described["encrypted"], &described["valid"]),
        (&true.into(), &true.into())
    );
    let sealed = operator.types("get \"/listbackups/$id/znode?path=/config\"");
    assert!(sealed.contains("backup_sealed"), "{sealed}");
    let hooked = fs::read_to_string(at("hooked")).unwrap();
    assert_eq!(hooked, format!("--soft: {id} \nthe team: {id} Successful\n"));

    let reader = "login=reader:look; get \"/listbackups/$id\"; post /backup";
    let looked = operator.types(reader);
    assert!(looked.contains(&id) && looked.contains("read_only"), "{looked}");

    let told = hears.next().expect("it is told");
    let api = include_str!("../../docs/API.md");
    let mut scripts = blocks(api).into_iter().filter(|(kind, _)| *kind == "sh");
    let (_, sign) = scripts.next().unwrap();
    let signed = walk.run(
        &format!(
            "timestamp={} secret=canary\nbody='{}'\n{sign}",
            told.header("x-zk-backup-timestamp"),
            told.body
        ),
        "",
    );
    let signature = told.header("x-zk-backup-signature").trim_start_matches("sha256=");
    assert!(
        signature.len() == 64 && signed.trim_end().ends_with(signature),
        "{signed}"
    );

    let guide = include_str!("../../docs/CLI.md");
    let asks = blocks(guide)[0].1;
    let asks = asks.lines().filter(|line| !line.starts_with("cargo "));
    let asks: String = asks.map(|line| format!("{line}\n")).collect();
    let said = walk.run(&format!("export ZK_BACKUP_CA=ca.crt\n{asks}"), "");
    assert!(said.contains(&id), "{said}");

    stop(&operator, &mut first);
    outside.set_data("/config", b"0".to_vec(), None).await.unwrap();
    let opened = "export ENCRYPTION_IDENTITY_FILE=/run/zk-backup/identity.txt\n";
    let mut second = walk.server(&format!("{settings}{opened}\nzk-backup-daemon\n"));
    operator.does("Restore one subtree", 1, ["Successful"]);
    assert_eq!(outside.get_data("/config", false).await.unwrap().0, b"3");
    stop(&operator, &mut second);
}
