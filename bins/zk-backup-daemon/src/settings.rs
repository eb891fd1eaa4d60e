//! What the server is told at its start, checked.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use backup_engine::{AdminSource, ConnectString, Driver};
use eviction_policy::RulePolicy;
use job_queue::Schedule;
use vault_store::S3Config;
use zk_snapshot::client::BatchedConfig;
use zk_snapshot::files::DataDirs;
use zk_snapshot::tree::ZnodePath;

pub use self::checks::{Checks, TestPlace};
pub use self::encryption::Encryption;
use self::encryption::encryption;
pub use self::ha::Ha;
use self::states::{admin, agent_port, data_dirs};
use self::tls::zookeeper_tls;
pub use self::values::SettingsError;
use self::values::{PORTS, bad, flag, given, number, pair, seconds, secret};
use crate::{Access, Args};

mod access;
mod checks;
mod encryption;
mod ha;
mod s3;
mod states;
mod tls;
mod values;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `[2026-11-23T14:00:00,123][INFO] …`
    Text,
    /// One JSON object a line.
    Json,
}

/// Settings that were checked.
#[derive(Debug)]
#[allow(missing_docs)] // the fields are those of `Args`
pub struct Settings {
    pub zookeeper: BatchedConfig,
    /// The znode that stands for `/`.
    pub chroot: ZnodePath,
    pub driver: Driver,
    pub consistency_rounds: u32,
    pub sequence_limit: u64,
    /// What makes every server begin anew, and how long that may take.
    pub restart_command: Option<String>,
    pub restore_timeout: Duration,
    /// The files that transactional backups are from.
    pub data_dirs: Option<DataDirs>,
    /// The AdminServer that they are from.
    pub admin: Option<AdminSource>,
    /// The port of the agents that they are from.
    pub agent_port: Option<u16>,
    pub address: IpAddr,
    pub port: u16,
    /// The directory of `tls.crt` and `tls.key`, if HTTPS is to be served.
    pub tls: Option<PathBuf>,
    pub storage: PathBuf,
    /// Where backups are kept, if not in the storage.
    pub s3: Option<S3Config>,
    /// What the servers that share the bucket know each other by, if there are several.
    pub ha: Option<Ha>,
    /// The keys that backups are sealed to, and those that open them.
    pub encryption: Option<Encryption>,
    pub schedule: Option<Schedule>,
    pub checks: Checks,
    pub eviction_policy: RulePolicy,
    pub granular_eviction_policy: RulePolicy,
    pub full_restore: bool,
    pub upload_limit: u64,
    pub external_root: Option<PathBuf>,
    pub max_queued_jobs: usize,
    pub shutdown_grace: Duration,
    pub log_level: log::LevelFilter,
    pub log_format: LogFormat,
    pub access: Access,
    pub ui: bool,
}

impl Settings {
    /// Checks `args`. `environment` looks up secrets that have no flag. Empty values count as not given.
    ///
    /// # Errors
    /// [`SettingsError`] for the first setting that cannot be used.
    pub fn new(args: &Args, environment: impl Fn(&str) -> Option<OsString>) -> Result<Self, SettingsError> {
        let secrets_dir = given(args.secrets_dir.as_ref()).map(PathBuf::from);
        let secret = |name: &str| secret(name, secrets_dir.as_deref(), &environment);
        let credentials = pair(
            secret,
            "BACKUP_DAEMON_API_CREDENTIALS_USERNAME",
            "BACKUP_DAEMON_API_CREDENTIALS_PASSWORD",
        )?;
        let digest = pair(secret, "ZOOKEEPER_DIGEST_USERNAME", "ZOOKEEPER_DIGEST_PASSWORD")?;
        let (ConnectString { servers, chroot }, zookeeper_port) = zookeeper(args)?;
        let checks = checks::checks(args, &servers, zookeeper_port)?;
        let ha = ha::ha(args)?;
        let zookeeper = BatchedConfig {
            deadline: ha::deadline(args, ha.as_ref())?,
            digest_auth: digest.map(|(user, password)| format!("{user}:{password}")),
            sasl: pair(secret, "ZOOKEEPER_ADMIN_USERNAME", "ZOOKEEPER_ADMIN_PASSWORD")?,
            tls: zookeeper_tls(args)?,
            ..BatchedConfig::new(servers)
        };
        let anonymous = flag(
            "BACKUP_DAEMON_ALLOW_ANONYMOUS",
            args.allow_anonymous.as_ref(),
            false,
        )?;
        let address = address(args.broadcast_address.as_ref(), credentials.is_some(), anonymous)?;
        let protect_reads = flag("BACKUP_DAEMON_PROTECT_READS", args.protect_reads.as_ref(), false)?;
        let access = access::access(secret, credentials, protect_reads)?;
        let tls = flag("TLS_ENABLED", args.tls_enabled.as_ref(), false)?;
        let certs = given(args.certs_path.as_ref()).map_or_else(|| PathBuf::from("/tls/"), PathBuf::from);
        let port = if tls {
            number("TLS_PORT", args.tls_port.as_ref(), 8443, PORTS, |_| true)?
        } else {
            number("PORT", args.port.as_ref(), 8080, PORTS, |_| true)?
        };
        Ok(Self {
            driver: driver(args, &zookeeper)?,
            zookeeper,
            chroot,
            consistency_rounds: number(
                "CONSISTENCY_ROUNDS",
                args.consistency_rounds.as_ref(),
                200,
                "a number from 0 to 1000000",
                |rounds| *rounds <= 1_000_000,
            )?,
            sequence_limit: number(
                "SEQUENCE_RESTORE_LIMIT",
                args.sequence_restore_limit.as_ref(),
                1_000_000,
                "a number from 0",
                |_| true,
            )?,
            restart_command: given(args.restore_restart_command.as_ref()),
            restore_timeout: Duration::from_secs(number(
                "RESTORE_TIMEOUT",
                args.restore_timeout.as_ref(),
                600,
                "seconds from 1 to 31536000",
                |seconds| (1..=31_536_000).contains(seconds),
            )?),
            data_dirs: data_dirs(args)?,
            admin: admin(args, secret("ZOOKEEPER_ADMIN_AUTHORIZATION")?.as_deref())?,
            agent_port: agent_port(args)?,
            address,
            port,
            tls: tls.then_some(certs),
            storage: given(args.storage.as_ref())
                .unwrap_or_else(|| "./backup-storage".to_owned())
                .into(),
            s3: s3::bucket(args, secrets_dir.as_deref(), &environment)?,
            encryption: encryption(args)?,
            ha,
            schedule: schedule(args.backup_schedule.as_ref())?,
            checks,
            eviction_policy: policy(
                "EVICTION_POLICY",
                args.eviction_policy.as_ref(),
                "1d/1d,7d/7d,1m/delete",
            )?,
            granular_eviction_policy: policy(
                "GRANULAR_EVICTION_POLICY",
                args.granular_eviction_policy.as_ref(),
                "7d/delete",
            )?,
            full_restore: flag("ENABLE_FULL_RESTORE", args.enable_full_restore.as_ref(), true)?,
            upload_limit: number(
                "UPLOAD_LIMIT",
                args.upload_limit.as_ref(),
                16 << 30,
                "a number of bytes",
                |_| true,
            )?,
            external_root: given(args.external_root.as_ref()).map(PathBuf::from),
            max_queued_jobs: number(
                "MAX_QUEUED_JOBS",
                args.max_queued_jobs.as_ref(),
                100,
                "a number from 1 to 1000000",
                |jobs| (1..=1_000_000).contains(jobs),
            )?,
            shutdown_grace: seconds("SHUTDOWN_GRACE", args.shutdown_grace.as_ref(), 0)?,
            log_level: log_level(args.log_level.as_ref())?,
            log_format: match given(args.log_format.as_ref()).as_deref() {
                None | Some("text") => LogFormat::Text,
                Some("json") => LogFormat::Json,
                Some(other) => return Err(bad("LOG_FORMAT", other, "text or json")),
            },
            access,
            ui: flag("UI_ENABLED", args.ui_enabled.as_ref(), true)?,
        })
    }
}

fn driver(args: &Args, config: &BatchedConfig) -> Result<Driver, SettingsError> {
    let name = "ZOOKEEPER_DRIVER";
    match given(args.zookeeper_driver.as_ref()).as_deref() {
        None | Some("auto") => Ok(Driver::Auto),
        Some("batched") => Ok(Driver::Batched),
        Some("plain") if config.tls.is_some() || config.sasl.is_some() => Err(SettingsError(format!(
            "{name}=plain: it knows neither TLS nor SASL; leave ZOOKEEPER_ENABLE_SSL and ZOOKEEPER_ADMIN_USERNAME \
             empty, or take batched"
        ))),
        Some("plain") => Ok(Driver::Plain),
        Some(other) => Err(bad(name, other, "auto, batched or plain")),
    }
}

fn address(value: Option<&String>, credentials: bool, anonymous: bool) -> Result<IpAddr, SettingsError> {
    let name = "BROADCAST_ADDRESS";
    let Some(value) = given(value) else {
        let open = if credentials || anonymous {
            "0.0.0.0"
        } else {
            "127.0.0.1"
        };
        return open.parse().map_err(|_| bad(name, open, "an IP address"));
    };
    let address: IpAddr = value
        .trim_matches(['[', ']'])
        .parse()
        .map_err(|_| bad(name, &value, "an IP address"))?;
    if credentials || anonymous || address.is_loopback() {
        return Ok(address);
    }
    Err(SettingsError(format!(
        "{name}={value}: without credentials only a loopback address is served. Set \
         BACKUP_DAEMON_API_CREDENTIALS_USERNAME and BACKUP_DAEMON_API_CREDENTIALS_PASSWORD, or \
         BACKUP_DAEMON_ALLOW_ANONYMOUS=true"
    )))
}

/// With the port of servers that say none.
fn zookeeper(args: &Args) -> Result<(ConnectString, u16), SettingsError> {
    let allowed = match given(args.zookeeper_port.as_ref()) {
        Some(port) if port.starts_with("tcp://") => {
            "this is from Kubernetes, which sets it for a Service named zookeeper (enableServiceLinks: false in the pod's spec \
             ends that); a port from 1 to 65535"
        }
        _ => "a port from 1 to 65535",
    };
    let port = args.zookeeper_port.as_ref();
    let port: u16 = number("ZOOKEEPER_PORT", port, 2181, allowed, |port| *port > 0)?;
    let hosts = given(args.zookeeper_host.as_ref()).unwrap_or_else(|| "127.0.0.1".to_owned());
    let parsed = ConnectString::parse(&hosts, port).map_err(|why| {
        SettingsError(format!(
            "ZOOKEEPER_HOST={hosts}: {why}; such as zk1,zk2:2182 or zk1:2181,zk2:2181/chroot is expected"
        ))
    })?;
    Ok((parsed, port))
}

fn schedule(value: Option<&String>) -> Result<Option<Schedule>, SettingsError> {
    let text = given(value).unwrap_or_else(|| "0 * * * *".to_owned());
    checks::schedule("BACKUP_SCHEDULE", Some(&text))
}

fn policy(name: &str, value: Option<&String>, default: &str) -> Result<RulePolicy, SettingsError> {
    let text = given(value).unwrap_or_else(|| default.to_owned());
    text.parse()
        .map_err(|error| SettingsError(format!("{name}: {error}")))
}

fn log_level(value: Option<&String>) -> Result<log::LevelFilter, SettingsError> {
    let Some(text) = given(value) else {
        return Ok(log::LevelFilter::Info);
    };
    match text.to_ascii_uppercase().as_str() {
        "DEBUG" => Ok(log::LevelFilter::Debug),
        "INFO" => Ok(log::LevelFilter::Info),
        "WARNING" | "WARN" => Ok(log::LevelFilter::Warn),
        "ERROR" => Ok(log::LevelFilter::Error),
        _ => Err(bad("LOG_LEVEL", &text, "DEBUG, INFO, WARNING or ERROR")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(change: impl FnOnce(&mut Args), secrets: &[(&str, &str)]) -> Result<Settings, String> {
        let mut args = Args::default();
        change(&mut args);
        let find = |name: &str| secrets.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).into());
        Settings::new(&args, find).map_err(|error| error.to_string())
    }

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

    #[test]
    fn a_bad_value_is_named_with_what_is_allowed() {
        type Change = fn(&mut Args);
        let cases: [(Change, &str); 22] = [
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
            (
                |a| s3(a).s3_certs_path = Some("/nowhere".into()),
                "S3_CERTS_PATH: there is no /nowhere",
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
            settings(change, keys).map(|settings| settings.s3.unwrap())
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
        // Not asked for: then nothing of it is looked at.
        assert!(
            settings(|a| a.s3_url = Some("nonsense".into()), &[])
                .unwrap()
                .s3
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
}
