//! A store around two: the behaviour suite, and what becomes of copies when either store fails.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod copies;
mod evictions;
mod late;
mod places;
mod sealed;
mod support;
mod verifying;

mod uncopied {
    use std::sync::Arc;

    use vault_store::conformance::Subject;
    use vault_store::{MemoryStore, MirroredStore};

    fn subject() -> Subject {
        let open = || MirroredStore::new(Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()), []);
        Subject::new(open).not_durable()
    }

    vault_store::conformance_tests!(subject());
}

/// Each vault is copied as soon as it is committed, and each copy removed as soon as its vault is.
mod copied_at_once {
    use std::sync::Arc;

    use vault_store::conformance::Subject;
    use vault_store::{FsStore, MirroredStore};

    use crate::support::Eager;

    fn subject() -> Subject {
        let directory = tempfile::tempdir().unwrap();
        Subject::new(move || {
            let [first, second] = ["first", "second"].map(|name| directory.path().join(name));
            let [first, second] = [first, second].map(|path| Arc::new(FsStore::open(path).unwrap()));
            Eager::new(MirroredStore::new(first, second, []))
        })
        .held_by_stages()
    }

    vault_store::conformance_tests!(subject());
}
