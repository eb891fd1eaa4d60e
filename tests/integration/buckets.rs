//! Backups in a bucket: the settings, a bucket that is away, what it keeps, links, and kills.

use std::fs::{self, FileTimes};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use backup_engine::{Engine, MemoryEnsemble, SystemClock};
use eviction_policy::{Action, RulePolicy};
use serde_json::{Value, json};
use vault_store::{S3Config, S3Keys, S3Secret};
use zk_backup_testkit::{
    BUCKET, Daemon, Http, KEY_ID, KEY_SECRET, S3Server, S3Setup, Walk, blocks, write_script,
};

use crate::common::buckets::{KEYS, in_bucket, read_opened};
use crate::common::cli::PROGRAMS;
use crate::common::clients::{as_super, observer};
use crate::common::daemons::{back_up, daemon, refused_with, restore};
use crate::common::servers::{nobody, server};
use crate::common::trees::{assert_same, dump, fill, plant};

/// Waits until `is_so`, and says what was last seen otherwise.
fn wait_until(daemon: &Daemon, path: &str, is_so: impl Fn(u16, &Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = daemon.http.get(path).unwrap();
        if is_so(answer.status, &answer.json()) {
            return answer.json();
        }
        assert!(Instant::now() < deadline, "{}", answer.text);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn each_mistake_stops_the_start_and_is_named_with_its_setting() {
    let s3 = S3Server::start().unwrap();
    let url = s3.url();
    for (setting, value, expected) in [
        ("S3_KEY_ID", "nobody", "S3_KEY_ID: "),
        ("S3_KEY_SECRET", "wrong", "S3_KEY_SECRET: "),
        ("S3_BUCKET", "nowhere", "S3_BUCKET: "),
    ] {
        let refused = refused_with(in_bucket(&url, ""), (setting, value));
        assert!(refused.contains(expected), "{refused}");
    }
}

/// What stands for `aws s3 cp` reads the files that the server keeps its objects in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_copied_by_hand_as_the_guide_says_is_whole() {
    let zookeeper = server();
    plant(&observer(&zookeeper).await, &[("/config", b"3")]).await;
    let s3 = S3Server::start().unwrap();
    let (storage, place, url) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        s3.url(),
    );
    let id = back_up(
        &daemon(&zookeeper.address(), storage.path(), &in_bucket(&url, "prod")),
        "",
    );
    let script = blocks(include_str!("../../docs/STORAGE.md"))
        .into_iter()
        .find_map(|(kind, script)| (kind == "sh" && script.contains("manifests/")).then_some(script))
        .unwrap();
    let script = script.replace("20261123T140000", &id);
    let (which, copy) = script.split_once('\n').unwrap();
    let walk = Walk::new(place.path(), PROGRAMS, Vec::new());
    let objects = s3.bucket().parent().unwrap().display().to_string();
    let aws = format!(
        "#!/bin/sh\nshift 2\ncase $1 in\n\
         --recursive) mkdir -p \"$3\" && cp -r \"{objects}/${{2#s3://}}.\" \"$3\" ;;\n\
         *) cat \"{objects}/${{1#s3://}}\" ;;\nesac\n"
    );
    write_script(&place.path().join("bin/aws"), &aws).unwrap();
    let stage: Value = serde_json::from_str(&walk.run(which, "")).unwrap();
    walk.run(&copy.replace("<stage>", stage["stage"].as_str().unwrap()), "");

    let elsewhere = tempfile::tempdir().unwrap();
    fs::rename(place.path().join(&id), elsewhere.path().join(&id)).unwrap();
    let there = daemon(&zookeeper.address(), elsewhere.path(), &[]);
    let copied = there.describe(&id).unwrap();
    assert_eq!(copied["valid"], true, "{copied}");
    assert_eq!(restore(&there, &id, "").0, 200);
}

/// From the start, and in between: it is told within a moment, nothing hangs, and all goes on when it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_away_is_told_and_all_goes_on_when_it_is_back() {
    let zookeeper = server();
    let mut s3 = S3Server::start().unwrap();
    let (storage, url) = (tempfile::tempdir().unwrap(), s3.url());
    s3.kill();
    let daemon = daemon(&zookeeper.address(), storage.path(), &in_bucket(&url, "zk/one"));
    let away =
        |status: u16, ready: &Value| status == 503 && ready["problems"].to_string().contains("storage: ");
    wait_until(&daemon, "/health/ready", away);
    s3.restart().unwrap();
    wait_until(&daemon, "/health/ready", |status, _| status == 200);
    let id = back_up(&daemon, "");
    let health = wait_until(&daemon, "/health", |_, health| health["status"] == "UP");
    let room = &health["storage"];
    assert_eq!(room["where"], format!("{url}/{BUCKET}/zk/one"));
    assert_eq!(
        (room["dump_count"].clone(), &room["last"]["id"]),
        (json!(1), &json!(id))
    );
    assert!(room.get("free_space").is_none(), "{room}");
    let metrics = daemon.http.get("/metrics").unwrap().text;
    assert!(metrics.contains("backup_storage_dump_count 1"));
    assert!(!metrics.contains("backup_storage_free_space"));

    // It takes requests and answers none.
    let process = s3.process_id().unwrap().to_string();
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &process]).status().unwrap();
        assert!(sent.success());
    };
    signal("-STOP");
    let silent = |_: u16, ready: &Value| ready["problems"].to_string().contains("has not answered");
    wait_until(&daemon, "/health/ready", silent);
    signal("-CONT");
    wait_until(&daemon, "/health/ready", |status, _| status == 200);
    back_up(&daemon, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_bucket_keeps_stays_in_the_list_and_is_no_failure_of_an_eviction() {
    let setup = S3Setup {
        locked_days: Some(1),
        ..S3Setup::default()
    };
    let s3 = S3Server::start_with(&setup).unwrap();
    let (zookeeper, storage, url) = (server(), tempfile::tempdir().unwrap(), s3.url());
    let daemon = daemon(&zookeeper.address(), storage.path(), &in_bucket(&url, ""));
    let ids = [back_up(&daemon, ""), back_up(&daemon, "")];
    assert!(daemon.describe(&ids[0]).unwrap().get("locked_until").is_none());
    let refused = daemon.http.post(&format!("/evict/{}", ids[0]), "").unwrap();
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (409, &json!("backup_retained"))
    );
    let kept = daemon.describe(&ids[0]).unwrap();
    assert!(
        kept.get("locked_until").is_some() && kept["valid"] == true,
        "{kept}"
    );
    assert_eq!(daemon.http.get("/listbackups").unwrap().json(), json!(ids));
    drop(daemon);

    // Ten days later, by a policy that leaves only the newest.
    let keys = S3Keys {
        id: S3Secret::Text(KEY_ID.to_owned()),
        secret: S3Secret::Text(KEY_SECRET.to_owned()),
    };
    let config = S3Config {
        url: Some(url),
        keys: Some(keys),
        ..S3Config::new(BUCKET)
    };
    let policy: RulePolicy = "1/delete".parse().unwrap();
    let later = Duration::from_secs(10 * 86_400);
    let engine = Engine::builder(Arc::new(MemoryEnsemble::new(Arc::default())))
        .objects(config.open().unwrap(), "a bucket")
        .full_policy(Arc::new(policy))
        .clock(Arc::new(move || SystemClock::now() + later))
        .build()
        .unwrap();
    let decisions = engine.evict(false).await.unwrap();
    assert_eq!(decisions.len(), 2);
    let first = &decisions[0];
    assert!(
        first.action == Action::Keep && first.reason.contains("is kept by its storage"),
        "{first:?}"
    );
    assert!(
        engine
            .describe(&ids[0])
            .await
            .unwrap()
            .unwrap()
            .locked_until
            .is_some()
    );
    assert_eq!(engine.list().await.unwrap(), ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_read_the_files_without_credentials_and_are_given_to_those_who_have_some() {
    let zookeeper = server();
    let s3 = S3Server::start().unwrap();
    let (storage, url) = (tempfile::tempdir().unwrap(), s3.url());
    let daemon = daemon(&zookeeper.address(), storage.path(), &in_bucket(&url, "zk"));
    let id = back_up(&daemon, "");
    let path = format!("/backup/s3/{id}");
    let links = daemon.http.get(&path).unwrap();
    assert_eq!(links.status, 200, "{}", links.text);
    let links = links.json();
    let link = links["job.log"].as_str().unwrap();
    let bytes = ureq::get(link).call().unwrap().body_mut().read_to_vec().unwrap();
    let file = storage.path().join("job.log");
    fs::write(&file, bytes).unwrap();
    let log = String::from_utf8(read_opened(&file)).unwrap();
    assert!(log.contains("backing up"), "{log}");
    let anybody = Http::new(url.strip_prefix("http://").unwrap());
    let link = link.strip_prefix(&url).unwrap();
    let unsigned = link.split('?').next().unwrap();
    assert_eq!(anybody.get(unsigned).unwrap().status, 403);
    let nobody = daemon.http.clone().without_credentials();
    assert_eq!(nobody.get(&path).unwrap().status, 401);
    assert_eq!(daemon.http.get("/backup/s3/20190321T080000").unwrap().status, 404);

    // As the predecessor's clients ask: a list, of links that hold for so long.
    let listed = daemon.http.get(&format!("{path}?expiration=77")).unwrap();
    let urls = listed.json()["urls"].as_array().unwrap().clone();
    assert_eq!(
        (listed.status, urls.len()),
        (200, links.as_object().unwrap().len())
    );
    for url in urls {
        let url = url.as_str().unwrap();
        assert!(url.contains("X-Amz-Expires=77&"), "{url}");
        assert_eq!(ureq::get(url).call().unwrap().status(), 200, "{url}");
    }
    for wrong in ["0", "604801", "-1", "soon", ""] {
        let answer = daemon.http.get(&format!("{path}?expiration={wrong}")).unwrap();
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.text.contains("expiration"), "{}", answer.text);
    }
}

#[test]
fn what_is_stored_in_a_bucket_is_read_back_once() {
    let (zookeeper, s3) = (server(), S3Server::start().unwrap());
    let (storage, url) = (tempfile::tempdir().unwrap(), s3.url());
    let settings = in_bucket(&url, "");
    let as_it_comes = settings.map(|(name, value)| match name {
        "VERIFY_NEW_BACKUPS" => (name, ""),
        _ => (name, value),
    });
    let daemon = daemon(&zookeeper.address(), storage.path(), &as_it_comes);
    let id = back_up(&daemon, "");
    wait_until(&daemon, &format!("/listbackups/{id}"), |_, backup| {
        backup["verified_at"].is_string()
    });
}

#[test]
fn that_jobs_are_not_encrypted_in_a_bucket_is_said_at_the_start() {
    let s3 = S3Server::start().unwrap();
    let (storage, url) = (tempfile::tempdir().unwrap(), s3.url());
    let more = [
        ("HA", "true"),
        ("ZOOKEEPER_TIMEOUT", "3"),
        ("ENCRYPTION_RECIPIENTS", KEYS[0].0),
    ];
    let settings: Vec<_> = in_bucket(&url, "").into_iter().chain(more).collect();
    let daemon = daemon(&nobody(), storage.path(), &settings);
    assert!(
        daemon.said().contains("jobs are in the bucket and not encrypted"),
        "{}",
        daemon.said()
    );
}

#[test]
fn backups_on_a_disk_have_no_links() {
    let storage = tempfile::tempdir().unwrap();
    let daemon = daemon(&nobody(), storage.path(), &[("S3_ENABLED", "false")]);
    for id in ["20190321T080000", "latest"] {
        let answer = daemon.http.get(&format!("/backup/s3/{id}")).unwrap();
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("no_links")));
    }
}

fn age(path: &Path) {
    let long_ago = SystemTime::from(SystemClock::now()) - Duration::from_secs(2 * 86_400);
    let file = fs::File::open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(long_ago)).unwrap();
}

#[test]
fn what_was_never_committed_is_swept_a_day_later() {
    let s3 = S3Server::start().unwrap();
    let (storage, url) = (tempfile::tempdir().unwrap(), s3.url());
    let stages = s3.bucket().join("zk/vaults/20190321T080000");
    let (old, new) = (stages.join("old/archive.zst"), stages.join("new/archive.zst"));
    for path in [&old, &new] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"znodes").unwrap();
    }
    age(&old);
    let mut daemon = daemon(&nobody(), storage.path(), &in_bucket(&url, "zk"));
    daemon.wait_for_line("swept what was never finished").unwrap();
    assert!(!old.exists() && new.exists());
}

/// Kills the server at a random moment of a backup, again and again: what is listed as valid restores whole, and nothing else is
/// listed.
async fn kills_leave_whole_backups_or_none(kills: usize, keys: &[(&str, &str)]) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/small", b"kept")]).await;
    fill(&as_super(&zookeeper), 5_000).await;
    let before = dump(&outside).await;
    let s3 = S3Server::start().unwrap();
    let (storage, url) = (tempfile::tempdir().unwrap(), s3.url());
    let settings = [&in_bucket(&url, "zk")[..], keys].concat();
    let start = || daemon(&zookeeper.address(), storage.path(), &settings);
    let mut asked = Vec::new();
    // How long a whole one takes says which moments there are.
    let first = start();
    let begun = Instant::now();
    asked.push(back_up(&first, ""));
    let whole = begun.elapsed();
    drop(first);
    let mut random = std::process::id();
    #[allow(clippy::print_stdout)] // shown where it fails, so that it can be done again
    {
        println!("the moments are those of {random}");
    }
    for _ in 0..kills {
        let mut killed = start();
        asked.push(killed.http.post("/backup", "").unwrap().text);
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        std::thread::sleep(whole.mul_f64(f64::from(random >> 8) / f64::from(1 << 24) * 1.2));
        killed.kill();
    }
    let last = start();
    for id in &asked {
        last.wait_for_job(id).unwrap();
    }
    let listed = last.http.get("/listbackups").unwrap().json();
    let listed: Vec<String> = serde_json::from_value(listed).unwrap();
    let valid = |id: &&String| last.describe(id).unwrap()["valid"] == true;
    let whole: Vec<_> = listed.iter().filter(valid).collect();
    assert!(listed.iter().all(|id| asked.contains(id)), "{listed:?}");
    assert_eq!(whole.len(), listed.len(), "what was cut short is listed");
    for id in whole {
        outside.delete("/fill/n17", None).await.unwrap();
        outside
            .set_data("/small", b"spoilt".to_vec(), None)
            .await
            .unwrap();
        let (status, state) = restore(&last, id, "");
        assert_eq!(status, 200, "{state}");
        assert_same(&before, &dump(&outside).await);
    }
    // Of each id one stage is whole at most.
    let (id, state) = last.do_job("/backup", "").unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    assert!(!asked.contains(&id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_moments_leave_whole_backups_or_none() {
    kills_leave_whole_backups_or_none(5, &[]).await;
}

/// Of backups that are sealed.
async fn kills_leave_whole_sealed_backups_or_none(kills: usize) {
    let identity = tempfile::NamedTempFile::new().unwrap();
    fs::write(identity.path(), KEYS[0].1).unwrap();
    let keys = [
        ("ENCRYPTION_RECIPIENTS", KEYS[0].0),
        ("ENCRYPTION_IDENTITY_FILE", identity.path().to_str().unwrap()),
    ];
    kills_leave_whole_backups_or_none(kills, &keys).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_moments_leave_whole_sealed_backups_or_none() {
    kills_leave_whole_sealed_backups_or_none(5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes"]
async fn fifty_kills_at_random_moments_leave_whole_backups_or_none() {
    kills_leave_whole_backups_or_none(50, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes"]
async fn fifty_kills_at_random_moments_leave_whole_sealed_backups_or_none() {
    kills_leave_whole_sealed_backups_or_none(50).await;
}
