//! The way to a server by its name.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use crate::tree::{ClientError, ClientErrorKind};

/// The port of a server that is named without one.
const PORT: &str = ":2181";
/// Longest time to resolve a name, or to connect to one of its addresses.
const CONNECTING: Duration = Duration::from_secs(5);
/// For so long an address that took a connection is asked again before its name is.
const FRESH: Duration = Duration::from_secs(5);

/// An address with a path would mean only what is below that: a client that passed over it would take everybody's znodes.
pub(super) fn no_path(address: &str) -> Result<(), ClientError> {
    match address.contains('/') {
        true => Err(
            ClientError::new(address, "servers are expected, without a chroot")
                .of_kind(ClientErrorKind::Settings),
        ),
        false => Ok(()),
    }
}

/// A server by its name, which may have several addresses.
pub(super) struct Server {
    name: String,
    known: Mutex<Known>,
}

/// Of the addresses of a server.
#[derive(Default)]
struct Known {
    /// The one that took the latest connection, and when.
    good: Option<(SocketAddr, Instant)>,
    /// The one that was of no use last.
    bad: Option<SocketAddr>,
}

impl Server {
    /// Each of `servers`: `host:port`, with commas between them.
    pub(super) fn all(servers: &str) -> Vec<Self> {
        let new = |name: &str| Self {
            name: with_port(name.trim()),
            known: Mutex::default(),
        };
        servers.split(',').map(new).collect()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// To the first address that takes a connection, looked for behind the one that was of no use last.
    ///
    /// # Errors
    /// Why there is none, in words for people.
    pub(super) async fn connect(&self, deadline: Instant) -> Result<(TcpStream, SocketAddr), String> {
        let name = &self.name;
        match timeout_at(soon(deadline), lookup_host(name)).await {
            Ok(Ok(found)) => self.first_of(found.collect(), deadline).await,
            Ok(Err(error)) => Err(format!("{name} cannot be resolved: {error}")),
            Err(_) => Err(format!("{name} was not resolved in time")),
        }
    }

    /// The same, but to the address that has just taken a connection, if it does so again: a name may take long to resolve.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub(super) async fn connect_again(&self, deadline: Instant) -> Result<(TcpStream, SocketAddr), String> {
        let good = self.known().good.filter(|(_, at)| at.elapsed() < FRESH);
        if let Some((address, _)) = good
            && let Ok(Ok(socket)) = timeout_at(soon(deadline), TcpStream::connect(address)).await
        {
            return Ok((socket, address));
        }
        self.connect(deadline).await
    }

    /// `address` takes connections, but is of no use: another comes first the next time.
    pub(super) fn pass_over(&self, address: SocketAddr) {
        let mut known = self.known();
        known.bad = Some(address);
        known.good = known.good.filter(|(good, _)| *good != address);
    }

    async fn first_of(
        &self,
        mut found: Vec<SocketAddr>,
        deadline: Instant,
    ) -> Result<(TcpStream, SocketAddr), String> {
        let bad = self.known().bad;
        if let Some(at) = found.iter().position(|address| Some(*address) == bad) {
            found.rotate_left(at + 1);
        }
        let mut cause = "it has no address".to_owned();
        for address in found {
            match timeout_at(soon(deadline), TcpStream::connect(address)).await {
                Ok(Ok(socket)) => {
                    self.known().good = Some((address, Instant::now()));
                    return Ok((socket, address));
                }
                Ok(Err(error)) => cause = format!("cannot connect to {address}: {error}"),
                Err(_) => cause = format!("cannot connect to {address} in time"),
            }
            self.pass_over(address);
        }
        Err(cause)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn soon(deadline: Instant) -> Instant {
    deadline.min(Instant::now() + CONNECTING)
}

fn with_port(server: &str) -> String {
    match server.rsplit_once(':') {
        Some((_, port)) if !port.contains(']') => server.to_owned(),
        _ => format!("{server}{PORT}"),
    }
}

/// Which of `servers` takes a connection: looked for from the one with number `first` on.
pub(super) async fn reachable(servers: &[Server], first: usize, deadline: Instant) -> Result<usize, String> {
    let mut cause = "it has no address".to_owned();
    for turn in 0..servers.len() {
        let number = (first + turn) % servers.len();
        match servers[number].connect(deadline).await {
            Ok(_) => return Ok(number),
            Err(why) => cause = why,
        }
    }
    Err(cause)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_address_that_is_of_no_use_comes_last() {
        let sockets = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
        let server = Server::all("of.several.addresses").remove(0);
        let deadline = Instant::now() + CONNECTING;
        let first = async || {
            server
                .first_of(addresses.to_vec(), deadline)
                .await
                .map(|(_, address)| address)
        };
        assert_eq!(first().await, Ok(addresses[0]));
        // Several connections tell of the same.
        server.pass_over(addresses[0]);
        server.pass_over(addresses[0]);
        assert_eq!(first().await, Ok(addresses[1]));
        let again = server.connect_again(deadline).await.unwrap().1;
        assert_eq!(again, addresses[1], "the name cannot be resolved");
        server.pass_over(addresses[1]);
        assert_eq!(first().await, Ok(addresses[2]));
        server.pass_over(addresses[2]);
        assert_eq!(first().await, Ok(addresses[0]));
    }
}
