//! Variables of the environment, and files of secrets, that are nearly settings.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::names::{secret_names, with_flag};

/// A line for each variable that is no setting and nearly is one. `secrets` are the names of settings that have no flag.
pub(crate) fn hints(
    secrets: &[String],
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<String> {
    let with_flag = with_flag();
    let ours: Vec<&str> = with_flag.iter().chain(secrets).map(String::as_str).collect();
    environment
        .into_iter()
        .filter(|(_, value)| !is_service_link(value))
        .filter_map(|(name, _)| {
            let name = name.to_str()?;
            let meant = meant(name, &ours)?;
            Some(format!(
                "{name} is no setting and does nothing: is {meant} meant?"
            ))
        })
        .collect()
}

/// The same for each file in the directory where secrets are, and for those of other settings. One that may be entered and not listed tells of none.
pub(crate) fn file_hints(directory: &Path) -> Vec<String> {
    let ours = secret_names();
    let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
    let others = with_flag();
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut hints: Vec<_> = files
        .filter_map(|file| {
            let name = file.file_name();
            let name = name.to_str()?;
            let does_nothing = format!("{name} in BACKUP_DAEMON_SECRETS_DIR is no secret and does nothing");
            if !ours.contains(&name) && others.iter().any(|other| other == name) {
                return Some(format!("{does_nothing}: set it in the environment"));
            }
            let meant = meant(name, &ours)?;
            Some(format!("{does_nothing}: is {meant} meant?"))
        })
        .collect();
    hints.sort();
    hints
}

/// The setting that is nearest to `name`, unless `name` is one itself. Nobody mistypes the first letter, and many foreign names differ
/// from ours there: `DB_BUCKET`.
pub(crate) fn meant<'a>(name: &str, ours: &[&'a str]) -> Option<&'a str> {
    if ours.contains(&name) {
        return None;
    }
    let typed = name.to_ascii_uppercase();
    let near = ours.iter().filter_map(|setting| {
        let is_alike = typed.len().abs_diff(setting.len()) <= 2 && typed.get(..1) == setting.get(..1);
        let distance = is_alike.then(|| strsim::damerau_levenshtein(&typed, setting))?;
        (distance <= most(setting)).then_some((distance, *setting))
    });
    near.min().map(|(_, setting)| setting)
}

/// How many letters of a setting may be wrong. Half of a short one would be another word.
fn most(setting: &str) -> usize {
    match setting.chars().filter(|letter| *letter != '_').count() {
        0..4 => 0,
        4..8 => 1,
        _ => 2,
    }
}

/// Whether Kubernetes has set it for a Service, whatever that is called: `ZOOKEEPERS_PORT=tcp://10.0.0.7:2181`.
fn is_service_link(value: &OsStr) -> bool {
    let link = |value: &str| {
        ["tcp://", "udp://", "sctp://"]
            .iter()
            .any(|begin| value.starts_with(begin))
    };
    value.to_str().is_some_and(link)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use clap::CommandFactory as _;

    use super::*;
    use crate::{Args, Settings};

    /// What is said where these are set, and all that a server with two buckets asks for is known.
    fn said(environment: &[(&str, &str)]) -> Vec<String> {
        let asked = RefCell::new(Vec::new());
        let args = Args {
            s3_enabled: Some("true".to_owned()),
            s3_bucket: Some("one".to_owned()),
            secondary_s3_bucket: Some("two".to_owned()),
            ..Args::default()
        };
        let settings = Settings::new(&args, |name| {
            asked.borrow_mut().push(name.to_owned());
            None
        });
        assert!(settings.is_ok());
        let asked = asked.into_inner();
        for name in &asked {
            assert!(crate::names::is_secret(name), "{name} is to be among SECRETS");
        }
        let environment = environment
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        hints(&asked, environment)
    }

    #[test]
    fn what_is_nearly_a_setting_is_named_with_its_right_spelling() {
        let cases = [
            ("ZOOKEPER_HOST", "ZOOKEEPER_HOST"),
            ("ZOOKEEPER_HOSTS", "ZOOKEEPER_HOST"),
            ("BACKUP_SHEDULE", "BACKUP_SCHEDULE"),
            ("S3_BUKET", "S3_BUCKET"),
            ("EVICTION_POLCY", "EVICTION_POLICY"),
            ("EVICITON_POLICY", "EVICTION_POLICY"),
            ("STROAGE", "STORAGE"),
            ("TLS_PROT", "TLS_PORT"),
            ("LOGLEVEL", "LOG_LEVEL"),
            ("zookeeper_host", "ZOOKEEPER_HOST"),
            ("ha", "HA"),
            // They have no flag.
            ("ZOOKEEPER_DIGEST_PASWORD", "ZOOKEEPER_DIGEST_PASSWORD"),
            ("SECONDARY_S3_KEY_SECRETS", "SECONDARY_S3_KEY_SECRET"),
            ("S3_KEYID", "S3_KEY_ID"),
        ];
        for (name, meant) in cases {
            let said = said(&[(name, "canary")]);
            assert_eq!(
                said,
                [format!(
                    "{name} is no setting and does nothing: is {meant} meant?"
                )]
            );
        }
    }

    #[test]
    fn a_file_that_is_nearly_a_secret_is_named() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "BACKUP_DAEMON_API_CREDENTIAL_USERNAME",
            "S3_KEY_SECRT",
            "AZURE_STORAGE_ACCOUNT_KYE",
            "ENCRYPTION_RECIPIENTS",
            // They are some, or no near ones, or what Kubernetes keeps there.
            "SECONDARY_S3_KEY_ID",
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            "zk-backup.unit",
            "..data",
            "tls.key",
        ] {
            std::fs::write(directory.path().join(name), "x").unwrap();
        }
        let said = |name: &str, meant: &str| {
            format!("{name} in BACKUP_DAEMON_SECRETS_DIR is no secret and does nothing: is {meant} meant?")
        };
        assert_eq!(
            file_hints(directory.path()),
            [
                said("AZURE_STORAGE_ACCOUNT_KYE", "AZURE_STORAGE_ACCOUNT_KEY"),
                said(
                    "BACKUP_DAEMON_API_CREDENTIAL_USERNAME",
                    "BACKUP_DAEMON_API_CREDENTIALS_USERNAME"
                ),
                "ENCRYPTION_RECIPIENTS in BACKUP_DAEMON_SECRETS_DIR is no secret and does nothing: set it in the environment"
                    .to_owned(),
                said("S3_KEY_SECRT", "S3_KEY_SECRET"),
            ]
        );
        assert_eq!(file_hints(&directory.path().join("none")), [""; 0]);
    }

    #[test]
    fn what_is_a_setting_or_anothers_is_not() {
        let args = Args::command();
        let settings = args
            .get_arguments()
            .filter_map(|argument| argument.get_env()?.to_str());
        let secrets = [
            "BACKUP_DAEMON_API_CREDENTIALS_USERNAME",
            "ZOOKEEPER_ADMIN_PASSWORD",
            "ZOOKEEPER_ADMIN_AUTHORIZATION",
            "S3_KEY_ID",
            "SECONDARY_S3_KEY_SECRET",
        ];
        let foreign = [
            "_",
            "A",
            "H",
            "HOME",
            "HOST",
            "HOSTNAME",
            "LANG",
            "LS_COLORS",
            "PATH",
            "PWD",
            "SHLVL",
            "SHELL",
            "TERM",
            "TZ",
            "USER",
            "AWS_REGION",
            "AWS_BUCKET",
            "DB_BUCKET",
            "DB_PREFIX",
            "DNS_PORT",
            "ES_PORT",
            "HTTP_PORT",
            "IP_ADDRESS",
            "SSL_PORT",
            "TCP_PORT",
            "JAVA_HOME",
            "RUST_LOG",
            "POD_NAME",
            "ZK_BACKUP_URL",
            "ZOOKEEPER_CLIENT_PORT",
            "ZOO_DATA_DIR",
            // Of Kubernetes, for Services.
            "KUBERNETES_PORT",
            "KUBERNETES_SERVICE_HOST",
            "KUBERNETES_SERVICE_PORT_HTTPS",
            "ZOOKEEPER_PORT_2181_TCP",
            "ZOOKEEPER_PORT_2181_TCP_ADDR",
            "ZOOKEEPER_PORT_2181_TCP_PORT",
            "ZOOKEEPER_SERVICE_HOST",
            "ZOOKEEPER_SERVICE_PORT",
        ];
        for name in settings.chain(secrets).chain(foreign) {
            assert_eq!(said(&[(name, "1")]), [""; 0], "{name}");
        }
        assert_eq!(said(&[("ZOOKEEPERS_PORT", "2181")]).len(), 1);
        assert_eq!(said(&[("ZOOKEEPERS_PORT", "tcp://10.0.0.7:2181")]), [""; 0]);
    }
}
