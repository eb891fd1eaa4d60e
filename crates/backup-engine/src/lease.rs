//! Leadership by a lease in the bucket that the engines share.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use job_queue::{Holder, Lease, LeaseTiming};
use object_store::ObjectStore;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use zk_snapshot::restore::{NotPermitted, Permit};

use crate::leadership::{Leadership, Role};
use crate::lock::lock;
use crate::uptime::{Uptime, uptime};

/// Leads while it holds the lease `<prefix>/leader`. [`keep`](Self::keep) has to run all the time.
#[derive(Debug)]
pub struct LeaderLease {
    lease: Lease,
    timing: LeaseTiming,
    /// The longest that a request to ZooKeeper may take.
    deadline: Duration,
    role: watch::Sender<Role>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_leaving: bool,
    /// Until then others may take it first.
    rests_until: Option<Instant>,
}

impl LeaderLease {
    /// For the engine that is called `name`, and whose server others reach at `address`. A request to ZooKeeper that writes goes out only
    /// while the lease has `deadline` left, which is how long such a request takes at most.
    #[must_use]
    pub fn new(
        objects: Arc<dyn ObjectStore>,
        prefix: &str,
        (name, address): (&str, &str),
        timing: LeaseTiming,
        deadline: Duration,
    ) -> Self {
        Self::by_clock(objects, prefix, (name, address), timing, deadline, uptime())
    }

    /// The same by another clock than that of the machine. It must never be set, and go on while the process or the machine is stopped: whoever leads by one that
    /// stands still leads together with the next.
    #[must_use]
    pub fn by_clock(
        objects: Arc<dyn ObjectStore>,
        prefix: &str,
        (name, address): (&str, &str),
        timing: LeaseTiming,
        deadline: Duration,
        uptime: Uptime,
    ) -> Self {
        Self {
            lease: Lease::new(objects, prefix, name, address, timing, uptime),
            timing,
            deadline,
            role: watch::Sender::new(Role::Standby),
            state: Mutex::default(),
        }
    }

    /// Who leads, as far as is known; perhaps this one.
    #[must_use]
    pub fn leader(&self) -> Option<Holder> {
        self.lease.holder()
    }

    /// Who leads now.
    pub async fn look(&self) -> Option<Holder> {
        if let Err(error) = self.lease.refresh().await {
            log::warn!("who leads is not known: {error}");
        }
        self.leader()
    }

    /// Whether this one leads now, by its own clock.
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.lease.remaining().is_zero()
    }

    /// Takes the lease when it is free and renews it while it is held. Never ends.
    pub async fn keep(&self) {
        let mut renewed = Instant::now();
        loop {
            self.tell();
            let asked = Instant::now();
            let done = if self.is_held() {
                if renewed.elapsed() < self.timing.renew_every {
                    Ok(())
                } else {
                    renewed = asked;
                    self.lease.renew().await.map(drop)
                }
            } else if self.rests() {
                self.lease.refresh().await
            } else {
                renewed = asked;
                self.lease.acquire().await.map(drop)
            };
            if let Err(error) = done {
                log::warn!("the lease of being the leader could not be looked at: {error}");
            }
            self.tell();
            let left = self.lease.remaining();
            sleep(if left.is_zero() {
                self.timing.poll
            } else {
                left.min(self.timing.poll)
            })
            .await;
        }
    }

    fn rests(&self) -> bool {
        lock(&self.state)
            .rests_until
            .is_some_and(|until| Instant::now() < until)
    }

    fn tell(&self) {
        let mut state = lock(&self.state);
        let now = match self.lease.holder() {
            Some(holder) if self.is_held() => {
                if state.is_leaving {
                    Role::Leaving
                } else {
                    Role::Leader { term: holder.term }
                }
            }
            _ => {
                state.is_leaving = false;
                Role::Standby
            }
        };
        self.role.send_if_modified(|role| {
            let changes = *role != now;
            if changes {
                match now {
                    Role::Standby => log::warn!("this server leads no more"),
                    Role::Leader { term } => log::info!("this server leads, in term {term}"),
                    Role::Leaving => log::warn!("this server is about to give the lead away"),
                }
                *role = now;
            }
            changes
        });
    }
}

impl Permit for LeaderLease {
    fn may_go_on(&self) -> Result<(), NotPermitted> {
        match self.is_held() {
            true => Ok(()),
            false => Err(NotPermitted::new("this server leads no more")),
        }
    }

    fn may_write(&self) -> Result<(), NotPermitted> {
        match self.lease.remaining() >= self.deadline {
            true => Ok(()),
            false => Err(NotPermitted::new(
                "this server leads no more, or may not for as long as a request takes",
            )),
        }
    }
}

#[async_trait]
impl Leadership for LeaderLease {
    fn role(&self) -> watch::Receiver<Role> {
        self.role.subscribe()
    }

    fn report(&self) -> health_metrics::Leadership {
        let holder = self.lease.holder();
        let (term, leader) = holder.map_or((0, None), |holder| (holder.term, Some(holder.name)));
        health_metrics::Leadership {
            leads: self.is_held(),
            term,
            leader,
        }
    }

    fn step_down(&self) {
        lock(&self.state).is_leaving = true;
        self.tell();
    }

    async fn release(&self) {
        if !self.is_held() {
            return;
        }
        {
            let mut state = lock(&self.state);
            state.rests_until = Some(Instant::now() + self.timing.ttl);
        }
        if let Err(error) = self.lease.release().await {
            log::warn!("others have to wait until the lease of being the leader runs out: {error}");
        }
        self.tell();
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_write_is_allowed_only_while_there_is_time_for_its_whole_request() {
        let clock = Arc::new(Mutex::new(100 * SECOND));
        let (shown, timing) = (Arc::clone(&clock), LeaseTiming::default());
        let uptime = Arc::new(move || *lock(&shown));
        let (objects, deadline) = (Arc::new(InMemory::new()), 7 * SECOND);
        let leader = LeaderLease {
            lease: Lease::new(objects, "here", "one", "one:8080", timing, uptime),
            ..LeaderLease::new(Arc::new(InMemory::new()), "", ("", ""), timing, deadline)
        };
        let may = |after: Duration| {
            *lock(&clock) = 100 * SECOND + after;
            (leader.may_go_on().is_ok(), leader.may_write().is_ok())
        };
        assert_eq!(may(Duration::ZERO), (false, false), "it is not held yet");
        assert!(leader.lease.acquire().await.unwrap());
        assert_eq!(may(Duration::ZERO), (true, true));
        let moment = Duration::from_millis(1);
        let last = timing.ttl - deadline;
        assert_eq!(may(last), (true, true), "just as long as a request takes");
        assert_eq!(may(last + moment), (true, false), "less than a request takes");
        assert_eq!(may(timing.ttl - moment), (true, false));
        assert_eq!(may(timing.ttl), (false, false), "it has run out");

        // Each renewal makes time again.
        assert_eq!(may(last), (true, true));
        assert!(leader.lease.renew().await.unwrap());
        assert_eq!(may(2 * last), (true, true));
        assert_eq!(may(2 * last + moment), (true, false));
    }
}
