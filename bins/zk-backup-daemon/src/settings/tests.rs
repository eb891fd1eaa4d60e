//! What settings are taken, and how others are refused.

use std::ffi::OsString;
use std::time::Duration;

use super::Settings;
use crate::Args;
use crate::bucket::BucketConfig;

fn settings(change: impl FnOnce(&mut Args), secrets: &[(&str, &str)]) -> Result<Settings, String> {
    let mut args = Args::default();
    change(&mut args);
    let find = |name: &str| secrets.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).into());
    Settings::new(&args, find).map_err(|error| error.to_string())
}

/// An authority that has signed nothing.
const CA: &str = "-----BEGIN CERTIFICATE-----\n\
    MIIBcTCCARegAwIBAgIUCNMhp0Lfl+KK7v6rkvUUmzyyXqQwCgYIKoZIzj0EAwIw\n\
    DTELMAkGA1UEAwwCY2EwIBcNMjYxMTI2MjAzNDI2WhgPMjEyNjExMDIyMDM0MjZa\n\
    MA0xCzAJBgNVBAMMAmNhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETgwaMyqS\n\
    erFenAfoafd8f9W6yCfYFDXbHUp3zEZ28GwX0er9nT5nFhbPx6RefxI8XNPz5rSs\n\
    Iz4SL43iWtw4E6NTMFEwHQYDVR0OBBYEFPL5DcAoRA0lYoEs63wzQPQJ0PNPMB8G\n\
    A1UdIwQYMBaAFPL5DcAoRA0lYoEs63wzQPQJ0PNPMA8GA1UdEwEB/wQFMAMBAf8w\n\
    CgYIKoZIzj0EAwIDSAAwRQIhAJK52AWaQdBo4qGzp2xNq/84lKEdkypGgtScpMEK\n\
    K82XAiAsA9u0Fw96QXaavmIg8hO5KUjSSXvsL7oOVKnJ+3xHUA==\n\
    -----END CERTIFICATE-----\n";

const CREDENTIALS: [(&str, &str); 2] = [
    ("BACKUP_DAEMON_API_CREDENTIALS_USERNAME", "u"),
    ("BACKUP_DAEMON_API_CREDENTIALS_PASSWORD", "p"),
];

#[test]
fn without_credentials_only_loopback_is_served() {
    assert!(settings(|_| {}, &[]).unwrap().address.is_loopback());
    assert!(settings(|_| {}, &CREDENTIALS).unwrap().address.is_unspecified());
    let refused = settings(|a| a.broadcast_address = Some("0.0.0.0".into()), &[]).unwrap_err();
    assert!(
        refused.contains("BACKUP_DAEMON_API_CREDENTIALS_USERNAME"),
        "{refused}"
    );
    let open = |a: &mut Args| {
        a.broadcast_address = Some("::".into());
        a.allow_anonymous = Some("true".into());
    };
    assert!(settings(open, &[]).unwrap().address.is_ipv6());
    assert!(settings(|_| {}, &CREDENTIALS[..1]).is_err());
}

#[test]
fn a_secret_file_that_is_empty_gives_nothing_and_opens_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name, text| std::fs::write(directory.path().join(name), text).unwrap();
    let there = |a: &mut Args| a.secrets_dir = Some(directory.path().display().to_string());
    for (name, _) in CREDENTIALS {
        write(name, "\n");
    }
    let closed = settings(there, &[]).unwrap();
    assert!(closed.address.is_loopback() && closed.access.is_anonymous());
    assert!(settings(there, &CREDENTIALS).unwrap().address.is_unspecified());
    write(CREDENTIALS[0].0, "u\n");
    assert!(settings(there, &[]).is_err());
}

#[test]
fn the_url_of_the_webhook_in_a_file_wins_over_the_variable() {
    let directory = tempfile::tempdir().unwrap();
    let url = || {
        let both = |a: &mut Args| {
            a.secrets_dir = Some(directory.path().display().to_string());
            a.webhook_url = Some("http://variable/".to_owned());
        };
        settings(both, &[]).unwrap().webhook.unwrap().url
    };
    assert_eq!(url(), "http://variable/");
    std::fs::write(directory.path().join("WEBHOOK_URL"), "http://file/\n").unwrap();
    assert_eq!(url(), "http://file/");
}

#[test]
fn a_directory_of_secrets_that_cannot_be_used_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(at("file"), "").unwrap();
    std::os::unix::fs::symlink("loop", at("loop")).unwrap();
    for (name, why) in [
        ("none", "No such file"),
        ("file", "Not a directory"),
        ("loop", "Too many levels"),
    ] {
        // The same secrets in the environment do not make up for it.
        let refused = settings(|a| a.secrets_dir = Some(at(name)), &CREDENTIALS).unwrap_err();
        let told = format!("BACKUP_DAEMON_SECRETS_DIR={}: {why}", at(name));
        assert!(refused.starts_with(&told), "{refused}");
    }
}

#[test]
fn a_secret_that_is_no_text_stops_the_start() {
    use std::os::unix::ffi::OsStringExt;
    let environment = |_: &str| Some(OsString::from_vec(vec![b'p', 0xff]));
    let refused = Settings::new(&Args::default(), environment).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("_CREDENTIALS_USERNAME: it is no UTF-8")
    );
}

/// No `Authorization: Basic` can hold such a name: everybody would be locked out.
#[test]
fn a_name_with_a_colon_is_refused() {
    const READER: [(&str, &str); 2] = [
        ("BACKUP_DAEMON_API_READER_USERNAME", "r:x"),
        ("BACKUP_DAEMON_API_READER_PASSWORD", "p"),
    ];
    let operator = [(CREDENTIALS[0].0, "u:x"), CREDENTIALS[1]];
    let reader = [CREDENTIALS[0], CREDENTIALS[1], READER[0], READER[1]];
    for (secrets, name) in [(&operator[..], operator[0].0), (&reader[..], READER[0].0)] {
        let refused = settings(|_| {}, secrets).unwrap_err();
        assert!(
            refused.starts_with(name) && refused.contains("a colon"),
            "{refused}"
        );
    }
}

#[test]
fn a_bad_value_is_named_with_what_is_allowed() {
    type Change = fn(&mut Args);
    let cases: [(Change, &str); 30] = [
        (
            |a| a.zookeeper_driver = Some("fast".into()),
            "ZOOKEEPER_DRIVER=fast: auto, batched or plain",
        ),
        (
            |a| a.consistency_rounds = Some("-1".into()),
            "CONSISTENCY_ROUNDS=-1",
        ),
        (
            |a| {
                a.zookeeper_enable_ssl = Some("true".into());
                a.zookeeper_tls_path = Some("/nowhere".into());
            },
            "there is no /nowhere/ca.crt",
        ),
        (
            |a| a.port = Some("70000".into()),
            "PORT=70000: a port up to 65535",
        ),
        // Also where it is the other one that counts.
        (
            |a| {
                a.tls_enabled = Some("true".into());
                a.port = Some("eighty".into());
            },
            "PORT=eighty: a port",
        ),
        (|a| a.tls_port = Some("x".into()), "TLS_PORT=x: a port"),
        (
            |a| a.zookeeper_agent_port = Some("0".into()),
            "ZOOKEEPER_AGENT_PORT=0: a port from 1 to 65535",
        ),
        (
            |a| {
                a.zookeeper_agent_port = Some("0".into());
                a.transactional_source = Some("files".into());
                a.zookeeper_data_dir = Some("/nowhere".into());
            },
            "ZOOKEEPER_AGENT_PORT=0",
        ),
        (|a| a.backup_schedule = Some("* * *".into()), "BACKUP_SCHEDULE"),
        (
            |a| a.eviction_policy = Some("1x/delete".into()),
            "EVICTION_POLICY: eviction policy \"1x/delete\", at character 2",
        ),
        (|a| a.log_level = Some("LOUD".into()), "LOG_LEVEL=LOUD"),
        (|a| a.verify_schedule = Some("daily".into()), "VERIFY_SCHEDULE"),
        (|a| a.verify_share = Some("5".into()), "VERIFY_SHARE: \"5\""),
        (
            |a| a.restore_test_schedule = Some("* *".into()),
            "RESTORE_TEST_SCHEDULE",
        ),
        (
            |a| a.restore_test_host = Some("127.0.0.1".into()),
            "RESTORE_TEST_HOST=127.0.0.1: it is the ensemble that is backed up",
        ),
        (
            |a| a.restore_test_memory = Some("0".into()),
            "RESTORE_TEST_MEMORY=0",
        ),
        (
            |a| a.enable_full_restore = Some("maybe".into()),
            "ENABLE_FULL_RESTORE=maybe",
        ),
        (|a| a.zookeeper_timeout = Some("0".into()), "ZOOKEEPER_TIMEOUT=0"),
        (|a| a.s3_enabled = Some("true".into()), "S3_BUCKET: it is needed"),
        (|a| a.s3_enabled = Some("perhaps".into()), "S3_ENABLED=perhaps"),
        (|a| s3(a).s3_url = Some("minio:9000".into()), "S3_URL: http://"),
        (
            |a| s3(a).s3_url = Some("http://id:secret@minio".into()),
            "S3_URL: http://",
        ),
        (|a| s3(a).s3_prefix = Some("a/../b".into()), "S3_PREFIX=a/../b"),
        (
            |a| s3(a).s3_ssl_verify = Some("maybe".into()),
            "S3_SSL_VERIFY=maybe",
        ),
        (|a| a.s3_ssl_verify = Some("maybe".into()), "S3_SSL_VERIFY=maybe"),
        (
            |a| s3(a).s3_certs_path = Some("/nowhere".into()),
            "S3_CERTS_PATH: there is no /nowhere",
        ),
        (
            |a| a.storage_url = Some("s3://backups".into()),
            "STORAGE_URL: s3://…: az://CONTAINER",
        ),
        (
            |a| a.storage_url = Some("az://user:canary@backups".into()),
            "STORAGE_URL: az://…: az://CONTAINER",
        ),
        (
            |a| s3(a).storage_url = Some("az://backups".into()),
            "STORAGE_URL and S3_ENABLED=true",
        ),
        (|a| a.max_queued_jobs = Some("0".into()), "MAX_QUEUED_JOBS=0"),
    ];
    for (change, expected) in cases {
        let error = settings(change, &[]).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn several_servers_need_a_bucket_and_write_only_while_the_lease_lasts() {
    let alone = settings(|a| a.ha = Some("true".into()), &[]).unwrap_err();
    assert!(
        alone.starts_with("HA=true: ") && alone.contains("S3_ENABLED=true"),
        "{alone}"
    );
    let ha = |timeout: Option<&str>, address: &str| {
        let change = |a: &mut Args| {
            s3(a).ha = Some("true".into());
            a.zookeeper_timeout = timeout.map(str::to_owned);
            a.ha_address = Some(address.into());
        };
        settings(change, &[])
    };
    assert_eq!(ha(None, "").unwrap().zookeeper.deadline, Duration::from_secs(10));
    assert!(ha(Some("15"), "https://one:8443/").is_ok());
    let late = ha(Some("16"), "").unwrap_err();
    assert!(late.contains("ZOOKEEPER_TIMEOUT=16: with HA=true"), "{late}");
    assert!(ha(None, "one:8080").unwrap_err().starts_with("HA_ADDRESS: "));

    // A session that outlives the lease would let a stopped leader write; without TLS the relay sees to that, but for what it sends just then.
    let certificates = tempfile::tempdir().unwrap();
    std::fs::write(certificates.path().join("ca.crt"), CA).unwrap();
    for (is_ha, tls, timeout, session, within) in [
        (true, true, None, 5_000, Some(10)),
        (true, true, Some("15"), 7_500, Some(15)),
        (true, true, Some("3"), 5_000, Some(10)),
        (true, false, None, 10_000, None),
        (true, false, Some("15"), 15_000, None),
        (true, false, Some("6"), 6_000, None),
        (true, false, Some("3"), 5_000, None),
        (false, true, None, 20_000, None),
    ] {
        let change = |a: &mut Args| {
            s3(a).ha = Some(is_ha.to_string());
            a.zookeeper_enable_ssl = Some(tls.to_string());
            a.zookeeper_tls_path = Some(certificates.path().display().to_string());
            a.zookeeper_timeout = timeout.map(str::to_owned);
        };
        let zookeeper = settings(change, &[]).unwrap().zookeeper;
        assert_eq!(zookeeper.session_timeout, Duration::from_millis(session));
        assert_eq!(zookeeper.lands_within, within.map(Duration::from_secs));
    }
}

fn s3(args: &mut Args) -> &mut Args {
    args.s3_enabled = Some("true".into());
    args.s3_bucket = Some("backups".into());
    args
}

#[test]
fn keys_of_a_bucket_are_both_given_or_the_environments_and_a_file_stays_one() {
    use vault_store::S3Secret;
    let keys = [("S3_KEY_ID", "id"), ("S3_KEY_SECRET", "secret")];
    let bucket = |keys: &[_], directory: Option<String>| {
        let change = |a: &mut Args| s3(a).secrets_dir = directory;
        settings(change, keys).map(|settings| match settings.bucket {
            Some(BucketConfig::S3(config)) => *config,
            other => panic!("{other:?}"),
        })
    };
    assert!(bucket(&[], None).unwrap().keys.is_none());
    assert!(bucket(&keys[..1], None).unwrap_err().contains("S3_KEY_SECRET"));
    assert!(matches!(
        bucket(&keys, None).unwrap().keys.unwrap().id,
        S3Secret::Text(_)
    ));
    let directory = tempfile::tempdir().unwrap();
    for (name, value) in keys {
        std::fs::write(directory.path().join(name), value).unwrap();
    }
    let found = bucket(&[], Some(directory.path().display().to_string())).unwrap();
    let S3Secret::File(path) = found.keys.unwrap().secret else {
        panic!("it is read once");
    };
    assert_eq!(path, directory.path().join("S3_KEY_SECRET"));
    // A file of settings names files, too; what is given without one is a text.
    let named = [
        ("S3_KEY_ID", "id"),
        ("S3_KEY_SECRET", "s"),
        ("S3_KEY_SECRET_FILE", "/run/s"),
    ];
    let found = bucket(&named, None).unwrap().keys.unwrap();
    assert!(matches!(found.secret, S3Secret::File(path) if path.as_os_str() == "/run/s"));
    assert!(matches!(found.id, S3Secret::Text(_)));
    // Not asked for: then it is not looked where that is.
    assert!(
        settings(|a| a.s3_url = Some("nonsense".into()), &[])
            .unwrap()
            .bucket
            .is_none()
    );
}

#[test]
fn empty_values_are_not_given_and_hosts_get_the_port() {
    let change = |a: &mut Args| {
        a.port = Some(String::new());
        a.zookeeper_host = Some("zk1, zk2:2182,::1,[::2]:2183".into());
        a.backup_schedule = Some("None".into());
    };
    let settings = settings(change, &[("ZOOKEEPER_ADMIN_USERNAME", "")]).unwrap();
    assert_eq!(settings.port, 8080);
    assert_eq!(
        settings.zookeeper.address,
        "zk1:2181,zk2:2182,[::1]:2181,[::2]:2183"
    );
    assert!(settings.schedule.is_none());
}
