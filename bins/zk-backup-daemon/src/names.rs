//! What settings are called, and which of them are secrets.

use clap::CommandFactory as _;
use vault_store::CloudConfig;

use crate::Args;

/// The names of the settings that have a flag.
pub(crate) fn with_flag() -> Vec<String> {
    let args = Args::command();
    let names = args
        .get_arguments()
        .filter_map(|argument| argument.get_env()?.to_str());
    names.map(str::to_owned).collect()
}

/// Settings that have no flag, as others could see it, and the one with a flag that may hold a secret.
pub(crate) const SECRETS: [&str; 15] = [
    "BACKUP_DAEMON_API_CREDENTIALS_USERNAME",
    "BACKUP_DAEMON_API_CREDENTIALS_PASSWORD",
    "BACKUP_DAEMON_API_READER_USERNAME",
    "BACKUP_DAEMON_API_READER_PASSWORD",
    "ZOOKEEPER_ADMIN_USERNAME",
    "ZOOKEEPER_ADMIN_PASSWORD",
    "ZOOKEEPER_ADMIN_AUTHORIZATION",
    "ZOOKEEPER_DIGEST_USERNAME",
    "ZOOKEEPER_DIGEST_PASSWORD",
    "S3_KEY_ID",
    "S3_KEY_SECRET",
    "SECONDARY_S3_KEY_ID",
    "SECONDARY_S3_KEY_SECRET",
    "WEBHOOK_SECRET",
    "WEBHOOK_URL",
];

/// They, and what says how the storage of a cloud is opened.
pub(crate) fn secret_names() -> Vec<String> {
    let clouds = CloudConfig::AZURE.iter().chain(&CloudConfig::GOOGLE);
    let clouds = clouds.map(|key| key.to_uppercase());
    SECRETS.map(str::to_owned).into_iter().chain(clouds).collect()
}

/// Whether it is one of them.
pub(crate) fn is_secret(name: &str) -> bool {
    SECRETS.contains(&name) || secret_names().iter().any(|known| known == name)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_chart_takes_the_secrets_that_there_are_and_no_others() {
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/deploy/helm/zk-backup");
        let schema = fs::read(chart.join("values.schema.json")).unwrap();
        let schema: serde_json::Value = serde_json::from_slice(&schema).unwrap();
        let names = &schema["properties"]["secretValues"]["propertyNames"]["enum"];
        assert_eq!(*names, serde_json::json!(secret_names()));
    }
}
