//! What is known of vaults whose storage is asked over a network, where every question is a request.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use vault_store::{StoreError, VaultId, VaultStore, Verification};

use super::known::{AT_ONCE, at_once};
use super::stored::{Stored, look};
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
/// Whoever needs an answer is told after this that there is none. A first list of many vaults takes long.
const LONGEST: Duration = Duration::from_secs(300);
/// So many vaults are looked at each time that the storage is asked: what was recorded of them, and how long their files are.
const LOOKS: usize = 2;
/// What was recorded of so many is read each time of which that is not known yet.
const RECORDS: usize = 128;
/// What was told of so many is kept, though what follows is not.
const PIECE: usize = 500;

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
    /// Those of which only the manifest is known; what was recorded of the first is read next.
    unseen: VecDeque<VaultId>,
    /// The others; the first is looked at next.
    turns: VecDeque<VaultId>,
    /// When the last question that was answered was asked.
    at: Option<Instant>,
    /// Why the last one was not.
    failed: Option<String>,
    /// When the storage was last heard of, or asked, in the question that is under way.
    under_way: Option<Instant>,
    /// How many were answered, or failed.
    ended: u64,
    /// What this process has changed since the last question began, whose answer may be of before.
    touched: HashSet<VaultId>,
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

    /// Of how many it was not read yet what was recorded of them.
    pub(crate) fn unread(&self) -> u64 {
        lock(&self.state).unread()
    }

    /// The same, once the storage has told it.
    pub(crate) fn all(self: &Arc<Self>, store: &Arc<dyn VaultStore>) -> Result<Vec<Arc<Stored>>, StoreError> {
        let state = self.listed_within(store, LONGEST)?;
        Ok(state.vaults.values().cloned().collect())
    }

    /// The ids: at once where they are known, else once the storage has told them.
    pub(crate) fn ids(self: &Arc<Self>, store: &Arc<dyn VaultStore>) -> Result<Vec<VaultId>, StoreError> {
        let state = lock(&self.state);
        let state = match state.at {
            Some(at) if at.elapsed() < OLD => {
                let state = self.wait(state, store, PATIENCE);
                state.failure().map_or(Ok(state), Err)?
            }
            _ => {
                drop(state);
                self.listed_within(store, LONGEST)?
            }
        };
        Ok(state.vaults.keys().cloned().collect())
    }

    /// What is known once the storage has told it, or an error once it has failed to, or has not within `patience`.
    fn listed_within<'a>(
        self: &'a Arc<Self>,
        store: &Arc<dyn VaultStore>,
        patience: Duration,
    ) -> Result<MutexGuard<'a, State>, StoreError> {
        let state = lock(&self.state);
        let ended = state.ended;
        let state = self.wait(state, store, patience);
        match state.failure() {
            Some(error) => Err(error),
            None if state.is_fresh() || state.ended > ended => Ok(state),
            None => {
                let what = format!(
                    "the storage has not listed them within {} seconds",
                    patience.as_secs()
                );
                Err(StoreError::failed("the vaults", true, what))
            }
        }
    }

    /// Asks, unless that was done just now, and nobody waits for the answer.
    pub(crate) fn refresh(self: &Arc<Self>, store: &Arc<dyn VaultStore>) {
        drop(self.wait(lock(&self.state), store, Duration::ZERO));
    }

    /// What is known is not taken for what is there, nor for what others have recorded.
    pub(crate) fn forget(&self) {
        let mut state = lock(&self.state);
        state.at = None;
        state.forget_records();
    }

    /// Something of a vault was changed by this process.
    pub(crate) fn changed(&self, store: &dyn VaultStore, id: &VaultId) {
        lock(&self.state).touched.insert(id.clone());
        let now = look(store, id);
        let mut state = lock(&self.state);
        // A question may have begun meanwhile.
        state.touched.insert(id.clone());
        state.learn(id, now);
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
        let mut asked = Asked {
            remote: self,
            is_answered: false,
        };
        let begun = Instant::now();
        lock(&self.state).touched.clear();
        let listed = store.ids();
        let told = listed.and_then(|ids| self.tell(store, &ids).map(|()| ids));
        let mut state = lock(&self.state);
        match told {
            Ok(ids) => state.take(&ids, begun),
            Err(error) => state.failed = Some(error.to_string()),
        }
        state.ended += 1;
        let is_told = state.failed.is_none();
        state.heard();
        asked.is_answered = true;
        drop(state);
        self.told.notify_all();
        if is_told {
            self.read_records(store);
            self.look(store);
        }
    }

    /// Asks what is in the manifests that are not known, and in those that could not be read before.
    fn tell(&self, store: &dyn VaultStore, ids: &[VaultId]) -> Result<(), StoreError> {
        let untold: Vec<VaultId> = {
            let state = lock(&self.state);
            let untold = ids.iter().filter(|id| !state.is_told(id));
            untold.cloned().collect()
        };
        // They were read along with the ids where the store does that, and what lies below a seal was not.
        for piece in untold.chunks(PIECE) {
            let told = at_once(piece, AT_ONCE, |id| Stored::listed(store, id))?;
            let mut state = lock(&self.state);
            for stored in told.into_iter().flatten() {
                state.listed(stored);
            }
            state.heard();
        }
        Ok(())
    }

    /// Reads what was recorded of some of which that is not known.
    fn read_records(&self, store: &dyn VaultStore) {
        let ids: Vec<VaultId> = {
            let mut state = lock(&self.state);
            let some = state.unseen.len().min(RECORDS);
            state.unseen.drain(..some).collect()
        };
        let read = at_once(&ids, AT_ONCE, |id| store.verification(id));
        let mut state = lock(&self.state);
        match read {
            Ok(read) => {
                for (id, found) in ids.into_iter().zip(read) {
                    state.see(id, found);
                }
            }
            Err(error) => {
                log::warn!("{error}");
                state.unseen.extend(ids);
            }
        }
        state.heard();
    }

    fn look(&self, store: &dyn VaultStore) {
        let turns = lock(&self.state).next();
        for id in turns {
            let now = look(store, &id);
            let mut state = lock(&self.state);
            if !state.touched.contains(&id) {
                state.learn(&id, now);
            }
            state.heard();
        }
    }
}

/// A question that is under way until this is dropped, also by a panic of the store.
struct Asked<'a> {
    remote: &'a Remote,
    /// Whether it was answered, or failed.
    is_answered: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.remote.state);
        if !self.is_answered {
            state.failed = Some("asking the storage ended abnormally".to_owned());
            state.ended += 1;
        }
        state.under_way = None;
        drop(state);
        self.remote.told.notify_all();
    }
}

impl State {
    fn is_fresh(&self) -> bool {
        self.failed.is_none() && self.at.is_some_and(|at| at.elapsed() < FRESH)
    }

    /// Why the last question was not answered.
    fn failure(&self) -> Option<StoreError> {
        let why = self.failed.clone()?;
        Some(StoreError::failed("the vaults", true, why))
    }

    /// The storage has answered, of whatever it was asked.
    fn heard(&mut self) {
        self.under_way = Some(Instant::now());
    }

    /// Those that are to be looked at now: those whose turn it is, and one that is said to be damaged, which may have passed.
    fn next(&self) -> Vec<VaultId> {
        let damaged = |id: &&VaultId| self.vaults.get(*id).is_some_and(|stored| stored.damage.is_some());
        let damaged = self.turns.iter().skip(LOOKS).find(damaged);
        self.turns.iter().take(LOOKS).chain(damaged).cloned().collect()
    }

    fn unread(&self) -> u64 {
        self.vaults.len().saturating_sub(self.turns.len()) as u64
    }

    fn trouble(&self) -> Option<String> {
        let silent = || {
            let since = self.under_way?.elapsed();
            let late = since > SILENT || self.at.is_none();
            late.then(|| format!("it has not answered for {} seconds", since.as_secs()))
        };
        self.failed.clone().or_else(silent)
    }

    /// Whether a vault is known, and could be read.
    fn is_told(&self, id: &VaultId) -> bool {
        let is_passing = |stored: &Arc<Stored>| matches!(&stored.manifest, Err(why) if why.is_passing);
        self.vaults.get(id).is_some_and(|stored| !is_passing(stored))
    }

    /// What was recorded of vaults is read anew. What is said to be damaged stays so until its turn: damage may be seen that nobody has recorded.
    fn forget_records(&mut self) {
        let Self {
            vaults,
            unseen,
            turns,
            touched,
            ..
        } = self;
        // What was changed here meanwhile is known best, and the question that is under way leaves it alone.
        let is_sound =
            |id: &VaultId| !touched.contains(id) && vaults.get(id).is_some_and(|stored| stored.is_sound());
        let (sound, others): (VecDeque<_>, _) = std::mem::take(turns).into_iter().partition(is_sound);
        *turns = others;
        unseen.extend(sound);
    }

    /// All that can be told of a vault was looked at; it may be gone.
    fn learn(&mut self, id: &VaultId, now: Option<Stored>) {
        self.unseen.retain(|known| known != id);
        self.turns.retain(|known| known != id);
        match now {
            Some(stored) => {
                self.turns.push_back(id.clone());
                self.vaults.insert(id.clone(), Arc::new(stored));
            }
            None => drop(self.vaults.remove(id)),
        }
    }

    /// What the storage told of a vault along with the others, unless this process has changed it since it was asked.
    fn listed(&mut self, stored: Stored) {
        let id = stored.id.clone();
        if self.touched.contains(&id) {
            return;
        }
        if self.vaults.contains_key(&id) {
            self.turns.retain(|known| *known != id);
        }
        // The newest first.
        match stored.manifest {
            Ok(_) => self.unseen.push_front(id.clone()),
            Err(_) => self.turns.push_front(id.clone()),
        }
        self.vaults.insert(id, Arc::new(stored));
    }

    /// What was recorded of a vault was read.
    fn see(&mut self, id: VaultId, found: Result<Option<Verification>, StoreError>) {
        let Some(stored) = self.vaults.get_mut(&id).filter(|_| !self.touched.contains(&id)) else {
            return;
        };
        match found {
            Ok(found) => {
                *stored = Arc::new(Stored::clone(stored).with_record(found));
                self.turns.push_back(id);
            }
            // The next list does not have it.
            Err(StoreError::NotFound(_)) => self.turns.push_back(id),
            Err(error) => {
                log::warn!("what was recorded of backup {id} is read later: {error}");
                self.unseen.push_back(id);
            }
        }
    }

    /// The storage has told which there are; what this process has changed meanwhile is known better.
    fn take(&mut self, ids: &[VaultId], begun: Instant) {
        let there: HashSet<_> = ids.iter().collect();
        let Self {
            vaults,
            unseen,
            turns,
            touched,
            ..
        } = self;
        vaults.retain(|id, _| there.contains(id) || touched.contains(id));
        unseen.retain(|id| vaults.contains_key(id));
        turns.retain(|id| vaults.contains_key(id));
        (self.at, self.failed) = (Some(begun), None);
    }
}

#[cfg(test)]
mod tests;
