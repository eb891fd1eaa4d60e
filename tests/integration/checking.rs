//! A file of settings, and what a check says of it, before anything is served.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use zk_backup_testkit::{Daemon, Distribution, Receiver, SUPER_PASSWORD, Setup, ZooKeeper};

use crate::common::clients::{EVE, digest, observer};
use crate::common::servers::{nobody, server};
use crate::common::trees::{assert_same, dump, plant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_daemon-under-test");

fn check(file: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .env_clear()
        .arg("check")
        .arg("--config")
        .arg(file)
        .args(more);
    command.output().unwrap()
}

/// What was found, by what it is about.
fn found(output: &Output) -> Vec<(String, String, String)> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let finding = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| line[name].as_str().unwrap().to_owned();
        (field("check"), field("outcome"), field("message"))
    };
    text.lines().map(finding).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_says_what_will_not_work_and_changes_nothing() {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    plant(&outside, &[("/a", b"1")]).await;
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let storage = at("storage");
    fs::write(at("password"), "canary-password\n").unwrap();
    let file = at("zk-backup.toml");
    let settings = format!(
        "storage = {storage:?}\nport = 0\n[zookeeper]\nhost = \"{}\"\n[backup_daemon.api_credentials]\n\
         username = \"ann\"\npassword_file = {:?}\n",
        zookeeper.address(),
        at("password"),
    );
    fs::write(&file, &settings).unwrap();
    let before = dump(&outside).await;
    let output = check(&file, &["--json"]);
    let all = found(&output);
    assert_eq!(output.status.code(), Some(0), "{all:?}");
    let of = |all: &[(String, String, String)], about: &str| {
        let found = all.iter().find(|(check, ..)| check == about);
        found
            .map(|(_, outcome, message)| (outcome.clone(), message.clone()))
            .unwrap()
    };
    for about in [
        "schedule",
        "policies",
        "access",
        "zookeeper",
        "identity",
        "permissions",
        "clock",
        "storage",
        "port",
    ] {
        assert_eq!(of(&all, about).0, "ok", "{all:?}");
    }
    assert!(of(&all, "storage").1.ends_with("will be made"), "{all:?}");
    assert!(!storage.exists(), "nothing is made");
    assert_eq!(dump(&outside).await.len(), before.len());

    // The server takes the same file; the environment wins.
    let mut command = Command::new(PROGRAM);
    command
        .env_clear()
        .env("BROADCAST_ADDRESS", "127.0.0.1")
        .env("BACKUP_SCHEDULE", "None");
    command.arg("--config").arg(&file);
    let served = Daemon::run(command).unwrap();
    let http = served.http.clone().with_credentials("ann", "canary-password");
    assert_eq!(http.post("/backup", "").unwrap().status, 200);
    let schedule = &http.get("/health").unwrap().json()["schedule"];
    assert_eq!(schedule, &Value::Null, "the environment wins");
    let busy = found(&check(&file, &["--json"]));
    assert_eq!(of(&busy, "storage").0, "warning", "{busy:?}");
    drop(served);
    let after = found(&check(&file, &["--json"]));
    assert_eq!(
        (of(&after, "storage").0, of(&after, "jobs").0),
        ("ok".to_owned(), "ok".to_owned()),
        "{after:?}"
    );

    let acl = vec![digest(zookeeper_async::Permission::ALL, EVE)];
    let mode = zookeeper_async::CreateMode::Persistent;
    outside.create("/closed", Vec::new(), acl, mode).await.unwrap();
    let (outcome, message) = of(&found(&check(&file, &["--json"])), "permissions");
    assert!(outcome == "fails" && message.contains("/closed"), "{message}");

    fs::write(at("ca.crt"), "canary").unwrap();
    let broken = format!(
        "[zookeeper]\nenable_ssl = true\ntls_path = {:?}\n",
        directory.path()
    );
    for (from, to, about, why) in [
        (
            "[zookeeper]\n",
            &*broken,
            "settings",
            "ca.crt: it holds no certificates",
        ),
        (
            "port = 0",
            "prot = 0",
            "settings",
            "PROT is no setting: is PORT meant?",
        ),
        (
            "port = 0",
            "backup_schedule = \"hourly\"",
            "settings",
            "BACKUP_SCHEDULE",
        ),
        (
            zookeeper.address().as_str(),
            "127.0.0.1:1",
            "zookeeper",
            "check ZOOKEEPER_HOST",
        ),
        (
            "port = 0",
            "tls_enabled = true\ncerts_path = \"/none\"",
            "TLS",
            "/none/tls.crt",
        ),
    ] {
        fs::write(&file, settings.replace(from, to)).unwrap();
        let output = check(&file, &["--json"]);
        let all = found(&output);
        let (outcome, message) = of(&all, about);
        assert!(outcome == "fails" && message.contains(why), "{all:?}");
        assert_eq!(output.status.code(), Some(1), "{all:?}");
    }
    let text = String::from_utf8(check(&file, &[]).stdout).unwrap();
    assert!(
        text.lines().any(|line| line.starts_with("fails    TLS ")),
        "{text}"
    );
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_names_servers_programs_and_places_that_are_not_there() {
    let zookeeper = server();
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("file"), "").unwrap();
    let file = at("zk-backup.toml");
    let settings = format!(
        "storage = {:?}\nport = 0\nhook_before = \"sh -c true\"\nhook_after = \"/nonexistent/tell us\"\n[zookeeper]\nhost = \"{},{}\"\n\
         admin_username = \"nobody-knows-me\"\nadmin_password_file = {:?}\n",
        at("file").join("storage"),
        zookeeper.address(),
        nobody(),
        at("password"),
    );
    fs::write(at("password"), "canary-password\n").unwrap();
    fs::write(&file, settings).unwrap();
    let output = check(&file, &["--json"]);
    let all = found(&output);
    assert_eq!(output.status.code(), Some(1), "{all:?}");
    let told = |about: &str, outcome: &str, what: &str| {
        let is_it = |(check, how, message): &(String, String, String)| {
            check == about && how == outcome && message.contains(what)
        };
        assert!(all.iter().any(is_it), "{about} {outcome} {what}: {all:?}");
    };
    told("zookeeper", "warning", &nobody());
    told("identity", "fails", "ZOOKEEPER_ADMIN_USERNAME");
    told("hooks", "ok", "HOOK_BEFORE");
    told("hooks", "fails", "/nonexistent/tell");
    told("storage", "fails", "it is no directory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_asks_the_admin_server_and_agents_and_takes_no_snapshot() {
    let setup = Setup {
        admin: true,
        ..Setup::default()
    };
    let (zookeeper, port) = ZooKeeper::start_with(&Distribution::locate().unwrap(), &setup).unwrap();
    let snapshots = || {
        let files = fs::read_dir(zookeeper.data_directory()).unwrap();
        files.count()
    };
    // A new server lets anybody have everything.
    let outside = observer(&zookeeper).await;
    let acl = vec![digest(zookeeper_async::Permission::ALL, EVE)];
    outside.set_acl("/", acl, None).await.unwrap();
    let before = snapshots();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("zk-backup.toml");
    let silent = nobody();
    let silent = silent.rsplit(':').next().unwrap();
    let checked = |admin: &str, authorization: &str, source: &str| {
        let settings = format!(
            "storage = {:?}\nport = 0\ntransactional_source = \"{source}\"\n[zookeeper]\nhost = \"{}\"\nagent_port = {silent}\n\
             admin_url = \"{admin}\"\nadmin_authorization = \"{authorization}\"\n",
            directory.path().join("storage"),
            zookeeper.address(),
        );
        fs::write(&file, settings).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap(); // it holds a secret
        found(&check(&file, &["--json"]))
    };
    let url = format!("http://127.0.0.1:{port}");
    let super_user = format!("digest super:{SUPER_PASSWORD}");
    for (admin, authorization, source, about, outcome, why) in [
        (
            &url,
            &*super_user,
            "auto",
            "AdminServer",
            "ok",
            "takes our authorization",
        ),
        (
            &url,
            "digest",
            "auto",
            "AdminServer",
            "fails",
            "does not take our authorization",
        ),
        (
            &url,
            "digest bob:pw",
            "admin",
            "AdminServer",
            "fails",
            "does not grant our identity",
        ),
        (
            &format!("http://{}", zookeeper.address()),
            &super_user,
            "admin",
            "AdminServer",
            "fails",
            "check ZOOKEEPER_ADMIN_URL",
        ),
        (
            &format!("http://127.0.0.1:{silent}"),
            &super_user,
            "admin",
            "AdminServer",
            "fails",
            "refused",
        ),
        (
            &url,
            &super_user,
            "auto",
            "agent",
            "ok",
            "there is another source",
        ),
        (&url, &super_user, "agent", "agent", "warning", "have no source"),
    ] {
        let all = checked(admin, authorization, source);
        let is_told = |(check, found, message): &(String, String, String)| {
            check == about && found == outcome && message.contains(why)
        };
        assert!(
            all.iter().any(is_told),
            "{admin} {authorization} {source}: {all:?}"
        );
        assert!(
            !all.iter().any(|(.., message)| message.contains("bob:pw")),
            "{all:?}"
        );
    }
    assert_eq!(snapshots(), before, "no snapshot is taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_reaches_the_webhook_and_the_place_of_restore_tests_and_leaves_nothing_there() {
    let [zookeeper, place] = [(); 2].map(|()| server());
    let (receiver, outside) = (Receiver::start().unwrap(), observer(&place).await);
    plant(&outside, &[("/tests", b"")]).await;
    let before = dump(&outside).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("zk-backup.toml");
    let checked = |url: &str, host: &str, root: &str| {
        let settings = format!(
            "storage = {:?}\nport = 0\nwebhook_url = \"{url}\"\nwebhook_secret = \"canary\"\n[zookeeper]\nhost = \"{}\"\n\
             [restore_test]\nhost = \"{host}\"\nroot = \"{root}\"\n",
            directory.path().join("storage"),
            zookeeper.address(),
        );
        fs::write(&file, settings).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap(); // it holds a secret
        let output = check(&file, &["--json"]);
        let all = found(&output);
        assert!(
            !all.iter()
                .any(|(.., message)| message.contains("canary") || message.contains("/hook")),
            "{all:?}"
        );
        let of = |about: &str| {
            let found = all.iter().find(|(check, ..)| check == about).unwrap();
            (found.1.clone(), found.2.clone())
        };
        (of("webhook"), of("restore tests"), output.status.code())
    };
    let is = |(outcome, message): &(String, String), expected: &str, says: &str| {
        assert!(
            outcome == expected && message.contains(says),
            "{outcome} {message}: {expected} {says}"
        );
    };
    let address = place.address();
    let (webhook, tests, code) = checked(&receiver.url, &address, "/tests");
    is(&webhook, "warning", "answers a HEAD by 500");
    is(&tests, "ok", "lets anyone create znodes");
    assert_eq!(code, Some(0));
    receiver.hear();
    let (webhook, ..) = checked(&receiver.url, &address, "");
    is(&webhook, "ok", "WEBHOOK_URL is reached");
    // Nothing that could be taken for news.
    for _ in 0..2 {
        let came = receiver.next().unwrap();
        assert_eq!((&*came.method, &*came.body), ("HEAD", ""), "{came:?}");
        assert_eq!(came.header("x-zk-backup-signature"), "");
    }
    let (webhook, tests, code) = checked(&format!("http://{}/hook", nobody()), &address, "/none");
    is(&webhook, "fails", "refused");
    is(&tests, "fails", "the chroot /none does not exist");
    assert_eq!(code, Some(1));
    let (webhook, tests, _) = checked(&receiver.url.replace("http:", "https:"), &nobody(), "");
    is(&webhook, "fails", "WEBHOOK_URL: ");
    is(&tests, "fails", "check RESTORE_TEST_HOST");
    assert_same(&before, &dump(&outside).await);

    let acl = vec![digest(zookeeper_async::Permission::ALL, EVE)];
    outside.set_acl("/tests", acl, None).await.unwrap();
    let (_, tests, _) = checked(&receiver.url, &address, "/tests");
    is(&tests, "ok", "only a test can tell");
}
