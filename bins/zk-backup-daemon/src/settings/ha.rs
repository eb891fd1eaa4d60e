//! Several servers over one bucket.

use std::path::PathBuf;
use std::time::Duration;

use job_queue::LeaseTiming;

use super::authority_file;
use super::values::{SettingsError, bad, flag, given, is_origin, number, seconds};
use crate::Args;

/// What servers that share a bucket know each other by.
#[derive(Debug, Clone)]
pub struct Ha {
    /// The name of this one, if it is given.
    pub name: Option<String>,
    /// Where others reach it, if that is given.
    pub address: Option<String>,
    /// Certificates that the others' are signed by (PEM).
    pub ca: Option<PathBuf>,
    /// How long the lease lasts.
    pub timing: LeaseTiming,
}

/// What `HA` asks for. It needs a bucket.
pub(super) fn ha(args: &Args, has_bucket: bool) -> Result<Option<Ha>, SettingsError> {
    if !flag("HA", args.ha.as_ref(), false)? {
        return Ok(None);
    }
    if !has_bucket {
        let why = "HA=true: the servers share backups and jobs in a bucket, so that S3_ENABLED=true, STORAGE_URL or an alias `default` is needed";
        return Err(SettingsError(why.to_owned()));
    }
    if given(args.secondary_directory.as_ref()).is_some() {
        let why =
            "HA=true: a second copy is to be where every server finds it, and so in SECONDARY_S3_BUCKET";
        return Err(SettingsError(why.to_owned()));
    }
    let ca = authority_file(args);
    if let Some(file) = ca.as_ref().filter(|file| !file.is_file()) {
        return Err(SettingsError(format!(
            "HA_CA_FILE: there is no {}",
            file.display()
        )));
    }
    Ok(Some(Ha {
        name: given(args.ha_name.as_ref()),
        address: address(args)?,
        ca,
        timing: timing(args)?,
    }))
}

/// How long a request to ZooKeeper may take. Restores write only while the lease has so much time left.
pub(super) fn deadline(args: &Args, ha: Option<&Ha>) -> Result<Duration, SettingsError> {
    let (name, value) = ("ZOOKEEPER_TIMEOUT", args.zookeeper_timeout.as_ref());
    let deadline = seconds(name, value, 1)?;
    let Some(Ha { timing, .. }) = ha else {
        return Ok(deadline);
    };
    match given(value) {
        None => Ok(timing.renew_every),
        Some(value) if deadline > timing.ttl / 2 => {
            let most = timing.ttl.as_secs() / 2;
            Err(bad(
                name,
                &value,
                &format!("with HA=true, a number of seconds up to {most}"),
            ))
        }
        Some(_) => Ok(deadline),
    }
}

fn address(args: &Args) -> Result<Option<String>, SettingsError> {
    let Some(url) = given(args.ha_address.as_ref()) else {
        return Ok(None);
    };
    match is_origin(&url) {
        true => Ok(Some(url.trim_end_matches('/').to_owned())),
        false => Err(SettingsError(
            "HA_ADDRESS: http:// or https:// with a host, and a port if need be, is expected".to_owned(),
        )),
    }
}

fn timing(args: &Args) -> Result<LeaseTiming, SettingsError> {
    let mut timing = LeaseTiming::default();
    let usual = timing.ttl.as_secs();
    let value = args.ha_lease_seconds.as_ref();
    let ttl: u64 = number("HA_LEASE_SECONDS", value, usual, "seconds from 2 to 300", |ttl| {
        (2..=300).contains(ttl)
    })?;
    if ttl != usual {
        let ttl = Duration::from_secs(ttl);
        (timing.ttl, timing.renew_every, timing.margin, timing.poll) = (ttl, ttl / 3, ttl / 6, ttl / 15);
    }
    Ok(timing)
}
