//! Where the state that ZooKeeper itself keeps comes from: the sources of transactional backups.

mod admin;
mod agent;
mod files;
mod source;

pub use self::admin::{AdminSource, AdminSourceError};
pub use self::agent::AgentSource;
pub use self::files::FilesSource;
pub use self::source::{StateError, StateSource};
