//! The certificate that the server shows.

use std::path::Path;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Reads `tls.crt` and `tls.key` from `directory`; the message of an error names the file.
pub(crate) fn server_config(directory: &Path) -> Result<ServerConfig, String> {
    let (certificate, key) = (directory.join("tls.crt"), directory.join("tls.key"));
    let in_file = |path: &Path, error: rustls::pki_types::pem::Error| format!("{}: {error}", path.display());
    let chain = CertificateDer::pem_file_iter(&certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| in_file(&certificate, error))?;
    let private = PrivateKeyDer::from_pem_file(&key).map_err(|error| in_file(&key, error))?;
    ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| format!("{}: {error}", certificate.display()))
}
