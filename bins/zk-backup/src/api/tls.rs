//! Which certificates a server is trusted by.

use std::path::Path;
use std::sync::Arc;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use crate::exit::Failure;

/// Where systems keep the authorities that they trust.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Trusts the authorities in `ca`, or those of this system.
pub(super) fn config(ca: Option<&Path>) -> Result<TlsConfig, Failure> {
    let file = match ca {
        Some(file) => file,
        None => SYSTEM
            .into_iter()
            .map(Path::new)
            .find(|file| file.exists())
            .ok_or_else(|| {
                Failure::usage("no authorities are known here that the server could be trusted by: name them by --ca FILE")
            })?,
    };
    let wrong = |why: String| Failure::usage(format!("--ca {}: {why}", file.display()));
    let text = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let mut authorities: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| wrong(error.to_string()))? {
            authorities.push(certificate);
        }
    }
    if authorities.is_empty() {
        return Err(wrong("it holds no certificate in PEM".to_owned()));
    }
    let config = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&authorities));
    Ok(config.build())
}
