//! The behaviour suite over object stores.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use vault_store::ObjectVaults;
use vault_store::conformance::Subject;

fn subject(objects: impl ObjectStore) -> Subject {
    let objects: Arc<dyn ObjectStore> = Arc::new(objects);
    Subject::new(move || ObjectVaults::open(Arc::clone(&objects), "some/where").unwrap())
}

mod memory {
    vault_store::conformance_tests!(super::subject(super::InMemory::new()));
}

mod directory {
    use super::{Arc, LocalFileSystem, ObjectStore, ObjectVaults, Subject};

    fn subject() -> Subject {
        let directory = tempfile::tempdir().unwrap();
        Subject::new(move || {
            let objects: Arc<dyn ObjectStore> =
                Arc::new(LocalFileSystem::new_with_prefix(directory.path()).unwrap());
            ObjectVaults::open(objects, "").unwrap()
        })
    }

    vault_store::conformance_tests!(subject());
}
