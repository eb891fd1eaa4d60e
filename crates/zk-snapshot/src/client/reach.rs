//! Why nobody answers at an address.

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

/// Which of `servers`, with commas between, takes a connection: looked for from the one with number `first` on.
pub(super) async fn reachable(servers: &str, first: usize, deadline: Instant) -> Result<usize, String> {
    let names: Vec<_> = servers.split(',').map(str::trim).collect();
    let mut cause = "it has no address".to_owned();
    for turn in 0..names.len() {
        let number = (first + turn) % names.len();
        let name = names[number];
        let found = match timeout_at(deadline, tokio::net::lookup_host(name)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                cause = format!("{name} cannot be resolved: {error}");
                continue;
            }
            Err(_) => {
                cause = format!("{name} was not resolved in time");
                continue;
            }
        };
        for address in found {
            match timeout_at(deadline, TcpStream::connect(address)).await {
                Ok(Ok(_)) => return Ok(number),
                Ok(Err(error)) => cause = format!("cannot connect to {address}: {error}"),
                Err(_) => cause = format!("cannot connect to {address} in time"),
            }
        }
    }
    Err(cause)
}
