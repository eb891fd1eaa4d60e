//! The four-letter words of a server.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{BatchedConfig, Tls};

/// No answer is longer than this.
const ANSWER: u64 = 64 << 10;

/// The answer of the server at `address` (`host:port`) to a four-letter word such as `srvr`, over TLS where
/// `config` says so. Has no deadline of its own.
///
/// # Errors
/// When it cannot be reached, or certificates cannot be used.
pub async fn four_letter_word(config: &BatchedConfig, address: &str, word: &str) -> io::Result<String> {
    let socket = TcpStream::connect(address).await?;
    let Some(tls) = &config.tls else {
        return ask(socket, word).await;
    };
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::new(client_config(tls)?));
    ask(connector.connect(name, socket).await?, word).await
}

async fn ask(mut socket: impl AsyncRead + AsyncWrite + Unpin, word: &str) -> io::Result<String> {
    socket.write_all(word.as_bytes()).await?;
    socket.flush().await?;
    let mut answer = Vec::new();
    match socket.take(ANSWER).read_to_end(&mut answer).await {
        // Servers end these connections without the farewell that TLS asks for.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof || answer.is_empty() => Err(error),
        _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}

fn client_config(tls: &Tls) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(tls.ca.as_bytes()) {
        roots
            .add(certificate.map_err(io::Error::other)?)
            .map_err(io::Error::other)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let Some((certificate, key)) = &tls.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(io::Error::other)?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(io::Error::other)
}
