//! The configuration file, and secrets that are files.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::args::Global;
use crate::exit::Failure;

/// The configuration file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    pub(super) url: String,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) ca: Option<PathBuf>,
}

pub(super) fn secret(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("the password's file {}: {error}", file.display())))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Refuses a file that cannot be read, though nothing in it may be needed: whoever names it believes that it counts.
pub(super) fn check(file: &Path) -> Result<(), Failure> {
    let read = std::fs::read(file);
    read.map(drop)
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
}

/// The profile that is named, or `default` where there is one.
pub(super) fn profile(
    global: &Global,
    given: &impl Fn(&str) -> Option<String>,
) -> Result<Option<Profile>, Failure> {
    let usual = || {
        let directory = given("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(Path::new(&given("HOME")?).join(".config")))?;
        Some(directory.join("zk-backup/config.toml"))
    };
    let is_asked_for = global.profile.is_some() || global.config.is_some();
    let Some(path) = global.config.clone().or_else(usual) else {
        return match is_asked_for {
            true => Err(Failure::usage(
                "there is no configuration file: name one by --config FILE",
            )),
            false => Ok(None),
        };
    };
    let wrong = |why: String| Failure::usage(format!("{}: {why}", path.display()));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_asked_for => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    // The library's own message shows the line, which may hold a password.
    let mut file: File = toml::from_str(&text).map_err(|error| {
        let before = text.get(..error.span().map_or(0, |span| span.start));
        let line = before.unwrap_or_default().lines().count().max(1);
        wrong(format!("line {line}: {}", error.message()))
    })?;
    let name = global.profile.as_deref().unwrap_or("default");
    let found = file.profiles.remove(name);
    if found.is_none() && global.profile.is_some() {
        let known: Vec<_> = file.profiles.into_keys().collect();
        return Err(wrong(format!(
            "there is no profile {name}; there are: {}",
            known.join(", ")
        )));
    }
    if found.as_ref().is_some_and(|profile| profile.password.is_some()) {
        let mode = std::fs::metadata(&path).map_err(|error| wrong(error.to_string()))?;
        if mode.permissions().mode() & 0o077 != 0 {
            let why = "it holds a password and others may read it: chmod 600, or use password_file";
            return Err(wrong(why.to_owned()));
        }
    }
    Ok(found)
}
