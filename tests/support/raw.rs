//! Requests that no client library sends.

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// `setACL` as no client library sends it: any permission bits, any text. The znode must let anybody change its ACL.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub fn set_raw_acl(server: &str, path: &str, acl: &[(i32, &str, &str)]) -> io::Result<()> {
    let mut socket = TcpStream::connect(server)?;
    let mut connect = Vec::new();
    connect.extend(0_i32.to_be_bytes()); // version of the protocol
    connect.extend(0_i64.to_be_bytes()); // last zxid seen
    connect.extend(30_000_i32.to_be_bytes());
    connect.extend(0_i64.to_be_bytes()); // session
    text(&mut connect, &[0; 16]);
    exchange(&mut socket, &connect)?;
    let mut set = Vec::new();
    set.extend(1_i32.to_be_bytes()); // xid
    set.extend(7_i32.to_be_bytes()); // setACL
    text(&mut set, path.as_bytes());
    set.extend(i32::try_from(acl.len()).map_err(io::Error::other)?.to_be_bytes());
    for (perms, scheme, id) in acl {
        set.extend(perms.to_be_bytes());
        text(&mut set, scheme.as_bytes());
        text(&mut set, id.as_bytes());
    }
    set.extend((-1_i32).to_be_bytes()); // any version
    let answer = exchange(&mut socket, &set)?;
    match answer.get(12..16) {
        Some([0, 0, 0, 0]) => Ok(()),
        error => Err(io::Error::other(format!("refused: {error:?}"))),
    }
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(bytes);
}

fn exchange(socket: &mut TcpStream, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut framed = Vec::new();
    text(&mut framed, request);
    socket.write_all(&framed)?;
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let mut answer = vec![0; u32::from_be_bytes(length).min(1 << 20) as usize];
    socket.read_exact(&mut answer)?;
    Ok(answer)
}
