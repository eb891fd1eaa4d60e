//! Which calls are to fail, for the stores that fail when they are told to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What becomes of a call.
pub enum VaultFault {
    /// It fails and does nothing.
    Fail,
    /// It is done, and its caller is told that it failed.
    LoseAnswer,
    /// It is done once this has returned.
    Delay(Box<dyn FnOnce() + Send>),
}

/// Clones share everything.
pub(crate) struct Faults<C>(Arc<Mutex<Plan<C>>>);

struct Plan<C> {
    /// For which calls, how many of them are left until it comes, and what comes then.
    faults: Vec<(Option<C>, usize, VaultFault)>,
    cut: bool,
}

/// What comes of a call that has its turn.
pub(crate) enum Turn {
    Fail,
    LoseAnswer,
    Go,
}

impl<C: PartialEq> Faults<C> {
    pub(crate) fn new() -> Self {
        let faults = Vec::new();
        Self(Arc::new(Mutex::new(Plan { faults, cut: false })))
    }

    pub(crate) fn plan(&self, call: Option<C>, nth: usize, fault: VaultFault) {
        self.lock().faults.push((call, nth, fault));
    }

    pub(crate) fn left(&self) -> usize {
        self.lock().faults.len()
    }

    pub(crate) fn cut(&self) {
        self.lock().cut = true;
    }

    fn lock(&self) -> MutexGuard<'_, Plan<C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first fault of those that are due.
    fn due(&self, call: &C) -> Option<VaultFault> {
        let mut plan = self.lock();
        let mut due = None;
        for (index, (which, left, _)) in plan.faults.iter_mut().enumerate() {
            if which.as_ref().is_none_or(|which| which == call) {
                *left = left.saturating_sub(1);
                due = due.or((*left == 0).then_some(index));
            }
        }
        due.map(|index| plan.faults.remove(index).2)
    }

    /// Counts the call, and waits where it is delayed.
    pub(crate) fn turn(&self, call: &C) -> Turn {
        let due = self.due(call);
        let turn = match due {
            Some(VaultFault::Fail) => Turn::Fail,
            Some(VaultFault::LoseAnswer) => Turn::LoseAnswer,
            Some(VaultFault::Delay(wait)) => {
                wait();
                Turn::Go
            }
            None => Turn::Go,
        };
        match self.lock().cut {
            true => Turn::Fail,
            false => turn,
        }
    }
}

impl<C> Clone for Faults<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
