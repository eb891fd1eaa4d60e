//! The four-letter words of a server.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::BatchedConfig;
use super::certificates::client_config;

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
    let connector = TlsConnector::from(Arc::new(client_config(tls).map_err(io::Error::other)?));
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
