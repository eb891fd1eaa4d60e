//! Where the server is reached, and by whom.

use std::net::IpAddr;
use std::path::PathBuf;

use super::access::access;
use super::values::{PORTS, SettingsError, bad, flag, given, number, pair};
use crate::{Access, Args};

/// Where requests are taken, and who may ask for what.
pub(super) struct Listen {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    /// The directory of `tls.crt` and `tls.key`, if HTTPS is to be served.
    pub(super) tls: Option<PathBuf>,
    pub(super) access: Access,
}

pub(super) fn listen(
    args: &Args,
    secret: impl Fn(&str) -> Result<Option<String>, SettingsError>,
) -> Result<Listen, SettingsError> {
    let credentials = pair(
        &secret,
        "BACKUP_DAEMON_API_CREDENTIALS_USERNAME",
        "BACKUP_DAEMON_API_CREDENTIALS_PASSWORD",
    )?;
    let anonymous = flag(
        "BACKUP_DAEMON_ALLOW_ANONYMOUS",
        args.allow_anonymous.as_ref(),
        false,
    )?;
    let address = address(args.broadcast_address.as_ref(), credentials.is_some(), anonymous)?;
    let protect_reads = flag("BACKUP_DAEMON_PROTECT_READS", args.protect_reads.as_ref(), false)?;
    let access = access(secret, credentials, protect_reads)?;
    let tls = certificates(args)?;
    let plain_port = number("PORT", args.port.as_ref(), 8080, PORTS, |_| true)?;
    let tls_port = number("TLS_PORT", args.tls_port.as_ref(), 8443, PORTS, |_| true)?;
    Ok(Listen {
        address,
        port: if tls.is_some() { tls_port } else { plain_port },
        tls,
        access,
    })
}

/// Where the certificate is, if HTTPS is to be served.
pub(super) fn certificates(args: &Args) -> Result<Option<PathBuf>, SettingsError> {
    let asked = flag("TLS_ENABLED", args.tls_enabled.as_ref(), false)?;
    let directory = || given(args.certs_path.as_ref()).map_or_else(|| PathBuf::from("/tls/"), PathBuf::from);
    Ok(asked.then(directory))
}

fn address(value: Option<&String>, credentials: bool, anonymous: bool) -> Result<IpAddr, SettingsError> {
    let name = "BROADCAST_ADDRESS";
    let Some(value) = given(value) else {
        let open = if credentials || anonymous {
            "0.0.0.0"
        } else {
            "127.0.0.1"
        };
        return open.parse().map_err(|_| bad(name, open, "an IP address"));
    };
    let address: IpAddr = value
        .trim_matches(['[', ']'])
        .parse()
        .map_err(|_| bad(name, &value, "an IP address"))?;
    if credentials || anonymous || address.is_loopback() {
        return Ok(address);
    }
    Err(SettingsError(format!(
        "{name}={value}: without credentials only a loopback address is served. Set \
         BACKUP_DAEMON_API_CREDENTIALS_USERNAME and BACKUP_DAEMON_API_CREDENTIALS_PASSWORD, or \
         BACKUP_DAEMON_ALLOW_ANONYMOUS=true"
    )))
}
