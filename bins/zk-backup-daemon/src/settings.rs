//! What the server is told at its start, checked.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backup_engine::{AdminSource, ConnectString, Driver, Hook, ZooKeeperEnsemble};
use eviction_policy::RulePolicy;
use job_queue::Schedule;
use zk_snapshot::client::BatchedConfig;
use zk_snapshot::files::DataDirs;
use zk_snapshot::tree::ZnodePath;

use self::aliases::Aliases;
pub use self::checks::{Checks, TestPlace};
pub use self::encryption::Encryption;
use self::encryption::encryption;
pub use self::ha::Ha;
use self::listen::{Listen, listen};
pub use self::logs::LogFormat;
pub use self::secondary::Secondary;
use self::secondary::secondary;
pub use self::signals::Webhook;
use self::states::{admin, agent_port, data_dirs};
pub use self::values::SettingsError;
use self::values::{flag, given, seconds, secret, secret_of_file, secrets_dir};
use crate::bucket::BucketConfig;
use crate::{Access, Args};

mod access;
mod aliases;
mod bucket;
mod checks;
mod encryption;
mod ha;
mod limits;
mod listen;
mod logs;
mod s3;
mod secondary;
mod signals;
mod states;
#[cfg(test)]
mod tests;
mod tls;
mod values;
mod zookeeper;

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
    pub bucket: Option<BucketConfig>,
    /// The buckets that backups can be kept in besides, by the names of their aliases.
    pub aliases: BTreeMap<String, BucketConfig>,
    /// Where second copies of them go.
    pub secondary: Option<Secondary>,
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
    pub webhook: Option<Webhook>,
    pub hook_before: Option<Hook>,
    pub hook_after: Option<Hook>,
    pub hook_timeout: Duration,
    pub log_level: log::LevelFilter,
    pub log_format: LogFormat,
    pub access: Access,
    pub ui: bool,
    /// The names of the secrets that are from files of `BACKUP_DAEMON_SECRETS_DIR`.
    pub secrets_in_files: BTreeSet<String>,
}

impl Settings {
    /// How the log is to look, whatever else is wrong.
    pub(crate) fn log_format(args: &Args) -> Result<LogFormat, SettingsError> {
        logs::format(args)
    }

    /// Checks `args`. `environment` looks up secrets that have no flag, and `WEBHOOK_URL` where `args` have none, and under `<name>_FILE` the file that such a one was read from,
    /// so that a key of a bucket can be read again. Empty values count as not given.
    ///
    /// # Errors
    /// [`SettingsError`] for the first setting that cannot be used.
    pub fn new(args: &Args, environment: impl Fn(&str) -> Option<OsString>) -> Result<Self, SettingsError> {
        let secrets_dir = secrets_dir(args)?;
        let in_files = RefCell::new(BTreeSet::new());
        let (directory, of_files) = (secrets_dir.as_deref(), &in_files);
        let filed = |name: &str| {
            let found = secret_of_file(name, directory)?;
            of_files
                .borrow_mut()
                .extend(found.as_ref().map(|_| name.to_owned()));
            Ok(found)
        };
        let secret = |name: &str| match filed(name)? {
            None => secret(name, None, &environment),
            found => Ok(found),
        };
        let Listen {
            address,
            port,
            tls,
            access,
        } = listen(args, secret)?;
        let (ConnectString { servers, chroot }, zookeeper_port) = zookeeper::servers(args)?;
        let (bucket, aliases) = buckets(args, directory, &environment)?;
        let is_far = bucket.is_some() || !aliases.is_empty();
        let checks = checks::checks(args, &servers, zookeeper_port, is_far)?;
        let ha = ha::ha(args, bucket.is_some())?;
        let zookeeper = zookeeper::config(args, servers, ha.as_ref(), secret)?;
        let storage = given(args.storage.as_ref()).unwrap_or_else(|| "./backup-storage".to_owned());
        let storage = PathBuf::from(storage);
        let buckets: Vec<_> = bucket.iter().chain(aliases.values()).collect();
        let secondary = secondary(args, (&storage, &buckets), directory, &environment)?;
        check_copied(secondary.as_ref(), &aliases)?;
        Ok(Self {
            driver: zookeeper::driver(args, &zookeeper)?,
            zookeeper,
            chroot,
            consistency_rounds: limits::consistency_rounds(args)?,
            sequence_limit: limits::sequence_restore(args)?,
            restart_command: given(args.restore_restart_command.as_ref()),
            restore_timeout: limits::restore_timeout(args)?,
            data_dirs: data_dirs(args)?,
            admin: admin(args, secret("ZOOKEEPER_ADMIN_AUTHORIZATION")?.as_deref())?,
            agent_port: agent_port(args)?,
            address,
            port,
            tls,
            secondary,
            storage,
            bucket,
            aliases,
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
            upload_limit: limits::upload(args)?,
            external_root: given(args.external_root.as_ref()).map(PathBuf::from),
            max_queued_jobs: limits::queued_jobs(args)?,
            shutdown_grace: seconds("SHUTDOWN_GRACE", args.shutdown_grace.as_ref(), 0)?,
            webhook: signals::webhook(args, filed("WEBHOOK_URL")?, secret)?,
            hook_before: signals::hook("HOOK_BEFORE", args.hook_before.as_ref())?,
            hook_after: signals::hook("HOOK_AFTER", args.hook_after.as_ref())?,
            hook_timeout: signals::hook_timeout(args)?,
            log_level: logs::level(args)?,
            log_format: logs::format(args)?,
            access,
            ui: flag("UI_ENABLED", args.ui_enabled.as_ref(), true)?,
            secrets_in_files: in_files.take(),
        })
    }

    /// Whether ZooKeeper is shown a certificate of ours.
    pub(crate) fn shows_certificate(&self) -> bool {
        let tls = self.zookeeper.tls.as_ref();
        tls.is_some_and(|tls| tls.identity.is_some())
    }

    /// What is backed up, and how it is reached.
    pub(crate) fn ensemble(&self) -> ZooKeeperEnsemble {
        ZooKeeperEnsemble::new(self.zookeeper.clone(), self.driver).below(self.chroot.clone())
    }
}

/// The bucket that backups are kept in, and those that they can be kept in besides.
fn buckets(
    args: &Args,
    secrets: Option<&Path>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<(Option<BucketConfig>, BTreeMap<String, BucketConfig>), SettingsError> {
    let bucket = bucket::bucket(args, secrets, environment)?;
    let Aliases { default, further } = aliases::aliases(args, bucket.as_ref())?;
    Ok((bucket.or(default), further))
}

fn check_copied(
    secondary: Option<&Secondary>,
    aliases: &BTreeMap<String, BucketConfig>,
) -> Result<(), SettingsError> {
    if secondary.is_none() || aliases.is_empty() {
        return Ok(());
    }
    let why = "S3_ALIASES_USED with aliases besides default, and a second place (SECONDARY_…): second copies are made of one storage alone";
    Err(SettingsError::new(why.to_owned()))
}

/// Where the certificates are that `args` ask for.
pub(crate) fn certificate_directories(args: &Args) -> Vec<PathBuf> {
    let asked = [listen::certificates(args), tls::zookeeper_directory(args)];
    // What is wrong is told when settings are read.
    asked
        .into_iter()
        .filter_map(|directory| directory.ok()?)
        .collect()
}

/// The file of aliases, if there is one.
pub(crate) fn aliases_file(args: &Args) -> Option<PathBuf> {
    // What is wrong is told when settings are read.
    aliases::file(args).ok()?
}

/// The file of what signs for the other servers, if one is named.
pub(crate) fn authority_file(args: &Args) -> Option<PathBuf> {
    given(args.ha_ca_file.as_ref()).map(PathBuf::from)
}

fn schedule(value: Option<&String>) -> Result<Option<Schedule>, SettingsError> {
    let text = given(value).unwrap_or_else(|| "0 * * * *".to_owned());
    checks::schedule("BACKUP_SCHEDULE", Some(&text))
}

/// An empty one is none of ours, and would be taken for the wish to keep everything.
fn policy(name: &str, value: Option<&String>, default: &str) -> Result<RulePolicy, SettingsError> {
    let text = match value {
        Some(text) if text.trim().is_empty() => {
            return Err(SettingsError(format!(
                "{name} is empty: leave it unset for its default, {default}, or say what goes, such as 100y/delete"
            )));
        }
        Some(text) => text.trim(),
        None => default,
    };
    text.parse()
        .map_err(|error| SettingsError(format!("{name}: {error}")))
}
