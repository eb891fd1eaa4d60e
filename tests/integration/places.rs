//! The places that `docs/OPERATIONS.md` has backups kept in, set up as it stands there: buckets, several of them, second copies, and servers that share one.

use std::fs;
use std::path::Path;

use serde_json::Value;
use zk_backup_testkit::{BUCKET, Daemon, KEY_ID, KEY_SECRET, Port, S3Server, Walk, ZooKeeper};

use crate::common::aliases::{ARCHIVE, Place, names};
use crate::common::cli::PROGRAMS;
use crate::common::clients::observer;
use crate::common::daemons::until;
use crate::common::operator::{Operator, daemon, lines, script};
use crate::common::servers::server;
use crate::common::trees::plant;

const SECOND: &str = "Keep a second copy";

async fn zookeeper() -> ZooKeeper {
    let zookeeper = server();
    plant(&observer(&zookeeper).await, &[("/config", b"3")]).await;
    zookeeper
}

/// Settings in one line.
fn exported(lines: &str) -> String {
    let settings = lines.lines().map(|line| line.split(" #").next().unwrap());
    settings.map(|line| line.replace("export", "") + " ").collect()
}

fn health(operator: &Operator<'_>) -> Value {
    let health = operator.types("get /health");
    serde_json::from_str(&health).unwrap_or_else(|error| panic!("{health}: {error}"))
}

/// Waits until all backups have a second copy, and says what is told of it.
fn copied(operator: &Operator<'_>, backups: usize) -> Value {
    let is_so = || {
        let health = health(operator);
        health["storage"]["dump_count"] == backups && health["secondary"]["lacking"] == 0
    };
    until("all are copied", is_so);
    health(operator)["secondary"].clone()
}

fn stop(operator: &Operator<'_>, daemon: &mut Daemon) {
    operator.types(&format!("kill -TERM {}", daemon.id()));
    assert!(daemon.wait_for_end().unwrap().success());
}

/// What is there in place of the guide's key, and of the directory of its files.
fn with_key(place: &Path) -> Vec<(&'static str, String)> {
    let secrets = place.join("secrets");
    fs::create_dir(&secrets).unwrap();
    vec![
        ("/etc/zk-backup/secrets", secrets.display().to_string()),
        ("AKIA…", KEY_ID.to_owned()),
        ("echo …", format!("echo {KEY_SECRET}")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_share_a_bucket() {
    let zookeeper = zookeeper().await;
    let s3 = S3Server::start().unwrap();
    let place = tempfile::tempdir().unwrap();
    let mut instead = with_key(place.path());
    instead.push(("https://minio.example:9000", s3.url()));
    let walk = Walk::new(place.path(), PROGRAMS, instead);
    let bucket = script("Keep backups in a bucket", "S3_BUCKET");
    walk.run(&lines(bucket, "umask"), "");
    let shared = exported(&lines(bucket, "export"));
    let run = "Run two servers";
    let ports = [(); 2].map(|()| Port::take().unwrap());
    let [mut one, mut two] = [0, 1].map(|number: usize| {
        let reached =
            lines(script(run, "HA_ADDRESS"), "export").replace("10.0.0.1:8080", &ports[number].address());
        let more = format!("PORT={} {shared} {}", ports[number].number(), exported(&reached));
        let storage = place.path().join(format!("storage-{number}"));
        let daemon = daemon(&walk, &zookeeper.address(), &storage, &more);
        until("it knows who leads", || {
            daemon.http.get("/health").unwrap().json()["leader"].is_string()
        });
        daemon
    });
    assert_eq!(one.http.get("/health").unwrap().json()["role"], "leader");
    let operator = Operator::new(&walk, &two, vec![("10.0.0.2:8080", ports[1].address())]);
    operator.does(run, 1, [r#""role":"standby","leader":""#]);
    // It hands on what it is asked for.
    operator.does("Back up before a change", 0, ["Successful"]);
    stop(&operator, &mut one);
    until("it takes over", || health(&operator)["role"] == "leader");
    operator.does("Back up before a change", 0, ["Successful"]);
    let health = health(&operator);
    let at = format!("{}/{BUCKET}/prod", s3.url());
    assert_eq!(
        (&health["storage"]["where"], &health["storage"]["dump_count"]),
        (&at.into(), &2.into()),
        "{health}"
    );
    assert_eq!(names(&s3.bucket().join("prod/manifests")).len(), 2);
    stop(&operator, &mut two);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_goes_to_the_bucket_that_is_named() {
    let zookeeper = zookeeper().await;
    let place = tempfile::tempdir().unwrap();
    let buckets = Place::new();
    let url = buckets.s3.url();
    let buckets = buckets.both(&url);
    let aliases = buckets.aliases.path().display().to_string();
    let walk = Walk::new(place.path(), PROGRAMS, vec![("/etc/zk-backup/aliases", aliases)]);
    let several = "Keep backups in several buckets";
    let settings = exported(script(several, "ALIASES_PATH"));
    let mut daemon = daemon(
        &walk,
        &zookeeper.address(),
        &place.path().join("storage"),
        &settings,
    );
    let operator = Operator::new(&walk, &daemon, Vec::new());
    let (ask, look) = script(several, "api/v1").trim().split_once('\n').unwrap();
    let asked: Value = serde_json::from_str(&operator.types(ask)).unwrap();
    let id = asked["backupId"].as_str().unwrap();
    operator.types(&format!("wait_for {id}; grep Successful state"));
    operator.means("20261123T140000", id);
    let told = operator.types(look);
    assert!(
        told.contains(r#""storage_name":"archive""#) && told.contains(r#""valid":true"#),
        "{told}"
    );
    let manifests = |bucket: &str| names(&buckets.s3.bucket().with_file_name(bucket).join("prod/manifests"));
    assert_eq!((manifests(ARCHIVE).len(), manifests(BUCKET).len()), (1, 0));
    stop(&operator, &mut daemon);
}

/// In a bucket, then in a directory in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_copies_are_made_and_another_place_for_them_is_taken() {
    let zookeeper = zookeeper().await;
    let s3 = S3Server::start().unwrap();
    let elsewhere = s3.bucket().with_file_name("backups-elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let place = tempfile::tempdir().unwrap();
    let (storage, other) = (place.path().join("storage"), place.path().join("other-disk"));
    fs::create_dir(&other).unwrap();
    let mut instead = with_key(place.path());
    instead.extend([
        ("https://s3.elsewhere.example", s3.url()),
        ("/mnt/other-disk", other.display().to_string()),
    ]);
    let walk = Walk::new(place.path(), PROGRAMS, instead);
    for (name, secret) in [
        ("SECONDARY_S3_KEY_ID", KEY_ID),
        ("SECONDARY_S3_KEY_SECRET", KEY_SECRET),
    ] {
        fs::write(place.path().join("secrets").join(name), secret).unwrap();
    }
    let choose = script(SECOND, "SECONDARY_DIRECTORY");
    let bucket = exported(&lines(choose, "export SECONDARY_S3_BUCKET"));
    let bucket = format!("BACKUP_DAEMON_SECRETS_DIR=/etc/zk-backup/secrets {bucket}");
    let mut first = daemon(&walk, &zookeeper.address(), &storage, &bucket);
    let operator = Operator::new(&walk, &first, Vec::new());
    operator.does("Back up before a change", 0, ["Successful"]);
    let told = copied(&operator, 1);
    assert_eq!(told["where"], format!("{}/backups-elsewhere/prod", s3.url()));
    operator.does(SECOND, 1, [r#""lacking":0"#]);
    assert_eq!(names(&elsewhere.join("prod/manifests")).len(), 1);
    stop(&operator, &mut first);

    let directory = exported(&lines(choose, "SECONDARY_DIRECTORY=/"));
    let mut second = daemon(&walk, &zookeeper.address(), &storage, &directory);
    let instead = vec![("<STORAGE>", storage.display().to_string())];
    let operator = Operator::new(&walk, &second, instead);
    until("it is told that it is another place", || {
        health(&operator)["secondary"]["error"]
            .to_string()
            .contains("place")
    });
    operator.types(&lines(script(SECOND, "<STORAGE>/second-place"), "# a directory"));
    operator.does("Back up before a change", 0, ["Successful"]);
    copied(&operator, 2);
    let copies = names(&other.join("zk-backup"));
    assert_eq!(
        copies.iter().filter(|name| name.len() == 15).count(),
        2,
        "{copies:?}"
    );
    stop(&operator, &mut second);
}
