//! Where backups live. A vault is a set of files under an id, with a manifest that says what they must be; it
//! exists once it is committed, whole, and not before.
//!
//! ```
//! use std::io::Read;
//! use vault_store::{FileName, Manifest, MemoryStore, Mode, Outcome, Reader, VaultId, VaultStore, verify};
//!
//! let store = MemoryStore::new();
//! let id: VaultId = "20261123T140000".parse()?;
//! let archive: FileName = "archive".parse()?;
//! let mut stage = store.stage(&id)?;
//! let manifest = Manifest {
//!     files: vec![stage.put(&archive, b"znodes")?],
//!     ..Manifest::new(&id, Mode::Hierarchical, id.time(), Outcome::Complete)
//! };
//! stage.commit(&manifest)?;
//!
//! assert_eq!(store.ids()?, [id.clone()]);
//! assert!(verify(&store, &id, id.time())?.is_sound());
//! let mut text = String::new();
//! Reader::new(store.open(&id, &archive)?).read_to_string(&mut text)?;
//! assert_eq!(text, "znodes");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features, none of them on by default: `object-store` (vaults in whatever the crate of that name reaches), `s3` and `cloud` (the same with buckets of S3,
//! and with those of Azure and Google, by HTTPS; `http` is what both need), `encryption` (a store around any other, whose vaults only the holders of a key
//! can read), `schema` (schemas of what is serialised, for an OpenAPI document), and `conformance`, the suite that every store must pass. Without any,
//! vaults are in a directory or in memory.

#[cfg(feature = "conformance")]
pub mod conformance;
mod contents;
mod error;
#[cfg(feature = "conformance")]
mod faults;
#[cfg(feature = "conformance")]
mod faulty;
#[cfg(all(feature = "conformance", feature = "object-store"))]
mod faulty_objects;
mod fs;
mod id;
mod late;
mod manifest;
mod memory;
mod mirrored;
mod name;
mod named;
#[cfg(feature = "object-store")]
mod object;
mod of_predecessor;
mod predecessor;
mod private;
mod reader;
#[cfg(feature = "encryption")]
mod sealed;
mod staged;
mod store;
mod verification;
mod verify;
mod zip_list;

pub use contents::{
    AclsFrom, AsOf, Captured, Consistency, Contents, Digests, Dropped, Hierarchical, Kinds, Mode, Moving,
    Skipped, TakenFrom, Transactional, Zxid,
};
pub use error::StoreError;
#[cfg(feature = "conformance")]
pub use faults::VaultFault;
#[cfg(feature = "conformance")]
pub use faulty::{FaultyVaults, VaultCall};
#[cfg(all(feature = "conformance", feature = "object-store"))]
pub use faulty_objects::{FaultyObjects, ObjectCall};
pub use fs::FsStore;
pub use id::{IdError, VaultId};
pub use late::LateStore;
pub use manifest::{FORMAT_VERSION, FileEntry, FrameEntry, Manifest, Outcome, SEALED_VERSION, Sealed};
pub use memory::MemoryStore;
pub use mirrored::{CopiedNote, CopyError, MirroredStore, Replacing, StoredCopy};
pub use name::{CHECKSUM, FileName, MANIFEST, NameError, VERIFIED};
pub use named::NamedVaults;
#[cfg(feature = "cloud")]
pub use object::CloudConfig;
#[cfg(feature = "object-store")]
pub use object::ObjectVaults;
#[cfg(feature = "s3")]
pub use object::{S3Config, S3Keys, S3Secret};
#[cfg(feature = "object-store")]
pub use object_store;
pub use of_predecessor::Predecessor;
pub use predecessor::{CONSOLE, PredecessorStore, ZNODES};
pub use private::Tightened;
pub use reader::Reader;
#[cfg(feature = "encryption")]
pub use sealed::{Identities, KeyError, Recipients, SealedStore};
pub use staged::Staged;
pub use store::{Stage, VaultFile, VaultRead, VaultStore};
pub use verification::{Damage, Tested, Verification};
pub use verify::{verify, verify_file, verify_while};
pub use zip_list::check_zip_list;
