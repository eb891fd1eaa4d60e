//! What is evicted: any policy's verdicts, and the safeguards that no policy passes.

use std::fmt::Debug;

use time::{Duration, OffsetDateTime};

/// How long what was asked for by hand stays, whatever a policy says.
const BY_HAND: Duration = Duration::DAY;

/// What a policy knows of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its id.
    pub id: String,
    /// When it was taken.
    pub taken_at: OffsetDateTime,
    /// What it is worth.
    pub standing: Standing,
    /// Whether it was asked to stay (`allow_eviction` false).
    pub pinned: bool,
    /// Whether somebody asked for it, and no schedule did.
    pub by_hand: bool,
}

/// What a backup is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It can be restored.
    Good,
    /// It stands in for no good one: it ended without success, or was taken only as the way back from something.
    Failed,
    /// It is still being written.
    Unfinished,
    /// What it is cannot be told, for example because its format is newer.
    Unreadable,
}

/// What a policy says of one backup, with the reason in plain words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may stay.
    Keep(String),
    /// It should go.
    Evict(String),
}

/// A rule for what to keep.
///
/// [`plan`] asks it only about backups that may go at all: finished, readable, not pinned and not dated in the
/// future, oldest first. It returns one verdict each, in that order. Whatever it says, the newest good one stays.
pub trait EvictionPolicy: Send + Sync + Debug {
    /// Judges `backups`, which all were taken at or before `now`.
    fn judge(&self, backups: &[Backup], now: OffsetDateTime) -> Vec<Verdict>;

    /// What people know it by, the same for policies that judge alike: rules are told as they are written.
    fn describe(&self) -> String {
        format!("{self:?}")
    }
}

/// What is done with a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Action {
    /// It stays.
    Keep,
    /// It goes.
    Evict,
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Decision {
    /// The backup.
    pub id: String,
    /// What is done with it.
    pub action: Action,
    /// Why, in plain words.
    pub reason: String,
}

/// Decides about every backup, oldest first. Backups of the same time are ordered by id.
///
/// The safeguards hold for any policy: pinned, unfinished, unreadable and future-dated backups stay and stand in
/// for no other; the newest good one of the rest stays; what was asked for by hand stays for a day; and a policy
/// that returns the wrong number of verdicts evicts nothing.
#[must_use]
pub fn plan(policy: &dyn EvictionPolicy, backups: &[Backup], now: OffsetDateTime) -> Vec<Decision> {
    let mut sorted: Vec<_> = backups.to_vec();
    sorted.sort_by(|a, b| (a.taken_at, &a.id).cmp(&(b.taken_at, &b.id)));
    let eligible: Vec<_> = sorted
        .iter()
        .filter(|backup| safeguard(backup, now).is_none())
        .cloned()
        .collect();
    let floor = eligible
        .iter()
        .rposition(|backup| backup.standing == Standing::Good);
    let mut verdicts = policy.judge(&eligible, now);
    if verdicts.len() != eligible.len() {
        let reason = "the policy did not judge every backup, so none goes".to_owned();
        verdicts = vec![Verdict::Keep(reason); eligible.len()];
    }
    if let Some(verdict) = floor.and_then(|index| verdicts.get_mut(index))
        && matches!(verdict, Verdict::Evict(_))
    {
        *verdict = Verdict::Keep("the newest good backup always stays".to_owned());
    }
    for (backup, verdict) in eligible.iter().zip(&mut verdicts) {
        if matches!(verdict, Verdict::Evict(_)) && backup.by_hand && now - backup.taken_at < BY_HAND {
            *verdict = Verdict::Keep("it was asked for by hand less than a day ago".to_owned());
        }
    }
    let mut judged = verdicts.into_iter();
    let decide = |backup: Backup| {
        let verdict = match safeguard(&backup, now) {
            Some(reason) => Verdict::Keep(reason.to_owned()),
            None => judged.next().unwrap_or_else(|| Verdict::Keep(String::new())),
        };
        let (action, reason) = match verdict {
            Verdict::Keep(reason) => (Action::Keep, reason),
            Verdict::Evict(reason) => (Action::Evict, reason),
        };
        Decision {
            id: backup.id,
            action,
            reason,
        }
    };
    sorted.into_iter().map(decide).collect()
}

fn safeguard(backup: &Backup, now: OffsetDateTime) -> Option<&'static str> {
    match backup.standing {
        _ if backup.pinned => Some("it is pinned"),
        Standing::Unfinished => Some("it is still being written"),
        Standing::Unreadable => Some("what it holds cannot be told"),
        _ if backup.taken_at > now => Some("it is dated in the future"),
        Standing::Good | Standing::Failed => None,
    }
}
