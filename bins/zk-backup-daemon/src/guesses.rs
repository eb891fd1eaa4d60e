//! Wrong credentials: how many are judged at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// Wrong attempts that wait for their answers at once: of one address, and in all.
const OF_ONE: usize = 4;
const IN_ALL: usize = 32;
/// In all, where each is the only one of its address.
const MOST: usize = 128;
/// So many of one address wait for others to end, and [`IN_ALL`] in all: who waits takes the place of a request.
const WAITING: usize = 8;
/// Addresses that are remembered for having known the credentials.
const KNOWN: usize = 4_096;
/// So long it is waited for others to end, where it takes a hash to judge them: about as long as the longest that is allowed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Attempts that are under way. A wrong one stays for the time that its answer waits, so that the number of guesses a
/// second is bounded; past the bound credentials are not even looked at.
///
/// An address that has known the credentials once is always heard, or whoever guesses from everywhere at once would lock
/// the operator out. Who shares that address, as behind a proxy, can guess as fast as there are connections; past the bound the
/// answer says so.
#[derive(Debug, Default)]
pub(crate) struct Guesses {
    state: Mutex<State>,
    /// Told whenever an attempt ends.
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    wrong: HashMap<Option<IpAddr>, usize>,
    in_all: usize,
    known: Vec<Option<IpAddr>>,
    /// Who waits to be heard.
    waiting: Vec<Option<IpAddr>>,
}

/// That somebody waits to be heard, until it is dropped.
struct Waiting {
    guesses: Arc<Guesses>,
    peer: Option<IpAddr>,
}

/// One attempt. It counts as wrong until it is known.
pub(crate) struct Attempt {
    guesses: Arc<Guesses>,
    peer: Option<IpAddr>,
    is_one_too_many: bool,
}

impl Guesses {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` where too many of this address, or in all, were wrong just now.
    pub(crate) fn begin(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<Attempt> {
        let mut state = self.lock();
        let of_this = state.wrong.get(&peer).copied().unwrap_or(0);
        let heard = state.known.contains(&peer)
            || (of_this < OF_ONE && state.in_all < if of_this == 0 { MOST } else { IN_ALL });
        heard.then(|| {
            *state.wrong.entry(peer).or_default() += 1;
            state.in_all += 1;
            Attempt {
                guesses: Arc::clone(self),
                peer,
                is_one_too_many: of_this >= OF_ONE,
            }
        })
    }

    /// The same where a hash may be made for each: those before it count as wrong until then, and may be right. It waits for them for a while, unless
    /// too many do.
    pub(crate) async fn begin_soon(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<Attempt> {
        if let Some(attempt) = self.begin(peer) {
            return Some(attempt);
        }
        let _waiting = self.wait(peer)?;
        let begun = async {
            loop {
                let ended = self.ended.notified();
                if let Some(attempt) = self.begin(peer) {
                    return attempt;
                }
                ended.await;
            }
        };
        tokio::time::timeout(PATIENCE, begun).await.ok()
    }

    fn wait(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<Waiting> {
        let mut state = self.lock();
        let of_this = state.waiting.iter().filter(|other| **other == peer).count();
        let has_room = of_this < WAITING && state.waiting.len() < IN_ALL;
        has_room.then(|| {
            state.waiting.push(peer);
            Waiting {
                guesses: Arc::clone(self),
                peer,
            }
        })
    }
}

impl Attempt {
    /// It was heard only because its address has known the credentials.
    pub(crate) fn is_one_too_many(&self) -> bool {
        self.is_one_too_many
    }

    /// Notes that the address knows the credentials.
    pub(crate) fn was_right(&self) {
        let mut state = self.guesses.lock();
        if !state.known.contains(&self.peer) {
            if state.known.len() == KNOWN {
                state.known.remove(0);
            }
            state.known.push(self.peer);
        }
    }

    /// Counts as wrong for this time, also where nobody waits for the answer any more.
    pub(crate) async fn was_wrong(self: Arc<Self>, delay: Duration) {
        actix_web::rt::spawn(async move {
            actix_web::rt::time::sleep(delay).await;
            drop(self);
        });
        actix_web::rt::time::sleep(delay).await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let waiting = &mut self.guesses.lock().waiting;
        if let Some(ours) = waiting.iter().position(|peer| *peer == self.peer) {
            waiting.swap_remove(ours);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut state = self.guesses.lock();
        state.in_all = state.in_all.saturating_sub(1);
        if let Some(wrong) = state.wrong.get_mut(&self.peer) {
            *wrong = wrong.saturating_sub(1);
            if *wrong == 0 {
                state.wrong.remove(&self.peer);
            }
        }
        drop(state);
        self.guesses.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn wrong_ones_are_bounded_and_who_knew_the_credentials_is_heard() {
        let guesses = Arc::new(Guesses::default());
        guesses.begin(address(0)).unwrap().was_right();
        let mut waiting: Vec<_> = (0..OF_ONE).filter_map(|_| guesses.begin(address(1))).collect();
        assert!(waiting.len() == OF_ONE && guesses.begin(address(1)).is_none());
        for last in 2..200 {
            waiting.extend(guesses.begin(address(last)));
            waiting.extend(guesses.begin(address(last)));
        }
        // One of each address is heard, of many no second one.
        assert!(waiting.len() < IN_ALL + 200 && guesses.begin(address(100)).is_none());
        assert!(guesses.begin(address(0)).is_some());
        drop(waiting);
        assert!(guesses.begin(address(1)).is_some() && guesses.lock().in_all == 0);
    }

    #[actix_web::test]
    async fn one_too_many_is_heard_soon_where_one_of_the_others_ends() {
        let guesses = Arc::new(Guesses::default());
        let mut judged: Vec<_> = (0..OF_ONE).filter_map(|_| guesses.begin(address(1))).collect();
        let ends = async { drop(judged.pop()) };
        let (heard, ()) = futures::future::join(guesses.begin_soon(address(1)), ends).await;
        assert!(heard.is_some() && guesses.begin(address(1)).is_none());
        assert!(guesses.lock().waiting.is_empty());
    }

    #[actix_web::test]
    async fn few_of_one_address_wait() {
        let guesses = Arc::new(Guesses::default());
        let judged: Vec<_> = (0..OF_ONE).filter_map(|_| guesses.begin(address(1))).collect();
        let waiting: Vec<_> = (0..=WAITING).filter_map(|_| guesses.wait(address(1))).collect();
        assert_eq!(waiting.len(), WAITING);
        // It is answered at once, with the others under way.
        assert!(guesses.begin_soon(address(1)).await.is_none() && judged.len() == OF_ONE);
        assert!(guesses.wait(address(2)).is_some());
        drop(waiting);
        assert!(guesses.wait(address(1)).is_some() && guesses.lock().waiting.is_empty());
    }
}
