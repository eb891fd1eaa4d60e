//! What is known of vaults, so that thousands need not be read for every answer.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use vault_store::{StoreError, VaultId, VaultStore};

use super::stored::{Stored, look};
use crate::lock::lock;

/// So long each answer looks again at what is known. That is all of a few hundred vaults, each time; of more than
/// that, each answer looks at those that were not looked at for longest.
const LOOKING: Duration = Duration::from_millis(8);
/// So many of the newest are looked at each time.
const NEWEST: usize = 8;
/// So many vaults of a remote storage are looked at at a time.
pub(super) const AT_ONCE: usize = 16;

/// Manifests never change. What can change is told late at worst: a file that is damaged from outside, and another
/// process's verification. What is not sound is never taken as known.
#[derive(Default)]
pub(crate) struct Known(Mutex<State>);

#[derive(Default)]
struct State {
    vaults: HashMap<VaultId, Arc<Stored>>,
    /// The one that was not looked at for longest is the first.
    order: VecDeque<VaultId>,
}

impl Known {
    /// The vault is looked at with the next answer.
    pub(crate) fn forget(&self, id: &VaultId) {
        lock(&self.0).vaults.remove(id);
    }

    /// All vaults that there are, oldest first, without their lists of files.
    pub(crate) fn all(&self, store: &dyn VaultStore) -> Result<Vec<Arc<Stored>>, StoreError> {
        let ids = store.ids()?;
        let mut state = lock(&self.0);
        let there: HashSet<_> = ids.iter().collect();
        let newest = ids.get(ids.len().saturating_sub(NEWEST)..).unwrap_or_default();
        state
            .vaults
            .retain(|id, stored| there.contains(id) && stored.is_sound() && !newest.contains(id));
        let State { vaults, order } = &mut *state;
        order.retain(|id| vaults.contains_key(id));
        let begun = Instant::now();
        for _ in 0..state.order.len() {
            if begun.elapsed() > LOOKING {
                break;
            }
            if let Some(id) = state.order.pop_front() {
                state.look(store, id);
            }
        }
        for id in &ids {
            if !state.vaults.contains_key(id) {
                state.look(store, id.clone());
            }
        }
        let known = ids.iter().filter_map(|id| state.vaults.get(id));
        Ok(known.cloned().collect())
    }
}

impl State {
    fn look(&mut self, store: &dyn VaultStore, id: VaultId) {
        match look(store, &id) {
            None => {
                self.vaults.remove(&id);
            }
            Some(stored) => {
                self.vaults.insert(id.clone(), Arc::new(stored));
                self.order.push_back(id);
            }
        }
    }
}

/// Looks at everything anew, however long that takes; nobody waits for it. So many `at_a_time`.
pub(super) fn all_anew(store: &dyn VaultStore, at_a_time: usize) -> Result<Vec<Arc<Stored>>, StoreError> {
    let looked = at_once(&store.ids()?, at_a_time, |id| look(store, id))?;
    Ok(looked.into_iter().flatten().map(Arc::new).collect())
}

/// What `ask` answers of each, in their order; so many are asked for `at_a_time`.
pub(super) fn at_once<T: Send>(
    ids: &[VaultId],
    at_a_time: usize,
    ask: impl Fn(&VaultId) -> T + Sync,
) -> Result<Vec<T>, StoreError> {
    let share = ids.len().div_ceil(at_a_time).max(1);
    let ask_of = &|ids: &[VaultId]| -> Vec<T> { ids.iter().map(&ask).collect() };
    let answers = thread::scope(|scope| {
        let begin = |ids| thread::Builder::new().spawn_scoped(scope, move || ask_of(ids));
        let shares: Result<Vec<_>, _> = ids.chunks(share).map(begin).collect();
        let shares = shares.map_err(|error| StoreError::io("threads that look at vaults", error))?;
        // All are waited for: the scope panics where one has that nobody joined.
        let answers: Vec<_> = shares.into_iter().map(ScopedJoinHandle::join).collect();
        let answers: Result<Vec<_>, _> = answers.into_iter().collect();
        answers.map_err(|_| StoreError::failed("the vaults", true, "looking at them failed"))
    })?;
    Ok(answers.into_iter().flatten().collect())
}
