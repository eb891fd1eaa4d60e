//! The server's API in this process, over a storage directory.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use backup_engine::{
    Client, Engine, EngineBuilder, EngineError, Ensemble, JobInfo, MembersUnknown, ZooKeeperEnsemble,
};
use clap::Parser as _;
use eviction_policy::{Backup, EvictionPolicy, Verdict};
use health_metrics::ZooKeeperHealth;
use job_queue::QueueError;
use time::OffsetDateTime;
use uuid::Uuid;
use vault_store::{FsStore, PredecessorStore, StoreError, VaultStore};
use zk_backup_daemon::{Access, Args, Cli, Credentials, ServeOptions, Settings, StartError, serve};
use zk_snapshot::tree::{ClientError, ClientErrorKind};

use crate::api::{Api, Http};
use crate::exit::{Exit, Failure, about};
use crate::text::{clean, tell};

mod place;
mod waiting;

/// What a command does with a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Nothing in it is changed, and no job is done.
    Look,
    /// Jobs are done, or backups removed. `waiting_too`: what waited there is done first.
    Work {
        /// Whether jobs that wait there may be done.
        waiting_too: bool,
        /// Whether no progress of these is shown.
        quiet: bool,
        /// Whether it can do without their database, where that cannot be used: on a full disk of an earlier version, for example.
        even_without_jobs: bool,
        /// Whether backups are put into it.
        backs_up: bool,
    },
}

/// Opens the storage at `directory`, which no server may have, and serves it in this process.
///
/// # Errors
/// [`Exit::InUse`] where a server has it; [`Exit::Usage`].
pub(crate) fn open(directory: &Path, zookeeper: Option<&str>, purpose: Use) -> Result<Api, Failure> {
    place::check(directory)?;
    if !FsStore::is_at(directory).map_err(|error| not_opened(directory, &error))? {
        return Err(Failure::usage(format!(
            "{} is no storage of a server: there is no backup in it, and no server has used it",
            directory.display()
        )));
    }
    let Use::Work {
        waiting_too,
        quiet,
        even_without_jobs,
        backs_up,
    } = purpose
    else {
        return begin(looking(directory, zookeeper)?, |_| Ok(()));
    };
    let (engine, seals) = working(directory, zookeeper, even_without_jobs)?;
    let mut waiting = Vec::new();
    let api = begin(engine, |jobs| {
        waiting = jobs;
        match waiting_too {
            true => waiting::check_hosts(&waiting, zookeeper),
            false => waiting::check_none(&waiting),
        }
    })?;
    if backs_up && !seals && is_newest_encrypted(&api)? {
        warn(
            "the newest backup there is encrypted, and what is backed up now is not: ENCRYPTION_RECIPIENTS is not set here, as it is \
             for the server",
        );
    }
    waiting::do_first(&api, &waiting, quiet)?;
    Ok(api)
}

fn is_newest_encrypted(api: &Api) -> Result<bool, Failure> {
    let ids = api.list()?;
    let Some(newest) = ids.last() else {
        return Ok(false);
    };
    match api.describe(newest) {
        Ok(newest) => Ok(newest.view.encrypted),
        Err(failure) if failure.is_of_one_backup() => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// An engine that changes nothing at `directory`.
fn looking(directory: &Path, zookeeper: Option<&str>) -> Result<Engine, Failure> {
    let store = FsStore::open_existing(directory).map_err(|error| not_opened(directory, &error))?;
    let settings = settings(directory, zookeeper)?;
    let mut builder = match zookeeper {
        Some(_) => Engine::builder(Arc::new(ensemble(&settings))),
        None => Engine::builder(Arc::new(Nobody)),
    };
    if let Some(encryption) = settings.encryption {
        builder = builder.around_vaults(move |below| encryption.around(below));
    }
    let store = Arc::new(store);
    let with_predecessors = PredecessorStore::new(Arc::clone(&store) as _, store);
    let engine = builder.vaults(Arc::new(with_predecessors)).build();
    engine.map_err(|error| engine_failed(directory, &error))
}

/// An engine that does jobs at `directory`, and removes nothing by policy; and whether it encrypts what it backs up.
fn working(
    directory: &Path,
    zookeeper: Option<&str>,
    even_without_jobs: bool,
) -> Result<(Engine, bool), Failure> {
    let settings = settings(directory, zookeeper)?;
    let built = |builder: Result<EngineBuilder, StartError>| -> Result<Engine, StartError> {
        let keeps = Arc::new(KeepsAll);
        let keeping = builder?
            .full_policy(Arc::clone(&keeps) as _)
            .granular_policy(keeps);
        Ok(keeping.build()?)
    };
    let mut engine = built(zk_backup_daemon::builder(&settings));
    if even_without_jobs
        && let Err(StartError::Engine(error)) = &engine
        && is_of_jobs(error)
    {
        warn(&format!(
            "the server's jobs are not known, nor whether one that waits needs a backup: {error}"
        ));
        engine = built(zk_backup_daemon::builder_without_jobs(&settings));
    }
    let engine = engine.map_err(|error| match error {
        StartError::Engine(error) => engine_failed(directory, &error),
        error => Failure::failed(error.to_string()),
    });
    Ok((engine?, settings.encryption.is_some()))
}

/// Serves the ensemble at `zookeeper` in this process, with the vaults of `store`, and keeps jobs in memory. How to speak to it, and as whom, is
/// in the file `config`, or else in the environment.
///
/// # Errors
/// [`Exit::Usage`] for hosts, or settings, that are none.
pub(crate) fn over(
    zookeeper: &str,
    config: Option<&Path>,
    store: &Arc<dyn VaultStore>,
) -> Result<Api, Failure> {
    let settings = match config {
        None => settings(Path::new("."), Some(zookeeper)),
        Some(file) => Cli::settings_of_file(file, |args| narrowed(args, Path::new("."), Some(zookeeper)))
            .map_err(|error| Failure::usage(error.to_string())),
    }?;
    let engine = Engine::builder(Arc::new(ensemble(&settings)))
        .vaults(Arc::clone(store))
        .consistency_rounds(settings.consistency_rounds)
        .sequence_limit(settings.sequence_limit)
        .full_policy(Arc::new(KeepsAll))
        .granular_policy(Arc::new(KeepsAll))
        .build();
    begin(
        engine.map_err(|error| Failure::failed(error.to_string()))?,
        |_| Ok(()),
    )
}

/// The server's settings, as its variables have them, but for what is said here and what is about its HTTP and its timetable.
fn settings(directory: &Path, zookeeper: Option<&str>) -> Result<Settings, Failure> {
    let args = Args::try_parse_from(["zk-backup"]).map_err(|error| Failure::usage(error.to_string()))?;
    let environment = |name: &str| match name.starts_with("BACKUP_DAEMON_API_") {
        true => None,
        false => std::env::var_os(name),
    };
    Settings::new(&narrowed(args, directory, zookeeper), environment)
        .map_err(|error| Failure::usage(error.to_string()))
}

/// `args` without what they say of HTTP, the timetable and buckets.
fn narrowed(args: Args, directory: &Path, zookeeper: Option<&str>) -> Args {
    Args {
        storage: Some(directory.display().to_string()),
        zookeeper_host: zookeeper.map(str::to_owned),
        backup_schedule: Some("None".to_owned()),
        verify_schedule: None,
        restore_test_schedule: None,
        s3_enabled: None,
        s3_aliases_used: None,
        storage_url: None,
        ha: None,
        ha_ca_file: None,
        // Nobody waits for a check of what is stored.
        verify_new_backups: Some("false".to_owned()),
        eviction_policy: None,
        granular_eviction_policy: None,
        broadcast_address: None,
        port: None,
        tls_enabled: None,
        ..args
    }
}

fn ensemble(settings: &Settings) -> ZooKeeperEnsemble {
    ZooKeeperEnsemble::new(settings.zookeeper.clone(), settings.driver).below(settings.chroot.clone())
}

/// Serves `engine` on a loopback port until this process ends, to whoever knows credentials that are made here.
/// `check` is told which jobs wait, before any is done.
fn begin(engine: Engine, check: impl FnOnce(Vec<JobInfo>) -> Result<(), Failure>) -> Result<Api, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(about("a port of this machine"))?;
    let address = listener.local_addr().map_err(about("a port of this machine"))?;
    let secret = Uuid::new_v4().to_string();
    let options = ServeOptions::new(Access::new(Credentials::new("zk-backup", &secret), true));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(about("threads cannot be started"))?;
    let waiting = runtime.block_on(waiting::of(&engine));
    check(waiting.map_err(|error| Failure::failed(error.to_string()))?)?;
    std::thread::Builder::new()
        .name("server".to_owned())
        .spawn(move || {
            // It ends with the process; that it cannot be reached is told to whoever asks.
            let _ = runtime.block_on(serve(listener, engine, options, std::future::pending()));
        })
        .map_err(about("threads cannot be started"))?;
    let http = Http::new(&format!("http://{address}"), Some(("zk-backup", &secret)), None)?;
    Ok(Api::of_this_process(http))
}

fn not_opened(directory: &Path, error: &StoreError) -> Failure {
    match error {
        StoreError::Locked(_) => Failure::new(
            Exit::InUse,
            format!(
                "{}: the server has it: use ZK_BACKUP_URL, or stop the server",
                directory.display()
            ),
        ),
        error => Failure::failed(error.to_string()),
    }
}

/// Whether it was the database of jobs that failed.
fn is_of_jobs(error: &EngineError) -> bool {
    matches!(error, EngineError::Storage(cause) if cause.is::<QueueError>())
}

fn warn(what: &str) {
    tell(&format!("zk-backup: {}", clean(what)));
}

fn engine_failed(directory: &Path, error: &EngineError) -> Failure {
    if let EngineError::Storage(cause) = error
        && let Some(cause) = cause.downcast_ref::<StoreError>()
    {
        return not_opened(directory, cause);
    }
    Failure::failed(error.to_string())
}

/// Which policies the server has is not known here, so nothing goes by policy.
#[derive(Debug)]
struct KeepsAll;

impl EvictionPolicy for KeepsAll {
    fn judge(&self, backups: &[Backup], _: OffsetDateTime) -> Vec<Verdict> {
        let keep = |_| Verdict::Keep("the server's policies are not known here".to_owned());
        backups.iter().map(keep).collect()
    }
}

/// No ensemble.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Ensemble for Nobody {
    fn name(&self) -> String {
        String::new()
    }

    async fn connect(&self) -> Result<Box<dyn Client>, ClientError> {
        let error = ClientError::new("ZooKeeper", "none is named: add --zookeeper HOSTS");
        Err(error.of_kind(ClientErrorKind::Settings))
    }

    async fn probe(&self) -> ZooKeeperHealth {
        ZooKeeperHealth::default()
    }

    async fn other_members(&self) -> Result<Vec<Arc<dyn Ensemble>>, MembersUnknown> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_that_is_no_storage_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("notes.txt");
        fs::write(&file, b"mine").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let work = Use::Work {
            waiting_too: true,
            quiet: true,
            even_without_jobs: true,
            backs_up: true,
        };
        for purpose in [Use::Look, work] {
            let refused = open(directory.path(), None, purpose).err().unwrap();
            assert_eq!(refused.exit, Exit::Usage);
            assert!(refused.message.contains("is no storage"), "{}", refused.message);
        }
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode, fs::read_dir(directory.path()).unwrap().count()),
            (0o644, 1)
        );
    }
}
