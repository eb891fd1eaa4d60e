//! Certificates for TLS to ZooKeeper, as `rustls` takes them.

use std::fmt::Display;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};

use super::Tls;

/// Which part of [`Tls`] cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The authorities.
    #[error("the CA cannot be used: {0}")]
    Ca(String),
    /// Our own certificate, or one that follows it.
    #[error("the client certificate cannot be used: {0}")]
    Certificate(String),
    /// Its key.
    #[error("the key of the client certificate cannot be used: {0}")]
    Key(String),
}

impl Tls {
    /// Whether all of it can be used: every certificate can be read, and the key is that of ours. Whether a server takes it is another matter.
    ///
    /// # Errors
    /// [`TlsError`] for the first that cannot.
    pub fn check(&self) -> Result<(), TlsError> {
        client_config(self).map(drop)
    }
}

/// # Errors
/// As [`Tls::check`].
pub(super) fn client_config(tls: &Tls) -> Result<ClientConfig, TlsError> {
    let ca = |why: &dyn Display| TlsError::Ca(why.to_string());
    let mut roots = RootCertStore::empty();
    for (at, certificate) in certificates(&tls.ca)
        .map_err(|why| ca(&why))?
        .into_iter()
        .enumerate()
    {
        roots
            .add(certificate)
            .map_err(|error| ca(&format!("certificate {}: {error}", at + 1)))?;
    }
    let revoked: Vec<CertificateRevocationListDer<'static>> =
        all_of(&tls.ca).map_err(|error| ca(&format!("revoked certificates: {error}")))?;
    let provider = Arc::new(default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .with_crls(revoked)
        .build()
        .map_err(|error| ca(&error))?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| ca(&error))?
        .with_webpki_verifier(verifier);
    let Some((certificate, key)) = &tls.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate).map_err(TlsError::Certificate)?;
    for (at, certificate) in chain.iter().enumerate() {
        is_readable(certificate)
            .map_err(|error| TlsError::Certificate(format!("certificate {}: {error}", at + 1)))?;
    }
    let bad_key = |error: &dyn Display| TlsError::Key(error.to_string());
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| bad_key(&error))?;
    let key = provider.key_provider.load_private_key(key);
    let key = CertifiedKey::new(chain, key.map_err(|error| bad_key(&error))?);
    match key.keys_match() {
        // What the key does not tell is no fault.
        Ok(()) | Err(Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => return Err(bad_key(&"it is not that of the certificate")),
        Err(error) => return Err(TlsError::Certificate(error.to_string())),
    }
    let resolver = rustls::sign::SingleCertAndKey::from(key);
    Ok(builder.with_client_cert_resolver(Arc::new(resolver)))
}

/// Those in a text; at least one.
fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    match all_of::<CertificateDer<'static>>(text) {
        Ok(found) if found.is_empty() => Err("it holds no certificates".to_owned()),
        found => found.map_err(|error| error.to_string()),
    }
}

fn all_of<T: PemObject>(text: &str) -> Result<Vec<T>, pem::Error> {
    T::pem_slice_iter(text.as_bytes()).collect()
}

/// Whether others can read a certificate, of whatever version. What it says that we do not know is theirs to judge.
fn is_readable(certificate: &CertificateDer<'static>) -> Result<(), Error> {
    match RootCertStore::empty().add(certificate.clone()) {
        Err(Error::InvalidCertificate(CertificateError::UnhandledCriticalExtension)) => Ok(()),
        read => read,
    }
}
