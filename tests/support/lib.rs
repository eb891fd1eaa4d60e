//! Real ZooKeeper servers for the end-to-end suites: found or fetched, started on free loopback ports in their
//! own temporary directory, and ended by their own process handle whatever the test's outcome.

mod distribution;
mod server;

pub use distribution::{Distribution, LocateError};
pub use server::{SUPER_DIGEST, SUPER_PASSWORD, StartError, ZooKeeper};
