//! Ports for servers that are processes of their own.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::{fs, io};

/// From here on, and below what the system gives to whoever asks for any port. From 30,000 on Kubernetes has its own.
const PORTS: Range<u16> = 16_000..30_000;
/// Whoever listens here on a port has that of the same number at [`Ipv4Addr::LOCALHOST`].
const HELD_AT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A port of 127.0.0.1 that nobody else is given as long as this is kept, neither here nor by another process that asks
/// in this way. It is as free after its owner's server was stopped as it was before that began.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _held: TcpListener,
}

impl Port {
    /// Takes one on which nobody listens.
    ///
    /// # Errors
    /// When there is none.
    pub fn take() -> io::Result<Self> {
        let range = range();
        let count = u64::from(range.end - range.start);
        // Each begins somewhere else: so processes seldom meet.
        let first = RandomState::new().hash_one(()) % count;
        let mut failed = io::Error::other("no port is free");
        for step in 0..count {
            let number = u64::from(range.start) + (first + step) % count;
            match Self::try_take(u16::try_from(number).map_err(io::Error::other)?) {
                Ok(port) => return Ok(port),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn try_take(number: u16) -> io::Result<Self> {
        let held = TcpListener::bind((HELD_AT, number))?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, number))?; // and not held, as its owner is to have it
        Ok(Self { number, _held: held })
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// `127.0.0.1:<number>`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.number)
    }
}

/// A client's port, or that of a listener that asked for any, is none of these, where the system is set up as usual.
fn range() -> Range<u16> {
    let given = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let lowest = given.split_whitespace().next();
    let lowest = lowest.and_then(|lowest| lowest.parse::<u16>().ok());
    match lowest {
        Some(lowest) if PORTS.contains(&lowest) && lowest - PORTS.start > 1_000 => PORTS.start..lowest,
        _ => PORTS,
    }
}
