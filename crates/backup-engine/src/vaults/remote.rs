//! What is known of vaults whose storage is asked over a network, where every question is a request.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use vault_store::{StoreError, VaultId, VaultStore};

use super::Stored;
use super::stored::look;
use crate::lock::lock;

/// What was told is taken for so long as what is there. Others' backups are told that late.
const FRESH: Duration = Duration::from_secs(10);
/// What is older is not told without asking.
const OLD: Duration = Duration::from_secs(60);
/// So long an answer waits for a new one, where there is an earlier one.
const PATIENCE: Duration = Duration::from_millis(60);
/// And where there is none.
const FIRST: Duration = Duration::from_millis(200);
/// After this a storage that has not answered is said not to.
const SILENT: Duration = Duration::from_secs(5);
/// So many vaults are looked at each time that the storage is asked: what was recorded of them, and how long their files are.
const LOOKS: usize = 2;

/// What is known, and when it was told. One question is under way at a time, however many ask, on a thread of its own: nobody has
/// to wait for it.
#[derive(Default)]
pub(crate) struct Remote {
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Default)]
struct State {
    vaults: BTreeMap<VaultId, Arc<Stored>>,
    /// The first is looked at next.
    turns: VecDeque<VaultId>,
    /// When the last question that was answered was asked.
    at: Option<Instant>,
    /// Why the last one was not.
    failed: Option<String>,
    under_way: Option<Instant>,
    /// How many were answered, or failed.
    ended: u64,
    /// How often this process has changed something.
    changes: u64,
}

/// What is known, and what keeps it from being known better.
pub(crate) type Seen = (Vec<Arc<Stored>>, Option<String>);

impl Remote {
    /// What is known of all vaults, oldest first, at once.
    pub(crate) fn soon(self: &Arc<Self>, store: &Arc<dyn VaultStore>) -> Seen {
        let state = lock(&self.state);
        let patience = if state.at.is_some() { PATIENCE } else { FIRST };
        let state = self.wait(state, store, patience);
        let all = state.vaults.values().cloned().collect();
        (all, state.trouble())
    }

    /// The same, once the storage has told it.
    pub(crate) fn all(self: &Arc<Self>, store: &Arc<dyn VaultStore>) -> Result<Vec<Arc<Stored>>, StoreError> {
        let state = self.wait(lock(&self.state), store, Duration::MAX);
        Ok(state.known()?.values().cloned().collect())
    }

    /// The ids: at once where they are known, else once the storage has told them.
    pub(crate) fn ids(self: &Arc<Self>, store: &Arc<dyn VaultStore>) -> Result<Vec<VaultId>, StoreError> {
        let patience = match &*lock(&self.state) {
            State { at: Some(at), .. } if at.elapsed() < OLD => PATIENCE,
            _ => Duration::MAX,
        };
        let state = self.wait(lock(&self.state), store, patience);
        Ok(state.known()?.keys().cloned().collect())
    }

    /// Asks, unless that was done just now, and nobody waits for the answer.
    pub(crate) fn refresh(self: &Arc<Self>, store: &Arc<dyn VaultStore>) {
        drop(self.wait(lock(&self.state), store, Duration::ZERO));
    }

    /// What is known is not taken for what is there.
    pub(crate) fn forget(&self) {
        lock(&self.state).at = None;
    }

    /// Something of a vault was changed by this process.
    pub(crate) fn changed(&self, store: &dyn VaultStore, id: &VaultId) {
        lock(&self.state).changes += 1;
        let now = look(store, id);
        let mut state = lock(&self.state);
        // What is being asked just now may be of before.
        state.changes += 1;
        state.turns.retain(|known| known != id);
        match now {
            Some(stored) => state.learn(stored),
            None => drop(state.vaults.remove(id)),
        }
    }

    /// Waits until what is known is fresh, or a question that is asked now has ended, or `patience` is over.
    fn wait<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        store: &Arc<dyn VaultStore>,
        patience: Duration,
    ) -> MutexGuard<'a, State> {
        let begun = Instant::now();
        let enough = state.ended + 1;
        while !state.is_fresh() && state.ended < enough {
            if state.under_way.is_none() {
                self.ask(&mut state, store);
            }
            let left = patience.saturating_sub(begun.elapsed()).min(SILENT);
            if left.is_zero() {
                break;
            }
            let waited = self.told.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    fn ask(self: &Arc<Self>, state: &mut State, store: &Arc<dyn VaultStore>) {
        let (remote, store) = (Arc::clone(self), Arc::clone(store));
        let asking = thread::Builder::new().name("vaults".to_owned());
        match asking.spawn(move || remote.learn(&*store)) {
            Ok(_) => state.under_way = Some(Instant::now()),
            Err(error) => {
                state.failed = Some(error.to_string());
                state.ended += 1;
            }
        }
    }

    /// Asks what there is, and looks at some of it.
    fn learn(&self, store: &dyn VaultStore) {
        loop {
            let begun = Instant::now();
            let changes = lock(&self.state).changes;
            let ids = store.ids();
            let new: Vec<VaultId> = {
                let state = lock(&self.state);
                let ids = ids.as_ref().map(Vec::as_slice).unwrap_or_default();
                ids.iter()
                    .filter(|id| !state.vaults.contains_key(id))
                    .cloned()
                    .collect()
            };
            // Their manifests were read along with the ids, so that this asks for little.
            let new = new.into_iter().filter_map(|id| Stored::told(store, &id));
            let new: Vec<_> = new.collect();
            let mut state = lock(&self.state);
            match ids {
                // Something was written or removed meanwhile, so that this may be of before.
                Ok(_) if state.changes != changes => continue,
                Ok(ids) => state.take(&ids, new, begun),
                Err(error) => state.failed = Some(error.to_string()),
            }
            state.ended += 1;
            self.told.notify_all();
            let next = state.next();
            drop(state);
            self.look(store, next);
            lock(&self.state).under_way = None;
            return;
        }
    }

    fn look(&self, store: &dyn VaultStore, turns: Vec<VaultId>) {
        for id in turns {
            let changes = lock(&self.state).changes;
            let now = look(store, &id);
            let mut state = lock(&self.state);
            if state.changes != changes {
                return;
            }
            state.turns.retain(|known| *known != id);
            match now {
                Some(stored) => state.learn(stored),
                None => drop(state.vaults.remove(&id)),
            }
        }
    }
}

impl State {
    fn is_fresh(&self) -> bool {
        self.failed.is_none() && self.at.is_some_and(|at| at.elapsed() < FRESH)
    }

    fn known(&self) -> Result<&BTreeMap<VaultId, Arc<Stored>>, StoreError> {
        match &self.failed {
            Some(why) => Err(StoreError::failed("the vaults", true, why.clone())),
            None => Ok(&self.vaults),
        }
    }

    /// Those that are to be looked at now: those whose turn it is, and one that is said to be damaged, which may have passed.
    fn next(&self) -> Vec<VaultId> {
        if self.failed.is_some() {
            return Vec::new();
        }
        let damaged = |id: &&VaultId| self.vaults.get(*id).is_some_and(|stored| stored.damage.is_some());
        let damaged = self.turns.iter().skip(LOOKS).find(damaged);
        self.turns.iter().take(LOOKS).chain(damaged).cloned().collect()
    }

    fn trouble(&self) -> Option<String> {
        let silent = || {
            let since = self.under_way?.elapsed();
            let late = since > SILENT || self.at.is_none();
            late.then(|| format!("it has not answered for {} seconds", since.as_secs()))
        };
        self.failed.clone().or_else(silent)
    }

    fn learn(&mut self, stored: Stored) {
        let id = stored.id.clone();
        self.turns.push_back(id.clone());
        self.vaults.insert(id, Arc::new(stored));
    }

    fn take(&mut self, ids: &[VaultId], new: Vec<Stored>, begun: Instant) {
        let there: HashSet<_> = ids.iter().collect();
        self.vaults.retain(|id, _| there.contains(id));
        self.turns.retain(|id| there.contains(id));
        for stored in new {
            self.turns.push_front(stored.id.clone());
            self.vaults.insert(stored.id.clone(), Arc::new(stored));
        }
        (self.at, self.failed) = (Some(begun), None);
    }
}
