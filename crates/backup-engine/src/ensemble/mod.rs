//! What is backed up, and how it is reached.

mod below;
mod connect_string;
mod members;
mod memory;
mod probed;
mod states;
mod traits;
mod zookeeper;

pub(crate) use self::below::Below;
pub use self::connect_string::{ConnectString, ConnectStringError};
pub use self::memory::MemoryEnsemble;
pub(crate) use self::probed::Probed;
pub use self::states::{AdminSource, AdminSourceError, AgentSource, FilesSource, StateError, StateSource};
pub use self::traits::{Client, Ensemble, MembersUnknown};
pub use self::zookeeper::{Driver, ZooKeeperEnsemble};
