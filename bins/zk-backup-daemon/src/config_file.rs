//! The file of settings that `--config` names.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::names::{is_secret, secret_names, with_flag};
use crate::{SettingsError, misspelt};

/// What a file says, by the names that the environment has for it.
#[derive(Default)]
pub(crate) struct ConfigFile {
    settings: BTreeMap<String, String>,
    secrets: BTreeMap<String, String>,
    /// Those that secrets were read from, by the names of these.
    pub(crate) secret_files: BTreeMap<String, PathBuf>,
}

impl ConfigFile {
    /// Reads the file at `path`, and those that it names for secrets.
    ///
    /// # Errors
    /// It cannot be read; it has a key that is no setting, or one twice; others may read a secret in it.
    pub(crate) fn read(path: &Path) -> Result<Self, SettingsError> {
        let wrong = |why: String| SettingsError::new(format!("{}: {why}", path.display()));
        let values = values(path).map_err(wrong)?;
        let others_read = fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0);
        Self::sorted(values, others_read).map_err(wrong)
    }

    /// The files that the file at `path` names for secrets, none of which is opened; neither is that, if it is a pipe.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn names(path: &Path) -> Result<Vec<PathBuf>, String> {
        if !fs::metadata(path).is_ok_and(|file| file.is_file()) {
            return Err("it is no file".to_owned());
        }
        let names = values(path)?.into_iter().filter_map(|(name, value)| {
            let secret = name.strip_suffix("_FILE")?;
            is_secret(secret).then(|| value.into())
        });
        Ok(names.collect())
    }

    fn sorted(values: BTreeMap<String, String>, others_read: bool) -> Result<Self, String> {
        let with_flag = with_flag();
        let mut file = Self::default();
        for (name, value) in values {
            let of_file = name.strip_suffix("_FILE").filter(|name| is_secret(name));
            if let Some(secret) = of_file {
                let text = fs::read_to_string(&value).map_err(|error| format!("{name}: {value}: {error}"))?;
                let text = text.trim_end_matches(['\r', '\n']).to_owned();
                if text.is_empty() {
                    return Err(format!("{name}: {value} is empty"));
                }
                file.secrets.insert(secret.to_owned(), text);
                file.secret_files.insert(secret.to_owned(), PathBuf::from(value));
            } else if is_secret(&name) {
                if others_read && !(name.ends_with("_USERNAME") || name.ends_with("_ID")) {
                    return Err(format!(
                        "{name}: others may read this file: chmod 600, or name a file for it as {name}_FILE"
                    ));
                }
                file.secrets.insert(name, value);
            } else if with_flag.contains(&name) {
                file.settings.insert(name, value);
            } else {
                let secrets = secret_names();
                let ours: Vec<&str> = with_flag.iter().chain(&secrets).map(String::as_str).collect();
                let hint = misspelt::meant(&name, &ours).map(|meant| format!(": is {meant} meant?"));
                return Err(format!("{name} is no setting{}", hint.unwrap_or_default()));
            }
        }
        Ok(file)
    }

    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    pub(crate) fn secret(&self, name: &str) -> Option<OsString> {
        self.secrets.get(name).map(OsString::from)
    }
}

/// What the file at `path` says, by the names that the environment has for it.
fn values(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    // The error's own text would show the line, in which there may be a secret.
    let table: Table = toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        format!("line {line}: {}", error.message())
    })?;
    let mut values = BTreeMap::new();
    flatten("", &table, &mut values)?;
    Ok(values)
}

/// Names of tables and keys are joined: `host` in `[zookeeper]` is `ZOOKEEPER_HOST`.
fn flatten(prefix: &str, table: &Table, into: &mut BTreeMap<String, String>) -> Result<(), String> {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.to_ascii_uppercase().replace('-', "_"));
        if let Value::Table(table) = value {
            flatten(&format!("{name}_"), table, into)?;
            continue;
        }
        let text = text(&name, value)?;
        if into.insert(name.clone(), text).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    Ok(())
}

/// Settings that take entries with commas between, and those that take a JSON array of words.
const LISTS: [&str; 4] = [
    "ZOOKEEPER_HOST",
    "EVICTION_POLICY",
    "GRANULAR_EVICTION_POLICY",
    "ENCRYPTION_RECIPIENTS",
];
const COMMANDS: [&str; 2] = ["HOOK_BEFORE", "HOOK_AFTER"];

/// A value as the environment has it.
fn text(name: &str, value: &Value) -> Result<String, String> {
    let expected = |what: &str| format!("{name}: {what} is expected");
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Boolean(truth) => Ok(truth.to_string()),
        Value::Array(values) if LISTS.contains(&name) || COMMANDS.contains(&name) => {
            let texts: Option<Vec<_>> = values.iter().map(Value::as_str).collect();
            let texts = texts.ok_or_else(|| expected("a list of texts"))?;
            match COMMANDS.contains(&name) {
                true => serde_json::to_string(&texts).map_err(|error| error.to_string()),
                false => Ok(texts.join(",")),
            }
        }
        Value::Array(_) => Err(expected("one text, and no list,")),
        Value::Float(_) | Value::Datetime(_) | Value::Table(_) => {
            Err(expected("a text, a number, true or false"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, mode: u32) -> Result<ConfigFile, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("zk-backup.toml");
        fs::write(directory.path().join("password"), "canary\n").unwrap();
        let text = text.replace("$DIR", directory.path().to_str().unwrap());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let read = ConfigFile::read(&path).map_err(|error| error.to_string());
        read.map_err(|why| why.trim_start_matches(path.to_str().unwrap()).to_owned())
    }

    #[test]
    fn names_are_those_of_the_environment_in_any_case_and_by_tables() {
        let file = read(
            "STORAGE = \"/data\"\nbackup-schedule = \"None\"\n[zookeeper]\nhost = [\"zk1\", \"zk2\"]\nport = 2182\n\
             enable_ssl = true\n[hook]\nbefore = [\"/bin/tell\", \"the team\"]\n[secondary.s3]\nbucket = \"two\"\n[backup_daemon.api_credentials]\nusername = \"ann\"\n\
             password_file = \"$DIR/password\"\n",
            0o644,
        )
        .unwrap();
        for (name, value) in [
            ("STORAGE", "/data"),
            ("BACKUP_SCHEDULE", "None"),
            ("ZOOKEEPER_HOST", "zk1,zk2"),
            ("ZOOKEEPER_PORT", "2182"),
            ("HOOK_BEFORE", r#"["/bin/tell","the team"]"#),
            ("ZOOKEEPER_ENABLE_SSL", "true"),
            ("SECONDARY_S3_BUCKET", "two"),
        ] {
            assert_eq!(file.setting(name), Some(value), "{name}");
        }
        let secret = |name: &str| file.secret(&format!("BACKUP_DAEMON_API_CREDENTIALS_{name}"));
        assert_eq!(
            (secret("USERNAME"), secret("PASSWORD")),
            (Some("ann".into()), Some("canary".into()))
        );
    }

    #[test]
    fn what_is_no_setting_or_no_secret_any_more_is_refused() {
        for (text, why) in [
            (
                "zookeper_host = \"zk1\"",
                ": ZOOKEPER_HOST is no setting: is ZOOKEEPER_HOST meant?",
            ),
            (
                "azure_storage_account_kye = \"canary\"",
                ": AZURE_STORAGE_ACCOUNT_KYE is no setting: is AZURE_STORAGE_ACCOUNT_KEY meant?",
            ),
            ("[storage]\npath = \"/data\"", ": STORAGE_PATH is no setting"),
            ("storage = \"/a\"\nSTORAGE = \"/b\"", ": STORAGE is given twice"),
            ("port = 1.5", ": PORT: a text, a number"),
            (
                "restore_restart_command = [\"systemctl\", \"restart\"]",
                ": RESTORE_RESTART_COMMAND: one text, and no list, is expected",
            ),
            ("hook_before = [1]", ": HOOK_BEFORE: a list of texts is expected"),
            ("s3_key_secret = canary", ": line 1: "),
            (
                "s3_key_secret = \"canary\"",
                ": S3_KEY_SECRET: others may read this file: chmod 600",
            ),
            (
                "webhook_url = \"https://hooks.example/canary\"",
                ": WEBHOOK_URL: others may read this file: chmod 600, or name a file for it as WEBHOOK_URL_FILE",
            ),
            ("s3_key_secret_file = \"$DIR/none\"", ": S3_KEY_SECRET_FILE: "),
        ] {
            let refused = read(text, 0o644).err().unwrap();
            assert!(
                refused.starts_with(why) && !refused.contains("canary"),
                "{refused}"
            );
        }
        let file = read("webhook_url_file = \"$DIR/password\"", 0o644).unwrap();
        assert_eq!(file.secret("WEBHOOK_URL"), Some("canary".into()));
        let file = read("s3_key_secret = \"canary\"", 0o600).unwrap();
        assert_eq!(file.secret("S3_KEY_SECRET"), Some("canary".into()));
    }
}
