//! Changing keys, and keys that do not fit.

use std::sync::Arc;

use vault_store::{MemoryStore, SealedStore, VaultStore, verify};

use crate::support::{DATA, SECRET, id, other_keys, put, recipients};

#[test]
fn new_vaults_are_sealed_to_new_keys_and_old_ones_opened_by_old_ones() {
    let below = Arc::new(MemoryStore::new());
    let with = |public: &str, secret: &str| {
        let identities = Some(secret.parse().unwrap());
        SealedStore::new(below.clone(), public.parse().unwrap(), identities)
    };
    let ours = recipients().to_string();
    let (new_public, new_secret) = other_keys(1).remove(0);
    let old = put(&with(&ours, SECRET), &id(1), DATA);
    let plain = put(&*below, &id(2), DATA);
    let new = put(&with(&new_public, &new_secret), &id(3), DATA);

    let by_new = with(&new_public, &new_secret);
    let refused = by_new.manifest(&id(1)).unwrap().require_open().unwrap_err();
    assert!(refused.to_string().contains(&ours), "{refused}");
    // A wrong key is no damage.
    for second in [1, 2, 3] {
        assert!(verify(&by_new, &id(second), id(1).time()).unwrap().is_sound());
    }
    assert_eq!(by_new.manifest(&id(2)).unwrap(), plain);
    assert_eq!(by_new.manifest(&id(3)).unwrap(), new);

    let by_both = with(&new_public, &format!("{new_secret}\n{SECRET}"));
    for (second, manifest) in [(1, &old), (2, &plain), (3, &new)] {
        assert_eq!(by_both.manifest(&id(second)).unwrap(), *manifest);
        assert!(verify(&by_both, &id(second), id(1).time()).unwrap().is_sound());
    }
}

/// The header is longer than what is read of it at first.
#[test]
fn each_of_a_hundred_recipients_opens_a_vault() {
    let keys = other_keys(100);
    let to_all: Vec<_> = keys.iter().map(|(public, _)| public.as_str()).collect();
    let to_all = to_all.join(" ");
    let below = Arc::new(MemoryStore::new());
    let manifest = put(
        &SealedStore::new(below.clone(), to_all.parse().unwrap(), None),
        &id(1),
        DATA,
    );
    for (_, secret) in [&keys[0], &keys[50], &keys[99]] {
        let one = Some(secret.parse().unwrap());
        let store = SealedStore::new(below.clone(), recipients(), one);
        assert_eq!(store.manifest(&id(1)).unwrap(), manifest);
        assert!(verify(&store, &id(1), id(1).time()).unwrap().is_sound());
    }
    let one_more = format!("{to_all} {}", recipients());
    assert!(one_more.parse::<vault_store::Recipients>().is_err());
}
