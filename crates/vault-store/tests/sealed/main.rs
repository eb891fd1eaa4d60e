//! A store that seals, over both stores: the behaviour suite, what can be read below it, and what comes of tampering.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod canaries;
mod golden;
mod keys;
mod support;
mod tampering;

use std::sync::Arc;

use vault_store::conformance::Subject;
use vault_store::{FsStore, MemoryStore, SealedStore};

use crate::support::{identities, recipients};

mod memory {
    use super::{Arc, MemoryStore, SealedStore, Subject, identities, recipients};

    fn subject() -> Subject {
        let open = || SealedStore::new(Arc::new(MemoryStore::new()), recipients(), Some(identities()));
        Subject::new(open).not_durable()
    }

    vault_store::conformance_tests!(subject());
}

mod filesystem {
    use super::{Arc, FsStore, SealedStore, Subject, identities, recipients};

    fn subject() -> Subject {
        let directory = tempfile::tempdir().unwrap();
        Subject::new(move || {
            let below = FsStore::open(directory.path()).unwrap();
            SealedStore::new(Arc::new(below), recipients(), Some(identities()))
        })
    }

    vault_store::conformance_tests!(subject());
}
