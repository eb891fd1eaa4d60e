//! The settings, as flags and environment variables.

use clap::Parser;

/// A REST server that backs up and restores ZooKeeper.
///
/// Every setting can be given as a flag or in the environment. Secrets have no flag: they come from the
/// environment (BACKUP_DAEMON_API_CREDENTIALS_USERNAME and _PASSWORD; BACKUP_DAEMON_API_READER_USERNAME and _PASSWORD; ZOOKEEPER_ADMIN_USERNAME and _PASSWORD for SASL
/// DIGEST-MD5; ZOOKEEPER_DIGEST_USERNAME and _PASSWORD; ZOOKEEPER_ADMIN_AUTHORIZATION; S3_KEY_ID and S3_KEY_SECRET; SECONDARY_S3_KEY_ID and SECONDARY_S3_KEY_SECRET; WEBHOOK_SECRET; those of Azure
/// and Google, which docs/OPERATIONS.md lists), or from files of these names in BACKUP_DAEMON_SECRETS_DIR, or from the file that --config names.
#[derive(Debug, Clone, Default, Parser)]
#[command(version)]
#[allow(missing_docs)] // each field is a setting, described by its own help text below
pub struct Args {
    /// ZooKeeper's host, or several with commas between, each with a port of its own or without, and after the last a
    /// chroot such as `/kafka` if only what is below it is meant (default: 127.0.0.1)
    #[arg(long, env = "ZOOKEEPER_HOST", hide_env_values = true)]
    pub zookeeper_host: Option<String>,
    /// ZooKeeper's port, where the host has none (default: 2181)
    #[arg(long, env = "ZOOKEEPER_PORT", hide_env_values = true)]
    pub zookeeper_port: Option<String>,
    /// Seconds to connect to ZooKeeper, and for each request (default: 30)
    #[arg(long, env = "ZOOKEEPER_TIMEOUT", hide_env_values = true)]
    pub zookeeper_timeout: Option<String>,
    /// How to speak to ZooKeeper: auto, batched (3.6 or newer) or plain (default: auto)
    #[arg(long, env = "ZOOKEEPER_DRIVER", hide_env_values = true)]
    pub zookeeper_driver: Option<String>,
    /// Speak TLS to ZooKeeper (default: false)
    #[arg(long, env = "ZOOKEEPER_ENABLE_SSL", hide_env_values = true)]
    pub zookeeper_enable_ssl: Option<String>,
    /// Directory with ca.crt and, for servers that ask for it, tls.crt and tls.key (default: /tls/)
    #[arg(long, env = "ZOOKEEPER_TLS_PATH", hide_env_values = true)]
    pub zookeeper_tls_path: Option<String>,
    /// How often a backup reads again what changed meanwhile before it is fuzzy; 0 reads once (default: 200)
    #[arg(long, env = "CONSISTENCY_ROUNDS", hide_env_values = true)]
    pub consistency_rounds: Option<String>,
    /// Where transactional backups come from: auto, files, admin, agent (default: auto)
    #[arg(long, env = "TRANSACTIONAL_SOURCE", hide_env_values = true)]
    pub transactional_source: Option<String>,
    /// The data directory of a ZooKeeper server, for transactional backups
    #[arg(long, env = "ZOOKEEPER_DATA_DIR", hide_env_values = true)]
    pub zookeeper_data_dir: Option<String>,
    /// The directory of that server's transaction logs (default: that of its data)
    #[arg(long, env = "ZOOKEEPER_DATA_LOG_DIR", hide_env_values = true)]
    pub zookeeper_data_log_dir: Option<String>,
    /// The AdminServer of a ZooKeeper server of 3.9 or newer, such as `http://zookeeper:8080`, for transactional backups
    #[arg(long, env = "ZOOKEEPER_ADMIN_URL", hide_env_values = true)]
    pub zookeeper_admin_url: Option<String>,
    /// The port of the agents beside the ZooKeeper servers, for transactional backups (default: 8081)
    #[arg(long, env = "ZOOKEEPER_AGENT_PORT", hide_env_values = true)]
    pub zookeeper_agent_port: Option<String>,
    /// What makes every ZooKeeper server begin anew with the files in $RECOVER_DIR, for restores by files
    #[arg(long, env = "RESTORE_RESTART_COMMAND", hide_env_values = true)]
    pub restore_restart_command: Option<String>,
    /// Seconds that it, and the servers afterwards, may take (default: 600)
    #[arg(long, env = "RESTORE_TIMEOUT", hide_env_values = true)]
    pub restore_timeout: Option<String>,
    /// Children that a restore may create and delete again to raise sequence counters (default: 1000000)
    #[arg(long, env = "SEQUENCE_RESTORE_LIMIT", hide_env_values = true)]
    pub sequence_restore_limit: Option<String>,
    /// Address to listen on (default: 0.0.0.0; 127.0.0.1 without credentials)
    #[arg(long, env = "BROADCAST_ADDRESS", hide_env_values = true)]
    pub broadcast_address: Option<String>,
    /// Port for HTTP (default: 8080)
    #[arg(long, env = "PORT", hide_env_values = true)]
    pub port: Option<String>,
    /// Serve HTTPS instead of HTTP (default: false)
    #[arg(long, env = "TLS_ENABLED", hide_env_values = true)]
    pub tls_enabled: Option<String>,
    /// Port for HTTPS (default: 8443)
    #[arg(long, env = "TLS_PORT", hide_env_values = true)]
    pub tls_port: Option<String>,
    /// Directory with tls.crt and tls.key (default: /tls/)
    #[arg(long, env = "CERTS_PATH", hide_env_values = true)]
    pub certs_path: Option<String>,
    /// Directory for backups and jobs; with S3_ENABLED for jobs alone (default: ./backup-storage)
    #[arg(long, env = "STORAGE", hide_env_values = true)]
    pub storage: Option<String>,
    /// Public keys of age (`age1…`), with commas or blanks between, that backups are sealed to
    #[arg(long, env = "ENCRYPTION_RECIPIENTS", hide_env_values = true)]
    pub encryption_recipients: Option<String>,
    /// A file of such keys, one a line
    #[arg(long, env = "ENCRYPTION_RECIPIENTS_FILE", hide_env_values = true)]
    pub encryption_recipients_file: Option<String>,
    /// A file of secret keys of age (`AGE-SECRET-KEY-1…`), where sealed backups are to be restored
    #[arg(long, env = "ENCRYPTION_IDENTITY_FILE", hide_env_values = true)]
    pub encryption_identity_file: Option<String>,
    /// When to back up: five-field cron in UTC, or None (default: 0 * * * *)
    #[arg(long, env = "BACKUP_SCHEDULE", hide_env_values = true)]
    pub backup_schedule: Option<String>,
    /// When to verify backups: five-field cron in UTC, or None (default: None)
    #[arg(long, env = "VERIFY_SCHEDULE", hide_env_values = true)]
    pub verify_schedule: Option<String>,
    /// How much of all bytes each such run verifies, the longest unverified first (default: 100%)
    #[arg(long, env = "VERIFY_SHARE", hide_env_values = true)]
    pub verify_share: Option<String>,
    /// Whether each backup is verified as soon as it is stored (default: true in a bucket, else false)
    #[arg(long, env = "VERIFY_NEW_BACKUPS", hide_env_values = true)]
    pub verify_new_backups: Option<String>,
    /// When to restore a backup for a test: five-field cron in UTC, or None (default: None)
    #[arg(long, env = "RESTORE_TEST_SCHEDULE", hide_env_values = true)]
    pub restore_test_schedule: Option<String>,
    /// A ZooKeeper to which backups are restored for a test, as ZOOKEEPER_HOST is written (default: memory)
    #[arg(long, env = "RESTORE_TEST_HOST", hide_env_values = true)]
    pub restore_test_host: Option<String>,
    /// The znode there below which that is done; without RESTORE_TEST_HOST, one of the ensemble that is backed up (default: /)
    #[arg(long, env = "RESTORE_TEST_ROOT", hide_env_values = true)]
    pub restore_test_root: Option<String>,
    /// MiB that a backup may take which is restored to memory for a test (default: 1024)
    #[arg(long, env = "RESTORE_TEST_MEMORY", hide_env_values = true)]
    pub restore_test_memory: Option<String>,
    /// Eviction policy of full backups (default: 1d/1d,7d/7d,1m/delete)
    #[arg(long, env = "EVICTION_POLICY", hide_env_values = true)]
    pub eviction_policy: Option<String>,
    /// Eviction policy of granular backups (default: 7d/delete)
    #[arg(long, env = "GRANULAR_EVICTION_POLICY", hide_env_values = true)]
    pub granular_eviction_policy: Option<String>,
    /// Whether a restore may be asked for without dbs (default: true)
    #[arg(long, env = "ENABLE_FULL_RESTORE", hide_env_values = true)]
    pub enable_full_restore: Option<String>,
    /// The most bytes of a backup that is uploaded (default: 17179869184)
    #[arg(long, env = "UPLOAD_LIMIT", hide_env_values = true)]
    pub upload_limit: Option<String>,
    /// The directory below which `externalBackupPath` names backups (default: none, and no such restores)
    #[arg(long, env = "EXTERNAL_ROOT", hide_env_values = true)]
    pub external_root: Option<String>,
    /// How many backups and restores may wait, and how many verifications and tests (default: 100)
    #[arg(long, env = "MAX_QUEUED_JOBS", hide_env_values = true)]
    pub max_queued_jobs: Option<String>,
    /// Seconds that a running job has to end after SIGTERM (default: 30)
    #[arg(long, env = "SHUTDOWN_GRACE", hide_env_values = true)]
    pub shutdown_grace: Option<String>,
    /// Where ended jobs, damage and changes of the leader are told, such as `https://hooks.example/zk-backup`
    #[arg(long, env = "WEBHOOK_URL", hide_env_values = true)]
    pub webhook_url: Option<String>,
    /// A command that is run before each backup and restore, which fails if it does: words, or a JSON array of them; there is no shell
    #[arg(long, env = "HOOK_BEFORE", hide_env_values = true)]
    pub hook_before: Option<String>,
    /// A command that is run after each backup and restore, as `HOOK_BEFORE`
    #[arg(long, env = "HOOK_AFTER", hide_env_values = true)]
    pub hook_after: Option<String>,
    /// Seconds that each of the two may take (default: 60)
    #[arg(long, env = "HOOK_TIMEOUT", hide_env_values = true)]
    pub hook_timeout: Option<String>,
    /// DEBUG, INFO, WARNING or ERROR (default: INFO)
    #[arg(long, env = "LOG_LEVEL", hide_env_values = true)]
    pub log_level: Option<String>,
    /// text or json (default: text)
    #[arg(long, env = "LOG_FORMAT", hide_env_values = true)]
    pub log_format: Option<String>,
    /// Whether the web page is served at /ui/, and the API described at /swagger-ui/ (default: true)
    #[arg(long, env = "UI_ENABLED", hide_env_values = true)]
    pub ui_enabled: Option<String>,
    /// Ask for credentials on GET too, health and metrics excepted (default: false)
    #[arg(long, env = "BACKUP_DAEMON_PROTECT_READS", hide_env_values = true)]
    pub protect_reads: Option<String>,
    /// Serve without credentials on any address (default: false)
    #[arg(long, env = "BACKUP_DAEMON_ALLOW_ANONYMOUS", hide_env_values = true)]
    pub allow_anonymous: Option<String>,
    /// Directory of files that hold secrets
    #[arg(long, env = "BACKUP_DAEMON_SECRETS_DIR", hide_env_values = true)]
    pub secrets_dir: Option<String>,
    /// Keep backups in an S3 bucket; STORAGE keeps jobs all the same (default: false)
    #[arg(long, env = "S3_ENABLED", hide_env_values = true)]
    pub s3_enabled: Option<String>,
    /// The S3 server, such as `https://minio.example:9000`, whose bucket is then part of the path (default: Amazon's)
    #[arg(long, env = "S3_URL", hide_env_values = true)]
    pub s3_url: Option<String>,
    /// The bucket, which must be there
    #[arg(long, env = "S3_BUCKET", hide_env_values = true)]
    pub s3_bucket: Option<String>,
    /// What all keys in the bucket begin with (default: nothing)
    #[arg(long, env = "S3_PREFIX", hide_env_values = true)]
    pub s3_prefix: Option<String>,
    /// The bucket's region (default: us-east-1, or what the environment says where that has the keys)
    #[arg(long, env = "S3_REGION", hide_env_values = true)]
    pub s3_region: Option<String>,
    /// Whether the S3 server's certificate is checked (default: true)
    #[arg(long, env = "S3_SSL_VERIFY", hide_env_values = true)]
    pub s3_ssl_verify: Option<String>,
    /// A file of certificates (PEM), or a directory of such files, that the S3 server's may be signed by beside the system's
    #[arg(long, env = "S3_CERTS_PATH", hide_env_values = true)]
    pub s3_certs_path: Option<String>,
    /// Whether S3 buckets are named in the file `s3_aliases.json`, to be asked for as `storageName` (default: false)
    #[arg(long, env = "S3_ALIASES_USED", hide_env_values = true)]
    pub s3_aliases_used: Option<String>,
    /// The directory of that file (default: /aliases/)
    #[arg(long, env = "ALIASES_PATH", hide_env_values = true)]
    pub aliases_path: Option<String>,
    /// Keep backups in an Azure container, `az://CONTAINER/PREFIX`, or a Google bucket, `gs://BUCKET/PREFIX`; STORAGE keeps jobs all the same
    #[arg(long, env = "STORAGE_URL", hide_env_values = true)]
    pub storage_url: Option<String>,
    /// Another directory, on another disk, to which every backup is copied
    #[arg(long, env = "SECONDARY_DIRECTORY", hide_env_values = true)]
    pub secondary_directory: Option<String>,
    /// Another bucket, to which every backup is copied
    #[arg(long, env = "SECONDARY_S3_BUCKET", hide_env_values = true)]
    pub secondary_s3_bucket: Option<String>,
    /// Its server, as `S3_URL` (default: Amazon's)
    #[arg(long, env = "SECONDARY_S3_URL", hide_env_values = true)]
    pub secondary_s3_url: Option<String>,
    /// What all keys in it begin with (default: nothing)
    #[arg(long, env = "SECONDARY_S3_PREFIX", hide_env_values = true)]
    pub secondary_s3_prefix: Option<String>,
    /// Its region, as `S3_REGION`
    #[arg(long, env = "SECONDARY_S3_REGION", hide_env_values = true)]
    pub secondary_s3_region: Option<String>,
    /// Whether its server's certificate is checked (default: true)
    #[arg(long, env = "SECONDARY_S3_SSL_VERIFY", hide_env_values = true)]
    pub secondary_s3_ssl_verify: Option<String>,
    /// Certificates (PEM) that its server's may be signed by, as `S3_CERTS_PATH`
    #[arg(long, env = "SECONDARY_S3_CERTS_PATH", hide_env_values = true)]
    pub secondary_s3_certs_path: Option<String>,
    /// Whether several servers share the bucket, of which one works; all are told the same (default: false)
    #[arg(long, env = "HA", hide_env_values = true)]
    pub ha: Option<String>,
    /// Where the other servers reach this one, such as `http://10.0.0.1:8080` (default: the address it listens on, or the host's name, with the port)
    #[arg(long, env = "HA_ADDRESS", hide_env_values = true)]
    pub ha_address: Option<String>,
    /// What this server is called among them (default: the host's name with the port)
    #[arg(long, env = "HA_NAME", hide_env_values = true)]
    pub ha_name: Option<String>,
    /// A file of certificates (PEM) that the other servers' are signed by (default: those of `CERTS_PATH`, and the system's)
    #[arg(long, env = "HA_CA_FILE", hide_env_values = true)]
    pub ha_ca_file: Option<String>,
    /// Seconds that the lease of being the leader lasts; for tests
    #[arg(long, env = "HA_LEASE_SECONDS", hide_env_values = true, hide = true)]
    pub ha_lease_seconds: Option<String>,
}
