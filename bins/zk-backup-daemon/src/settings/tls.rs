//! Certificates for connections to ZooKeeper.

use std::path::PathBuf;

use zk_snapshot::client::{Tls, TlsError};

use super::values::{SettingsError, flag, given};
use crate::Args;

/// What `ZOOKEEPER_ENABLE_SSL` asks for.
pub(super) fn zookeeper_tls(args: &Args) -> Result<Option<Tls>, SettingsError> {
    match zookeeper_directory(args)? {
        Some(_) => certificates(args, "ZOOKEEPER_ENABLE_SSL").map(Some),
        None => Ok(None),
    }
}

/// Where they are, if that is asked for.
pub(super) fn zookeeper_directory(args: &Args) -> Result<Option<PathBuf>, SettingsError> {
    let asked = flag("ZOOKEEPER_ENABLE_SSL", args.zookeeper_enable_ssl.as_ref(), false)?;
    Ok(asked.then(|| directory(args)))
}

fn directory(args: &Args) -> PathBuf {
    given(args.zookeeper_tls_path.as_ref()).map_or_else(|| PathBuf::from("/tls/"), PathBuf::from)
}

/// What is in `ZOOKEEPER_TLS_PATH`, for `setting`, all of which can be used. The predecessor's directory holds a client certificate always; ours
/// may hold only the CA.
pub(super) fn certificates(args: &Args, setting: &str) -> Result<Tls, SettingsError> {
    let directory = directory(args);
    let read = |name: &str| {
        let path = directory.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SettingsError(format!("{setting}: {}: {error}", path.display()))),
        }
    };
    let lacks = |name: &str| {
        let path = directory.join(name);
        SettingsError(format!("{setting}: there is no {}", path.display()))
    };
    let identity = match (read("tls.crt")?, read("tls.key")?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err(lacks("tls.key")),
        (None, Some(_)) => return Err(lacks("tls.crt")),
    };
    let ca = read("ca.crt")?.ok_or_else(|| lacks("ca.crt"))?;
    let tls = Tls { ca, identity };
    tls.check().map_err(|error| {
        let (name, why) = match &error {
            TlsError::Ca(why) => ("ca.crt", why.clone()),
            TlsError::Certificate(why) => ("tls.crt", why.clone()),
            TlsError::Key(why) => ("tls.key", why.clone()),
            other => ("", other.to_string()),
        };
        SettingsError(format!("{setting}: {}: {why}", directory.join(name).display()))
    })?;
    Ok(tls)
}
