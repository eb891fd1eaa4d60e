//! From settings to an engine that can be built.

use std::ffi::OsString;
use std::sync::Arc;

use backup_engine::{
    AgentSource, Engine, EngineBuilder, Ensemble, FilesSource, HookVariables, Hooks, Recovery, RestoreTests,
    SettingNames, StateSource, TestEnsemble, ZooKeeperEnsemble,
};
use zk_snapshot::client::BatchedConfig;

use crate::bucket::{self, Purpose};
use crate::{Secondary, Settings, StartError, second_directory};

/// Begins an engine as `settings` say, over the storage that they name, which is locked from here on.
///
/// # Errors
/// [`StartError`].
pub fn builder(settings: &Settings) -> Result<EngineBuilder, StartError> {
    over(settings, Arc::new(settings.ensemble()), true)
}

/// The same with jobs in memory, where backups are in a directory: for who needs none of those that are kept there.
///
/// # Errors
/// [`StartError`].
pub fn builder_without_jobs(settings: &Settings) -> Result<EngineBuilder, StartError> {
    over(settings, Arc::new(settings.ensemble()), false)
}

/// The same over `ensemble`, which is that of the settings.
pub(crate) fn over(
    settings: &Settings,
    ensemble: Arc<dyn Ensemble>,
    with_jobs: bool,
) -> Result<EngineBuilder, StartError> {
    let mut builder = placed(Engine::builder(ensemble), settings, with_jobs)?
        .full_policy(Arc::new(settings.eviction_policy.clone()))
        .granular_policy(Arc::new(settings.granular_eviction_policy.clone()))
        .full_restore(settings.full_restore)
        .consistency_rounds(settings.consistency_rounds)
        .sequence_limit(settings.sequence_limit)
        .max_queued(settings.max_queued_jobs)
        .keep_news(settings.webhook.is_some())
        .hooks(Hooks {
            before: settings.hook_before.clone(),
            after: settings.hook_after.clone(),
            timeout: settings.hook_timeout,
            environment: handed_on(),
            variables: hook_variables(),
        })
        .setting_names(names());
    let mut states: Vec<Arc<dyn StateSource>> = Vec::new();
    if let Some(dirs) = settings.data_dirs.clone() {
        states.push(Arc::new(FilesSource(dirs)));
    }
    if let Some(admin) = settings.admin.clone() {
        states.push(Arc::new(admin.spooling_in(&settings.storage)));
    }
    if let Some(port) = settings.agent_port {
        let config = settings.zookeeper.clone();
        states.push(Arc::new(AgentSource::new(config, port, &settings.storage)));
    }
    if let Some(encryption) = settings.encryption.clone() {
        builder = builder.around_vaults(move |below| encryption.around(below));
    }
    builder = builder.states(states).recovery(Recovery {
        directory: settings.storage.join("recover"),
        command: settings.restart_command.clone(),
        environment: handed_on(),
        variable: "RECOVER_DIR".to_owned(),
        patience: settings.restore_timeout,
    });
    if let Some(schedule) = settings.schedule.clone() {
        builder = builder.schedule(schedule);
    }
    let checks = &settings.checks;
    builder = builder.restore_tests(RestoreTests {
        ensemble: test_ensemble(settings),
        memory: checks.test_memory,
    });
    builder = builder.verify_new(checks.verify_new_backups);
    if let Some(schedule) = checks.verify_schedule.clone() {
        builder = builder.verify_schedule(schedule, checks.verify_share);
    }
    if let Some(schedule) = checks.test_schedule.clone() {
        builder = builder.restore_test_schedule(schedule);
    }
    Ok(builder)
}

/// With where vaults, their second copies and jobs are.
fn placed(builder: EngineBuilder, settings: &Settings, with_jobs: bool) -> Result<EngineBuilder, StartError> {
    let builder = match &settings.bucket {
        None if with_jobs => builder.storage(&settings.storage)?,
        None => builder.storage_without_jobs(&settings.storage)?,
        // First what only this process may have: it may have been started twice.
        Some(config) => {
            let builder = builder.local_state(&settings.storage)?;
            let purpose = settings
                .ha
                .as_ref()
                .map_or(Purpose::Backups, |_| Purpose::Sharing);
            builder.objects(bucket::open(config, purpose)?, config.to_string())
        }
    };
    let mut builder = builder;
    for (name, config) in &settings.aliases {
        builder = builder.further_objects(name, bucket::open(config, Purpose::Backups)?);
    }
    Ok(match &settings.secondary {
        None => builder,
        Some(Secondary::Bucket(config)) => {
            builder.second_objects(bucket::open(config, Purpose::Copies)?, config.to_string())
        }
        Some(Secondary::Directory(path)) => {
            let copies = second_directory::open(path, &settings.storage)?;
            builder.second_copy(copies, path.display().to_string())
        }
    })
}

/// Where backups are restored for a test, reached as the ensemble is that is backed up.
pub(crate) fn test_ensemble(settings: &Settings) -> Option<TestEnsemble> {
    let place = settings.checks.test_place.clone()?;
    let live = &settings.zookeeper;
    let to = |config: BatchedConfig| ZooKeeperEnsemble::new(config, settings.driver);
    let all = || Arc::new(to(live.clone())) as Arc<dyn Ensemble>;
    let address = place.servers.clone().unwrap_or_else(|| live.address.clone());
    let ensemble = to(BatchedConfig {
        address,
        ..live.clone()
    });
    Some(TestEnsemble {
        ensemble: Arc::new(ensemble.below(place.root)),
        never: (!place.is_live).then(all),
        is_live: place.is_live,
    })
}

/// What the engine's settings are called here.
fn names() -> SettingNames {
    SettingNames {
        states: "ZOOKEEPER_DATA_DIR names the data directory of a server".to_owned(),
        restart_command: "RESTORE_RESTART_COMMAND".to_owned(),
        trust_clock: "If it is right now, say so: POST /evict?trust_clock=true".to_owned(),
    }
}

/// What tells the commands around jobs of their job.
fn hook_variables() -> HookVariables {
    HookVariables {
        job: "ZK_BACKUP_JOB".to_owned(),
        job_type: "ZK_BACKUP_JOB_TYPE".to_owned(),
        vault: "ZK_BACKUP_VAULT".to_owned(),
        job_status: "ZK_BACKUP_JOB_STATUS".to_owned(),
        job_message: "ZK_BACKUP_JOB_MESSAGE".to_owned(),
    }
}

/// What commands are given of our environment, which holds secrets.
const HANDED_ON: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    // Where `kubectl` and `ssh` find what they talk to; none of them is a secret.
    "KUBECONFIG",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
    "SSH_AUTH_SOCK",
    "TMPDIR",
    "JAVA_HOME",
];

fn handed_on() -> Vec<(OsString, OsString)> {
    let value = |name: &str| Some((name.into(), std::env::var_os(name)?));
    HANDED_ON.into_iter().filter_map(value).collect()
}
