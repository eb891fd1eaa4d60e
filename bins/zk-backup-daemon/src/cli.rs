//! What can be typed: the settings, where a file of them is, and a check of it all.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config_file::ConfigFile;
use crate::names::is_secret;
use crate::{Args, Settings, SettingsError, misspelt};

/// Back up ZooKeeper: the server.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "zk-backup-daemon", version)]
pub struct Cli {
    /// Every setting.
    #[command(flatten)]
    pub args: Args,
    /// A file of settings (TOML), by the names of the environment in any case, or in tables: `host` in `[zookeeper]`. Flags and the
    /// environment win
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// To serve, nothing.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What else can be done than to serve.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Try ZooKeeper, certificates, storage and the port as the settings name them, change nothing, and say what will not work
    Check {
        /// Write JSON lines
        #[arg(long)]
        json: bool,
    },
}

impl From<Args> for Cli {
    /// A server with these settings.
    fn from(args: Args) -> Self {
        Self {
            args,
            ..Self::default()
        }
    }
}

impl Cli {
    /// Reads what was typed, beginning with the program's name, the environment, and the file. What is wrongly typed ends the process.
    ///
    /// # Errors
    /// [`SettingsError`] for the file.
    pub fn read(typed: impl IntoIterator<Item = OsString>) -> Result<Self, SettingsError> {
        let mut typed: Vec<_> = typed.into_iter().collect();
        let mut matches = Self::command().get_matches_from(&typed);
        let first = Self::of(&matches);
        if let Some(path) = &first.config {
            let file = match ConfigFile::read(path) {
                // That is for the check to say.
                Err(_) if first.command.is_some() => return Ok(first),
                read => read?,
            };
            let at = typed.len().min(1);
            typed.splice(at..at, from_file(&file, &matches));
            matches = Self::command().get_matches_from(typed);
        }
        Ok(Self::of(&matches))
    }

    /// The settings, and what is to be said of variables that are nearly some.
    ///
    /// # Errors
    /// [`SettingsError`] for the first that cannot be used, with the variables that are nearly some: they are why, perhaps.
    pub fn settings(&self) -> Result<(Settings, Vec<String>), SettingsError> {
        let file = self.config.as_deref().map(ConfigFile::read).transpose()?;
        let (file, secrets) = (file.unwrap_or_default(), RefCell::new(Vec::new()));
        let settings = Settings::new(&self.args, |name| {
            let given = |name| std::env::var_os(name).filter(|value| !value.is_empty());
            // Where a secret is, if it is that of a file.
            if let Some(secret) = name.strip_suffix("_FILE").filter(|name| is_secret(name)) {
                let path = file.secret_files.get(secret).map(OsString::from);
                return path.filter(|_| given(secret).is_none());
            }
            secrets.borrow_mut().push(name.to_owned());
            given(name).or_else(|| file.secret(name))
        });
        let mut hints = misspelt::hints(&secrets.into_inner(), std::env::vars_os());
        if let Some(directory) = self.args.secrets_dir.as_deref() {
            hints.extend(misspelt::file_hints(Path::new(directory.trim())));
        }
        match settings {
            Ok(settings) => Ok((settings, hints)),
            Err(error) if hints.is_empty() => Err(error),
            Err(error) => Err(SettingsError::new(format!("{error}; {}", hints.join("; ")))),
        }
    }

    /// The settings of a file alone, whatever the environment has, after `change`.
    ///
    /// # Errors
    /// [`SettingsError`] for the file, and the first that cannot be used.
    pub fn settings_of_file(
        path: &Path,
        change: impl FnOnce(Args) -> Args,
    ) -> Result<Settings, SettingsError> {
        let file = ConfigFile::read(path)?;
        let command = Args::command().mut_args(|argument| argument.env(Resettable::Reset));
        let name = OsString::from(command.get_name().to_owned());
        let nothing = command.clone().get_matches_from([&name]);
        let matches = command.get_matches_from([vec![name], from_file(&file, &nothing)].concat());
        let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        Settings::new(&change(args), |name| match name.strip_suffix("_FILE") {
            Some(secret) if is_secret(secret) => file.secret_files.get(secret).map(OsString::from),
            _ => file.secret(name),
        })
    }

    fn of(matches: &ArgMatches) -> Self {
        Self::from_arg_matches(matches).unwrap_or_else(|error| error.exit())
    }
}

/// What a file sets that neither a flag nor the environment does, as flags. Empty is not given.
fn from_file(file: &ConfigFile, matches: &ArgMatches) -> Vec<OsString> {
    let command = Args::command();
    let flag = |argument: &clap::Arg| {
        let value = file.setting(argument.get_env()?.to_str()?)?;
        let id = argument.get_id().as_str();
        let is_given = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => true,
            Some(_) => matches
                .get_one::<String>(id)
                .is_some_and(|text| !text.trim().is_empty()),
            None => false,
        };
        let flag = format!("--{}={value}", argument.get_long()?);
        (!is_given).then(|| flag.into())
    };
    command.get_arguments().filter_map(flag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins_over_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("zk-backup.toml");
        std::fs::write(&path, "storage = \"/data\"\nlog_format = \"json\"\n").unwrap();
        let path = path.to_str().unwrap();
        let typed = [
            "zk-backup-daemon",
            "--storage",
            "/other",
            "check",
            "--config",
            path,
            "--json",
        ];
        let cli = Cli::read(typed.map(OsString::from)).unwrap();
        assert_eq!(cli.args.storage.as_deref(), Some("/other"));
        assert_eq!(cli.args.log_format.as_deref(), Some("json"));
        assert!(matches!(cli.command, Some(Command::Check { json: true })));
    }

    #[test]
    fn a_file_alone_heeds_no_environment() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("zk-backup.toml");
        std::fs::write(&path, "zookeeper_host = \"zk1\"\nstorage = \"/data\"\n").unwrap();
        let change = |args: Args| {
            assert_eq!(args.zookeeper_host.as_deref(), Some("zk1"));
            // What every test of this process has in its environment.
            let of_environment = Args { ..Args::default() };
            assert_eq!(args.zookeeper_port, of_environment.zookeeper_port);
            Args {
                storage: Some("/other".to_owned()),
                ..args
            }
        };
        let settings = Cli::settings_of_file(&path, change).unwrap();
        assert_eq!(settings.storage, Path::new("/other"));
    }
}
