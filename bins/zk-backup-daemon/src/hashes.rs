//! Passwords of which only an argon2 hash is known.

use std::sync::{Mutex, PoisonError};

use argon2::password_hash::PasswordHash;
use argon2::{Argon2, Params, PasswordVerifier as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// What a hash may ask for: KiB of memory, and how often it is gone through.
const MOST_MEMORY: u32 = 256 << 10;
const MOST_PASSES: u32 = 20;
/// Guesses take one core, and the memory of one, however many come.
static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

/// A hash as `argon2 -e` prints it (`$argon2id$v=19$…`).
pub(crate) struct Hashed {
    hash: String,
    /// Known to this process alone, so that what is remembered tells nothing without it.
    key: [u8; 16],
    /// The keyed hash of the password that was found right, which then costs next to nothing.
    right: Mutex<Option<[u8; 32]>>,
}

impl Hashed {
    /// Whether a setting means a hash and no password.
    pub(crate) fn is_meant(text: &str) -> bool {
        text.starts_with("$argon2")
    }

    /// # Errors
    /// What is wrong with it; one that would take very much memory or time is, too.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |error: argon2::password_hash::Error| {
            format!("it begins as an argon2 hash, and is none: {error}")
        };
        let hash = PasswordHash::new(text).map_err(wrong)?;
        let params = Params::try_from(&hash).map_err(wrong)?;
        if hash.hash.is_none() {
            return Err("it begins as an argon2 hash, and is none: it ends too early".to_owned());
        }
        if params.m_cost() > MOST_MEMORY || params.t_cost() > MOST_PASSES {
            return Err(format!(
                "the hash asks for m={},t={}: at most m={MOST_MEMORY},t={MOST_PASSES} are allowed",
                params.m_cost(),
                params.t_cost()
            ));
        }
        Ok(Self {
            hash: text.to_owned(),
            key: *Uuid::new_v4().as_bytes(),
            right: Mutex::default(),
        })
    }

    /// Blocks for as long as the hash is meant to take, but for a password that was right before.
    fn is_of(&self, password: &str) -> bool {
        let Ok(hash) = PasswordHash::new(&self.hash) else {
            return false; // it was parsed before
        };
        let is_right = Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok();
        if is_right {
            let known = self.known_by(password);
            *self.right.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        }
        is_right
    }

    fn known_by(&self, password: &str) -> [u8; 32] {
        let hash = Sha256::new().chain_update(self.key).chain_update(password);
        hash.finalize().into()
    }

    fn was_right(&self, password: &str) -> bool {
        let right = *self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.is_some_and(|right| right.ct_eq(&self.known_by(password)).into())
    }
}

/// Whether it is the password of `hashed`. Who has known it is not kept waiting by those who guess.
pub(crate) async fn is_right(hashed: &std::sync::Arc<Hashed>, password: &str) -> bool {
    if hashed.was_right(password) {
        return true;
    }
    let Ok(_turn) = ONE_AT_A_TIME.acquire().await else {
        return false; // it is never closed
    };
    let (hashed, password) = (std::sync::Arc::clone(hashed), password.to_owned());
    let judged = tokio::task::spawn_blocking(move || hashed.is_of(&password)).await;
    judged.unwrap_or_else(|error| {
        log::error!("a password could not be compared: {error}");
        false
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Of `password`, from the tests of the reference implementation.
    const HASH: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    #[tokio::test]
    async fn a_password_is_compared_and_then_remembered() {
        let hashed = Arc::new(Hashed::parse(HASH).unwrap());
        assert!(!is_right(&hashed, "other").await && !hashed.was_right("other"));
        assert!(!hashed.was_right("password"));
        assert!(is_right(&hashed, "password").await && hashed.was_right("password"));
        assert!(!is_right(&hashed, "").await && is_right(&hashed, "password").await);
    }

    #[test]
    fn what_is_no_hash_or_too_costly_is_refused() {
        assert!(Hashed::is_meant(HASH) && !Hashed::is_meant("canary"));
        for (hash, why) in [
            ("$argon2id$", "is none"),
            ("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ", "is none"),
            (
                "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
                "m=4194304",
            ),
            (
                "$argon2id$v=19$m=64,t=99,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
                "t=99",
            ),
        ] {
            let refused = Hashed::parse(hash).err().unwrap();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
