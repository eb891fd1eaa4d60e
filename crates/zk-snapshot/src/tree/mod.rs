//! Paths, znodes and the traits through which a tree is read and written.
//!
//! Whatever is a [`ZnodeReader`] can be captured, and whatever is a [`ZnodeWriter`] as well can be restored to: a server
//! through one of [`client`](crate::client)'s adapters, a [`MemoryTree`], or a client of your own, over which you run
//! `conformance::run` (feature `conformance`).
//!
//! ```
//! use zk_snapshot::tree::{Acl, History, Kind, MemoryTree, Reading, WriteOp, ZnodePath, ZnodeReader, ZnodeWriter};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let tree = MemoryTree::new();
//! let path: ZnodePath = "/config".parse()?;
//! let create = WriteOp::Create { path: path.clone(), data: b"a=1".to_vec(), acl: Acl::open(), kind: Kind::Persistent };
//! assert_eq!(tree.write_many(&[create]).await, [Ok(())]);
//!
//! let answers = tree.read_many(&[path, "/gone".parse()?], History::Any).await?;
//! assert!(matches!(&answers[0], Reading::Found(found) if found.data == b"a=1"));
//! assert_eq!(answers[1], Reading::Missing);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod access;
pub(crate) mod error;
pub(crate) mod keys;
pub(crate) mod kind;
mod memory;
mod path;
pub mod reserved;
pub(crate) mod table;
mod znode;

pub use access::{
    AclFound, Changes, Found, History, Reading, Served, TreeWatch, WriteOp, ZnodeReader, ZnodeWriter,
};
pub use error::{ClientError, ClientErrorKind, WriteError};
pub use kind::Kind;
pub use memory::MemoryTree;
pub use path::{PathError, ZnodePath};
pub use znode::{Acl, AclEntry, Stat};
