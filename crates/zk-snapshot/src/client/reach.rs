//! Why nobody answers at an address.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::tree::ClientError;

/// An address with a path would mean only what is below that: a client that passed over it would take everybody's znodes.
pub(super) fn no_path(address: &str) -> Result<(), ClientError> {
    match address.contains('/') {
        true => Err(ClientError::new(
            address,
            "servers are expected, without a chroot",
        )),
        false => Ok(()),
    }
}

/// Every address behind the names in `addresses`, with commas between, once one of them takes a connection.
pub(super) async fn reachable(addresses: &str, deadline: Instant) -> Result<String, String> {
    let mut found: Vec<SocketAddr> = Vec::new();
    let mut cause = "it has no address".to_owned();
    for name in addresses.split(',').map(str::trim) {
        match timeout_at(deadline, tokio::net::lookup_host(name)).await {
            Ok(Ok(resolved)) => found.extend(resolved),
            Ok(Err(error)) => cause = format!("{name} cannot be resolved: {error}"),
            Err(_) => cause = format!("{name} was not resolved in time"),
        }
    }
    for address in &found {
        match timeout_at(deadline, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
                return Ok(texts.join(","));
            }
            Ok(Err(error)) => cause = format!("cannot connect to {address}: {error}"),
            Err(_) => cause = format!("cannot connect to {address} in time"),
        }
    }
    Err(cause)
}
