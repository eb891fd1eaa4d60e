//! What is backed up, and how it is reached.

mod below;
mod connect_string;
#[cfg(feature = "batched-client")]
mod members;
mod memory;
mod probed;
mod states;
mod traits;
#[cfg(feature = "batched-client")]
mod zookeeper;

pub(crate) use self::below::Below;
pub use self::connect_string::{ConnectString, ConnectStringError};
pub use self::memory::MemoryEnsemble;
pub(crate) use self::probed::Probed;
#[cfg(feature = "admin-source")]
pub use self::states::{AdminSource, AdminSourceError, AgentSource};
pub use self::states::{FilesSource, StateError, StateSource};
pub use self::traits::{Client, Ensemble, MembersUnknown};
#[cfg(feature = "batched-client")]
pub use self::zookeeper::{Driver, ZooKeeperEnsemble};
