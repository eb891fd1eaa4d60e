//! Where the state that ZooKeeper itself keeps comes from: the sources of transactional backups.

#[cfg(feature = "admin-source")]
mod admin;
#[cfg(feature = "admin-source")]
mod agent;
mod files;
mod lineage;
mod looks;
mod source;
#[cfg(feature = "admin-source")]
mod spool;

#[cfg(feature = "admin-source")]
pub use self::admin::{AdminSource, AdminSourceError};
#[cfg(feature = "admin-source")]
pub use self::agent::AgentSource;
pub use self::files::FilesSource;
pub use self::source::{StateError, StateSource};
