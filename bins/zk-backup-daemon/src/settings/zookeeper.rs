//! The ensemble that is backed up, and how it is connected to.

use std::time::Duration;

use backup_engine::{ConnectString, Driver};
use zk_snapshot::client::BatchedConfig;

use super::ha::{Ha, deadline};
use super::tls::zookeeper_tls;
use super::values::{SettingsError, bad, given, number, pair};
use crate::Args;

/// Where it is, with the port of servers that say none.
pub(super) fn servers(args: &Args) -> Result<(ConnectString, u16), SettingsError> {
    let allowed = match given(args.zookeeper_port.as_ref()) {
        Some(port) if port.starts_with("tcp://") => {
            "this is from Kubernetes, which sets it for a Service named zookeeper (enableServiceLinks: false in the pod's spec \
             ends that); a port from 1 to 65535"
        }
        _ => "a port from 1 to 65535",
    };
    let port = args.zookeeper_port.as_ref();
    let port: u16 = number("ZOOKEEPER_PORT", port, 2181, allowed, |port| *port > 0)?;
    let hosts = given(args.zookeeper_host.as_ref()).unwrap_or_else(|| "127.0.0.1".to_owned());
    let parsed = ConnectString::parse(&hosts, port).map_err(|why| {
        SettingsError(format!(
            "ZOOKEEPER_HOST={hosts}: {why}; such as zk1,zk2:2182 or zk1:2181,zk2:2181/chroot is expected"
        ))
    })?;
    Ok((parsed, port))
}

/// No session is asked to be shorter, where the relay has a look, too: a server that waits for its disk is silent for a while.
const SHORT: Duration = Duration::from_secs(5);

/// How `servers` are connected to.
pub(super) fn config(
    args: &Args,
    servers: String,
    ha: Option<&Ha>,
    secret: impl Fn(&str) -> Result<Option<String>, SettingsError>,
) -> Result<BatchedConfig, SettingsError> {
    let deadline = deadline(args, ha)?;
    let tls = zookeeper_tls(args)?;
    // Without TLS a relay lets nothing of before out, however long sessions are, but for what it sends just when the process is stopped.
    let lands_within = ha.map(|ha| deadline.max(ha.timing.renew_every));
    let usual = BatchedConfig::new(servers);
    let session_timeout = match (lands_within, &tls) {
        (None, _) => usual.session_timeout,
        (Some(_), None) => usual.session_timeout.min(deadline.max(SHORT)),
        (Some(within), Some(_)) => within / 2,
    };
    let digest = pair(&secret, "ZOOKEEPER_DIGEST_USERNAME", "ZOOKEEPER_DIGEST_PASSWORD")?;
    Ok(BatchedConfig {
        deadline,
        lands_within: lands_within.filter(|_| tls.is_some()),
        session_timeout,
        digest_auth: digest.map(|(user, password)| format!("{user}:{password}")),
        sasl: pair(&secret, "ZOOKEEPER_ADMIN_USERNAME", "ZOOKEEPER_ADMIN_PASSWORD")?,
        tls,
        ..usual
    })
}

pub(super) fn driver(args: &Args, config: &BatchedConfig) -> Result<Driver, SettingsError> {
    let name = "ZOOKEEPER_DRIVER";
    match given(args.zookeeper_driver.as_ref()).as_deref() {
        None | Some("auto") => Ok(Driver::Auto),
        Some("batched") => Ok(Driver::Batched),
        Some("plain") if config.tls.is_some() || config.sasl.is_some() => Err(SettingsError(format!(
            "{name}=plain: it knows neither TLS nor SASL; leave ZOOKEEPER_ENABLE_SSL and ZOOKEEPER_ADMIN_USERNAME \
             empty, or take batched"
        ))),
        Some("plain") => Ok(Driver::Plain),
        Some(other) => Err(bad(name, other, "auto, batched or plain")),
    }
}
