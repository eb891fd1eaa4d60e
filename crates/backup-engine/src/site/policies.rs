//! Which policies count: those of the settings, or those that were set in their place while the engine ran.

use std::sync::{Arc, Mutex};

use eviction_policy::{Decision, EvictionPolicy, RulePolicy};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use vault_store::{FileName, StoreError, VaultStore};

use crate::lock::lock;

/// What was set. The store keeps it, so that every process that uses it goes by it.
pub(super) const POLICIES: FileName = FileName::from_static("policies");

/// The policies by which backups are evicted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policies {
    /// That of full backups.
    pub full: PolicyInfo,
    /// That of granular ones.
    pub granular: PolicyInfo,
}

/// A policy, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyInfo {
    /// The one that counts.
    pub policy: String,
    /// The one that the engine was built with.
    pub setting: String,
    /// When the one that counts was set in its place; `None` where the setting counts.
    pub set_at: Option<OffsetDateTime>,
}

/// What to evict by from now on. What is not named stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyChange {
    /// For full backups.
    pub full: Option<NewPolicy>,
    /// For granular ones.
    pub granular: Option<NewPolicy>,
}

/// What takes the place of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewPolicy {
    /// These rules, until the setting is another one than now.
    Rules(RulePolicy),
    /// What the engine was built with.
    Setting,
}

/// What the policies, as they were changed, say of the backups that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyOutcome {
    /// What the next pass does with each, full ones first, the oldest first.
    pub decisions: Vec<Decision>,
    /// How many good ones it evicts.
    pub good_evicted: usize,
}

/// As it is noted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Noted {
    full: Option<InPlace>,
    granular: Option<InPlace>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct InPlace {
    policy: String,
    /// The setting then. Once that is another one, somebody has decided anew.
    of: String,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
}

/// A policy that counts.
pub(super) type Policy = Arc<dyn EvictionPolicy>;

/// The policies of the settings, with what was set in their place.
pub(crate) struct PolicyBook {
    store: Arc<dyn VaultStore>,
    full: Policy,
    granular: Policy,
    changing: Mutex<()>,
}

impl PolicyBook {
    pub(crate) fn new(store: Arc<dyn VaultStore>, full: Policy, granular: Policy) -> Self {
        Self {
            store,
            full,
            granular,
            changing: Mutex::default(),
        }
    }

    /// Those that count, for full and for granular backups. Blocks.
    pub(super) fn counting(&self) -> Result<(Policy, Policy), StoreError> {
        self.after(&self.noted()?)
    }

    /// Forgets what was set in place of settings that are others now: somebody has decided anew, also where the earlier setting comes
    /// back. Blocks.
    pub(crate) fn forget_overruled(&self) -> Result<(), StoreError> {
        let _one_at_a_time = lock(&self.changing);
        let mut noted = self.noted()?;
        let mut overruled = false;
        for (set, setting) in [
            (&mut noted.full, &self.full),
            (&mut noted.granular, &self.granular),
        ] {
            if set.is_some() && in_place(set, setting).is_none() {
                *set = None;
                overruled = true;
            }
        }
        if overruled {
            let bytes = serde_json::to_vec_pretty(&noted).map_err(not_written)?;
            self.store.keep_note(&POLICIES, &bytes)?;
        }
        Ok(())
    }

    /// What there is to say of them. Blocks.
    pub(crate) fn current(&self) -> Result<Policies, StoreError> {
        let noted = self.noted()?;
        let (full, granular) = self.after(&noted)?;
        let info = |counting: &Policy, setting: &Policy, noted: &Option<InPlace>| PolicyInfo {
            policy: counting.describe(),
            setting: setting.describe(),
            set_at: in_place(noted, setting).map(|set| set.at),
        };
        Ok(Policies {
            full: info(&full, &self.full, &noted.full),
            granular: info(&granular, &self.granular, &noted.granular),
        })
    }

    /// Changes them once `plan` has told what the new ones say, unless `dry_run`. Blocks.
    pub(super) fn change<T, E: From<StoreError>>(
        &self,
        change: PolicyChange,
        dry_run: bool,
        now: OffsetDateTime,
        plan: impl FnOnce((Policy, Policy)) -> Result<T, E>,
    ) -> Result<T, E> {
        let _one_at_a_time = lock(&self.changing);
        let mut noted = match self.store.note(&POLICIES)? {
            None => Noted::default(),
            Some(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                log::warn!("the policies that were set cannot be read, and are set anew: {error}");
                Noted::default()
            }),
        };
        let set = |new: NewPolicy, setting: &Policy| match new {
            NewPolicy::Setting => None,
            NewPolicy::Rules(rules) => Some(InPlace {
                policy: rules.to_string(),
                of: setting.describe(),
                at: now,
            }),
        };
        if let Some(new) = change.full {
            noted.full = set(new, &self.full);
        }
        if let Some(new) = change.granular {
            noted.granular = set(new, &self.granular);
        }
        let outcome = plan(self.after(&noted)?)?;
        if !dry_run {
            let bytes = serde_json::to_vec_pretty(&noted).map_err(not_written)?;
            self.store.keep_note(&POLICIES, &bytes)?;
        }
        Ok(outcome)
    }

    fn noted(&self) -> Result<Noted, StoreError> {
        match self.store.note(&POLICIES)? {
            None => Ok(Noted::default()),
            Some(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| StoreError::unreadable_note(&POLICIES, error))
            }
        }
    }

    fn after(&self, noted: &Noted) -> Result<(Policy, Policy), StoreError> {
        let counting = |noted: &Option<InPlace>, setting: &Policy| -> Result<Policy, StoreError> {
            match in_place(noted, setting) {
                None => Ok(Arc::clone(setting)),
                Some(set) => {
                    let rules: RulePolicy = set
                        .policy
                        .parse()
                        .map_err(|error| StoreError::unreadable_note(&POLICIES, error))?;
                    Ok(Arc::new(rules) as Policy)
                }
            }
        };
        Ok((
            counting(&noted.full, &self.full)?,
            counting(&noted.granular, &self.granular)?,
        ))
    }
}

/// Of two notes of which nobody knows which is newer, what was set last. What one has not, it may have taken back: it counts as it is in the first.
pub(super) fn merged(first: &[u8], second: &[u8]) -> Option<Vec<u8>> {
    let second: Noted = serde_json::from_slice(second).ok()?;
    let Ok(mut noted) = serde_json::from_slice::<Noted>(first) else {
        return serde_json::to_vec_pretty(&second).ok();
    };
    for (set, copied) in [
        (&mut noted.full, second.full),
        (&mut noted.granular, second.granular),
    ] {
        if let (Some(set), Some(copied)) = (set, copied)
            && copied.at > set.at
        {
            *set = copied;
        }
    }
    serde_json::to_vec_pretty(&noted).ok()
}

/// Whether a note says what was set.
pub(super) fn are_sound(note: &[u8]) -> bool {
    serde_json::from_slice::<Noted>(note).is_ok()
}

/// What was set in place of `setting`, if that still is the setting.
fn in_place<'a>(noted: &'a Option<InPlace>, setting: &Policy) -> Option<&'a InPlace> {
    noted.as_ref().filter(|set| set.of == setting.describe())
}

fn not_written(error: serde_json::Error) -> StoreError {
    StoreError::io(POLICIES, error.into())
}
