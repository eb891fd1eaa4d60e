//! Paths, znodes and the traits through which a tree is read and written.

mod access;
pub(crate) mod keys;
pub(crate) mod kind;
mod memory;
mod path;
pub(crate) mod table;
mod znode;

pub use access::{
    AclFound, Changes, ClientError, Found, History, Reading, TreeWatch, WriteError, WriteOp, ZnodeReader,
    ZnodeWriter,
};
pub use kind::Kind;
pub use memory::MemoryTree;
pub use path::{PathError, ZnodePath};
pub use znode::{Acl, AclEntry, Stat};
