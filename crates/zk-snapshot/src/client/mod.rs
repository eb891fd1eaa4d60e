//! Adapters from ZooKeeper clients to the traits of this crate.

#[cfg(feature = "plain-client")]
mod plain;

#[cfg(feature = "plain-client")]
pub use plain::{PlainClient, PlainConfig};
