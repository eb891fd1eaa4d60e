//! Adapters of ZooKeeper client libraries.

#[cfg(feature = "batched-client")]
mod batched;
#[cfg(feature = "batched-client")]
mod four_letter;
#[cfg(feature = "plain-client")]
mod plain;
#[cfg(any(feature = "batched-client", feature = "plain-client"))]
mod reach;
#[cfg(any(feature = "batched-client", feature = "plain-client"))]
mod relay;

#[cfg(feature = "batched-client")]
pub use batched::{BatchedClient, BatchedConfig, Tls};
#[cfg(feature = "batched-client")]
pub use four_letter::four_letter_word;
#[cfg(feature = "plain-client")]
pub use plain::{PlainClient, PlainConfig};
