//! Passwords of which only an argon2 hash is known.

use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordVerifier as _, Version};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use crate::guesses::Attempt;

/// What a hash may ask for: KiB of memory, and how often it is gone through.
const MOST_MEMORY: u32 = 256 << 10;
const MOST_PASSES: u32 = 20;
/// Guesses take one core, and the memory of one, however many come.
static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

/// An algorithm and a version that are not known are refused here: later on they would only make every password a wrong one.
fn params(hash: &PasswordHash<'_>) -> argon2::password_hash::Result<Params> {
    Algorithm::try_from(hash.algorithm)?;
    hash.version.map_or(Ok(Version::default()), Version::try_from)?;
    Params::try_from(hash)
}

/// A hash that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HashError(String);

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
    pub(crate) fn parse(text: &str) -> Result<Self, HashError> {
        let wrong = |error: argon2::password_hash::Error| {
            HashError(format!("it begins as an argon2 hash, and is none: {error}"))
        };
        let hash = PasswordHash::new(text).map_err(wrong)?;
        let params = params(&hash).map_err(wrong)?;
        if hash.hash.is_none() {
            let why = "it begins as an argon2 hash, and is none: it ends too early";
            return Err(HashError(why.to_owned()));
        }
        if params.m_cost() > MOST_MEMORY || params.t_cost() > MOST_PASSES {
            return Err(HashError(format!(
                "the hash asks for m={},t={}: at most m={MOST_MEMORY},t={MOST_PASSES} are allowed",
                params.m_cost(),
                params.t_cost()
            )));
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
            self.remember(password);
        }
        is_right
    }

    /// That it is the right one.
    pub(crate) fn remember(&self, password: &str) {
        let known = self.known_by(password);
        *self.right.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }

    fn known_by(&self, password: &str) -> [u8; 32] {
        let hash = Sha256::new().chain_update(self.key).chain_update(password);
        hash.finalize().into()
    }

    /// Whether the password is the one that was found right before, which costs next to nothing.
    pub(crate) fn was_right(&self, password: &str) -> bool {
        let right = *self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.is_some_and(|right| right.ct_eq(&self.known_by(password)).into())
    }
}

/// Waits for the turn to have a password judged, which always comes: nobody closes the semaphore.
pub(crate) async fn turn() -> Option<SemaphorePermit<'static>> {
    ONE_AT_A_TIME.acquire().await.ok()
}

/// Whether it is the password of `hashed`. One at a time is judged, also where whoever asked does not wait for the answer: `turn`, and `attempt`,
/// end with the hash.
pub(crate) async fn is_right(
    turn: SemaphorePermit<'static>,
    hashed: &Arc<Hashed>,
    password: &str,
    attempt: &Arc<Attempt>,
) -> bool {
    let (hashed, password, attempt) = (Arc::clone(hashed), password.to_owned(), Arc::clone(attempt));
    let judged = tokio::task::spawn_blocking(move || {
        let _held = (turn, attempt);
        hashed.is_of(&password)
    });
    judged.await.unwrap_or_else(|error| {
        log::error!("a password could not be compared: {error}");
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guesses::Guesses;

    /// Nobody's, and slow enough to be left alone.
    const SLOW: &str =
        "$argon2id$v=19$m=65536,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    /// Of `password`, from the tests of the reference implementation.
    const HASH: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    fn attempt(guesses: &Arc<Guesses>) -> Arc<Attempt> {
        Arc::new(guesses.begin(None).unwrap())
    }

    async fn is_right(hashed: &Arc<Hashed>, password: &str, attempt: &Arc<Attempt>) -> bool {
        super::is_right(turn().await.unwrap(), hashed, password, attempt).await
    }

    #[tokio::test]
    async fn a_password_is_compared_and_then_remembered() {
        let (hashed, attempt) = (Arc::new(Hashed::parse(HASH).unwrap()), attempt(&Arc::default()));
        assert!(!is_right(&hashed, "other", &attempt).await && !hashed.was_right("other"));
        assert!(!hashed.was_right("password"));
        assert!(is_right(&hashed, "password", &attempt).await && hashed.was_right("password"));
        assert!(!is_right(&hashed, "", &attempt).await && hashed.was_right("password"));
    }

    #[tokio::test]
    async fn a_hash_has_its_turn_and_its_attempt_also_where_nobody_waits_for_it() {
        let guesses = Arc::new(Guesses::default());
        let hashed = Arc::new(Hashed::parse(SLOW).unwrap());
        let asked = attempt(&guesses);
        let held = Arc::downgrade(&asked);
        let asking = is_right(&hashed, "other", &asked);
        // It is polled until the hash has begun, and then dropped, as when a connection is reset.
        tokio::select! {
            biased;
            _ = asking => panic!("it takes longer"),
            () = async { while Arc::strong_count(&asked) < 2 { tokio::task::yield_now().await } } => {}
        }
        drop(asked);
        assert!(ONE_AT_A_TIME.try_acquire().is_err() && held.upgrade().is_some());
        // The next one waits for it.
        assert!(!is_right(&hashed, "another", &attempt(&guesses)).await && held.upgrade().is_none());
    }

    #[test]
    fn what_is_no_hash_or_too_costly_is_refused() {
        assert!(Hashed::is_meant(HASH) && !Hashed::is_meant("canary"));
        for (hash, why) in [
            ("$argon2id$", "is none"),
            ("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ", "is none"),
            (
                "$argon2x$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
                "is none",
            ),
            (
                "$argon2id$v=7$m=64,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
                "is none",
            ),
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
            assert!(refused.to_string().contains(why), "{refused}");
        }
    }
}
