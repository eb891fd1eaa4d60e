//! A small model of a ZooKeeper ensemble, for tests of whatever reads and writes through this crate's traits.
//!
//! An [`Ensemble`] keeps every state that its tree ever had, says who may do what as servers do, and lets a
//! [`Meddler`] act before any request: change the tree, lose the connection before or after the request was carried
//! out, let the connection's server fall behind, or end the client. There is no time and no chance in it: what happens
//! depends on the meddler and on a number that says in which order independent requests arrive.
//!
//! The conformance suite runs over it as it does over servers, so that the model is what they are.
//!
//! ```
//! use zk_snapshot::model::{Ensemble, Identity, Manner, Rules};
//! use zk_snapshot::tree::{Acl, History, Kind, Reading, WriteOp, ZnodePath, ZnodeReader};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let ensemble = Ensemble::new(Rules::default());
//! let path = ZnodePath::parse("/secret")?;
//! let acl = Identity::digest("bob", "hash").only();
//! let create = WriteOp::Create { path: path.clone(), data: b"1".to_vec(), acl, kind: Kind::Persistent };
//! ensemble.with_tree(|tree| tree.write(&create))?;
//!
//! let eve = ensemble.client(Identity::digest("eve", "hash"), Manner::default());
//! assert_eq!(eve.read_many(&[path], History::One).await?, [Reading::Denied]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod apply;
mod client;
mod ensemble;
mod identity;
mod rules;
mod tree;
mod watch;
mod wire;

pub use client::{Client, Manner};
pub use ensemble::Ensemble;
pub use identity::Identity;
pub use rules::{Fate, Meddler, Rules};
pub use tree::{Entry, Look, ModelTree, Znode};
