//! The certificate that the server shows.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, RootCertStore, ServerConfig};

/// The certificate that is shown to whoever connects from now on.
#[derive(Debug)]
pub(crate) struct Shown(RwLock<Arc<CertifiedKey>>);

impl Shown {
    pub(crate) fn replace(&self, certificate: Arc<CertifiedKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certificate;
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Reads `tls.crt` and `tls.key` from `directory`; the message of an error names the file.
pub(crate) fn certified(directory: &Path) -> Result<Arc<CertifiedKey>, String> {
    let (certificate, key) = (directory.join("tls.crt"), directory.join("tls.key"));
    let in_file = |path: &Path, error: rustls::pki_types::pem::Error| format!("{}: {error}", path.display());
    let chain = CertificateDer::pem_file_iter(&certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| in_file(&certificate, error))?;
    // The key is compared with the first alone, and clients refuse a chain of which they cannot read one.
    for (at, one) in chain.iter().enumerate() {
        is_readable(one)
            .map_err(|error| format!("{}: certificate {}: {error}", certificate.display(), at + 1))?;
    }
    let private = PrivateKeyDer::from_pem_file(&key).map_err(|error| in_file(&key, error))?;
    let certified = CertifiedKey::from_der(chain, private, &default_provider());
    certified
        .map(Arc::new)
        .map_err(|error| format!("{}: {error}", certificate.display()))
}

/// Of whatever version. What it says that we do not know is the clients' to judge.
fn is_readable(certificate: &CertificateDer<'static>) -> Result<(), Error> {
    match RootCertStore::empty().add(certificate.clone()) {
        Err(Error::InvalidCertificate(CertificateError::UnhandledCriticalExtension)) => Ok(()),
        read => read,
    }
}

/// What serves TLS with the certificate in `directory`, and by what that is replaced.
pub(crate) fn server_config(directory: &Path) -> Result<(ServerConfig, Arc<Shown>), String> {
    let shown = Arc::new(Shown(RwLock::new(certified(directory)?)));
    let config = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
    Ok((config, shown))
}
