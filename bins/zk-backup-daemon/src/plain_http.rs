//! The answer to a client that speaks plain HTTP where TLS is spoken.

use std::io;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::answer::ErrorBody;

/// Bytes of a head that are waited for before it is answered.
const HEAD: usize = 8 << 10;
/// Bytes of a body that are taken after that: a client that still sends may lose an answer when its connection is closed.
const BODY: u64 = 1 << 20;

/// Hands on a connection whose first byte may be that of TLS; one that begins like HTTP is answered, and an error.
///
/// `patience` is for the first byte, and once more for a request and for taking its answer.
pub(crate) async fn refuse(mut stream: TcpStream, patience: Duration) -> io::Result<TcpStream> {
    let mut first = [0];
    timeout(patience, stream.peek(&mut first)).await??;
    // TLS begins with 0x16. What is neither is refused by TLS, in its words.
    if !first[0].is_ascii_alphabetic() {
        return Ok(stream);
    }
    let peer = stream
        .peer_addr()
        .map_or_else(|_| "-".to_owned(), |peer| peer.ip().to_string());
    timeout(patience, answer(&mut stream)).await??;
    log::info!(
        "{peer} plain HTTP on the port for HTTPS {}",
        StatusCode::BAD_REQUEST.as_u16()
    );
    Err(io::Error::other("plain HTTP"))
}

async fn answer(stream: &mut TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    let mut reading = (&mut *stream).take(HEAD as u64);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && reading.read_buf(&mut head).await? > 0 {}
    let message = "TLS is spoken here: ask https:// in place of http://. Nothing of the request was done, and what it \
                   carried was not encrypted on its way";
    let body = serde_json::to_string(&ErrorBody::new("tls_needed", message))?;
    let shown = if head.starts_with(b"HEAD ") { "" } else { &body };
    let whole = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{shown}",
        body.len()
    );
    stream.write_all(whole.as_bytes()).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(BODY), &mut tokio::io::sink()).await?;
    Ok(())
}
