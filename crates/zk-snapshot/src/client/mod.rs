//! Adapters of ZooKeeper client libraries.
//!
//! `BatchedClient` for ZooKeeper 3.6 or newer, `PlainClient` for any. Both are readers and writers of a
//! [`tree`](crate::tree), so that what is connected can be captured and restored to.
//!
//! ```
//! # #[cfg(feature = "batched-client")]
//! # {
//! use std::time::Duration;
//! use zk_snapshot::client::{BatchedClient, BatchedConfig};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let config = BatchedConfig { deadline: Duration::from_secs(1), ..BatchedConfig::new("127.0.0.1:1") };
//! let refused = BatchedClient::connect(config).await.err();
//! let why = refused.map(|error| error.to_string());
//! assert!(why.is_some_and(|why| why.starts_with("ZooKeeper at 127.0.0.1:1: ")), "nobody listens there");
//! # });
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "batched-client")]
mod batched;
#[cfg(feature = "batched-client")]
mod certificates;
#[cfg(feature = "batched-client")]
mod four_letter;
#[cfg(any(feature = "batched-client", feature = "plain-client"))]
mod own_runtime;
#[cfg(feature = "plain-client")]
mod plain;
#[cfg(any(feature = "batched-client", feature = "plain-client"))]
mod reach;
#[cfg(any(feature = "batched-client", feature = "plain-client"))]
mod relay;

#[cfg(feature = "batched-client")]
pub use batched::{BatchedClient, BatchedConfig, Tls};
#[cfg(feature = "batched-client")]
pub use certificates::TlsError;
#[cfg(feature = "batched-client")]
pub use four_letter::four_letter_word;
#[cfg(feature = "plain-client")]
pub use plain::{PlainClient, PlainConfig};
