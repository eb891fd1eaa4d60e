//! Where transactional backups come from.

use std::path::PathBuf;

use backup_engine::AdminSource;
use zk_snapshot::files::DataDirs;

use super::tls::certificates;
use super::values::{SettingsError, bad, given, number};
use crate::Args;

/// Agents are asked where that is said, and where nothing is.
pub(super) fn agent_port(args: &Args) -> Result<Option<u16>, SettingsError> {
    let port = number(
        "ZOOKEEPER_AGENT_PORT",
        args.zookeeper_agent_port.as_ref(),
        8081,
        "a port from 1 to 65535",
        |port| *port > 0,
    )?;
    let source = given(args.transactional_source.as_ref());
    Ok(matches!(source.as_deref(), None | Some("auto" | "agent")).then_some(port))
}

pub(super) fn admin(args: &Args, authorization: Option<&str>) -> Result<Option<AdminSource>, SettingsError> {
    let source = given(args.transactional_source.as_ref());
    match given(args.zookeeper_admin_url.as_ref()) {
        Some(url) if !url.starts_with("http://") && !url.starts_with("https://") => {
            let allowed = "a URL that begins with http:// or https://";
            Err(bad("ZOOKEEPER_ADMIN_URL", &url, allowed))
        }
        Some(url) if url.contains('@') => {
            let why = "ZOOKEEPER_ADMIN_URL: credentials in it would be shown in messages; they belong in \
                       ZOOKEEPER_ADMIN_AUTHORIZATION";
            Err(SettingsError(why.to_owned()))
        }
        Some(url) if matches!(source.as_deref(), None | Some("auto" | "admin")) => {
            let admin = AdminSource::new(&url, authorization)
                .map_err(|why| SettingsError(format!("ZOOKEEPER_ADMIN_AUTHORIZATION: {why}")))?;
            if url.starts_with("http://") {
                return Ok(Some(admin));
            }
            let tls = certificates(args, "ZOOKEEPER_ADMIN_URL")?;
            let admin = admin.with_tls(&tls);
            admin
                .map(Some)
                .map_err(|why| SettingsError(format!("ZOOKEEPER_ADMIN_URL: {why}")))
        }
        None if source.as_deref() == Some("admin") => {
            let why = "TRANSACTIONAL_SOURCE=admin needs ZOOKEEPER_ADMIN_URL";
            Err(SettingsError(why.to_owned()))
        }
        _ => Ok(None),
    }
}

pub(super) fn data_dirs(args: &Args) -> Result<Option<DataDirs>, SettingsError> {
    let data = given(args.zookeeper_data_dir.as_ref()).map(PathBuf::from);
    let log = given(args.zookeeper_data_log_dir.as_ref()).map(PathBuf::from);
    match given(args.transactional_source.as_ref()).as_deref() {
        None | Some("auto") => {}
        Some("agent" | "admin") => return Ok(None),
        Some("files") if data.is_some() => {}
        Some("files") => {
            let why = "TRANSACTIONAL_SOURCE=files needs ZOOKEEPER_DATA_DIR";
            return Err(SettingsError(why.to_owned()));
        }
        Some(other) => return Err(bad("TRANSACTIONAL_SOURCE", other, "auto, files, admin or agent")),
    }
    if data.is_none() && log.is_some() {
        let why = "ZOOKEEPER_DATA_LOG_DIR is given without ZOOKEEPER_DATA_DIR";
        return Err(SettingsError(why.to_owned()));
    }
    Ok(data.map(|data| DataDirs {
        log: log.unwrap_or_else(|| data.clone()),
        data,
    }))
}
