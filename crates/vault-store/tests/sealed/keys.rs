//! Changing keys, and keys that do not fit.

use std::sync::Arc;

use vault_store::{Damage, MemoryStore, SealedStore, Tested, VaultStore, Verification, verify};

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

/// Of a vault in which two things are wrong in the same place, and a restore differs.
fn found() -> Verification {
    let damage = |what: &str| Damage {
        file: "archive.zst".to_owned(),
        frame: Some(0),
        what: what.to_owned(),
    };
    Verification {
        at: id(1).time(),
        damage: vec![damage("it is no record"), damage("it has no end")],
        tested: Some(Tested {
            at: id(1).time(),
            took_ms: 7,
            place: "memory".to_owned(),
            job: "a job".to_owned(),
            by: "schedule".to_owned(),
            znodes: 3,
            sha256: "a hash".to_owned(),
            difference: Some("/a differs".to_owned()),
        }),
    }
}

#[test]
fn words_are_read_by_who_can_open_the_vault_and_lost_by_nobody_else() {
    let below = Arc::new(MemoryStore::new());
    let with = |public: &str, secret: Option<&str>| {
        let identities = secret.map(|secret| secret.parse().unwrap());
        SealedStore::new(below.clone(), public.parse().unwrap(), identities)
    };
    let keys = other_keys(2);
    let [(new_public, new_secret), (other_public, other_secret)] = &keys[..] else {
        panic!("two")
    };
    put(&with(&recipients().to_string(), None), &id(1), DATA);
    // The new key is kept elsewhere, and the old one is here.
    let old = with(new_public, Some(SECRET));
    old.record_verification(&id(1), &found()).unwrap();
    assert_eq!(old.verification(&id(1)).unwrap(), Some(found()));
    // Who cannot open the vault checks again, though he may be one to whom the words are sealed, and somebody else after that.
    let mut expected = found();
    for other in [
        with(new_public, Some(new_secret.as_str())),
        with(other_public, Some(other_secret.as_str())),
        with(new_public, None),
    ] {
        let mut shown = other.verification(&id(1)).unwrap().unwrap();
        assert!(shown.damage.iter().all(Damage::is_sealed), "{shown:?}");
        assert_eq!(shown.tested.as_ref().unwrap().sha256, "sealed");
        expected.at += time::Duration::DAY;
        shown.at = expected.at;
        other.record_verification(&id(1), &shown).unwrap();
        assert_eq!(old.verification(&id(1)).unwrap().as_ref(), Some(&expected));
    }
    // What he finds himself is about the sealed bytes, and anybody may read it.
    let own = Verification {
        tested: None,
        ..found()
    };
    with(new_public, Some(new_secret.as_str()))
        .record_verification(&id(1), &own)
        .unwrap();
    let keyless = with(new_public, None);
    assert_eq!(keyless.verification(&id(1)).unwrap(), Some(own));
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
