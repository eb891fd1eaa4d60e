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
    /// What this one is called.
    name: String,
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
            name: name.to_owned(),
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
        let renewed = self.timing.ttl.saturating_sub(self.timing.renew_every);
        loop {
            self.tell();
            let done = if self.is_held() {
                // What has not prolonged it is tried again at the next look, whatever it was answered.
                if self.lease.remaining() > renewed {
                    Ok(())
                } else {
                    self.lease.renew().await.map(drop)
                }
            } else if self.rests() {
                self.lease.refresh().await
            } else {
                self.lease.acquire().await.map(drop)
            };
            if let Err(error) = done {
                log::warn!(
                    "the lease of being the leader could not be looked at, or not be written: {error}"
                );
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
        let now = match self.lease.held() {
            Some(_) if state.is_leaving => Role::Leaving,
            Some(Holder { term, .. }) => Role::Leader { term },
            None => {
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
        let held = self.lease.held();
        let (leads, is_free) = (held.is_some(), self.lease.is_free());
        let holder = held.or_else(|| self.lease.holder());
        let (term, leader) = holder.map_or((0, None), |holder| (holder.term, Some(holder.name)));
        health_metrics::Leadership {
            leads,
            term,
            // What has run out is still in the object until somebody takes it.
            leader: leader.filter(|leader| leads || (*leader != self.name && !is_free)),
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
    use vault_store::{FaultyObjects, ObjectCall, VaultFault};

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

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_failed_is_tried_again_while_there_is_time_for_writes() {
        let (begun, objects) = (Instant::now(), FaultyObjects::new(Arc::new(InMemory::new())));
        let shared = Arc::new(objects.clone());
        let uptime = Arc::new(move || begun.elapsed());
        let (name, timing, deadline) = (("one", "one:8080"), LeaseTiming::default(), 12 * SECOND);
        let leader = LeaderLease::by_clock(shared, "here", name, timing, deadline, uptime);
        // The first takes it.
        objects.plan(ObjectCall::Put, 2, VaultFault::Fail);
        let work = async {
            for _ in 0..60 {
                sleep(SECOND).await;
                assert!(leader.may_write().is_ok(), "after {:?}", begun.elapsed());
            }
        };
        tokio::select! {
            () = leader.keep() => {}
            () = work => {}
        }
        let writes = objects.asked().into_iter();
        let writes = writes.filter(|(call, _)| *call == ObjectCall::Put).count();
        // After 0, 10, 12, 22, 32, 42 and 52 seconds.
        assert_eq!((writes, objects.left()), (7, 0));
    }

    #[tokio::test]
    async fn nobody_is_said_to_lead_by_a_lease_that_has_run_out() {
        let clock = Arc::new(Mutex::new(100 * SECOND));
        let (shown, timing) = (Arc::clone(&clock), LeaseTiming::default());
        let uptime = Arc::new(move || *lock(&shown));
        let (name, objects) = (("one", "one:8080"), Arc::new(InMemory::new()));
        let leader = LeaderLease::by_clock(objects, "here", name, timing, SECOND, uptime);
        assert!(leader.lease.acquire().await.unwrap());
        let report = leader.report();
        assert_eq!((report.leads, report.leader.as_deref()), (true, Some("one")));
        *lock(&clock) += timing.ttl;
        let report = leader.report();
        assert_eq!((report.leads, report.leader), (false, None));
    }

    /// Two servers over one bucket, and their clock.
    fn two() -> ([LeaderLease; 2], FaultyObjects, Arc<Mutex<Duration>>) {
        let clock = Arc::new(Mutex::new(100 * SECOND));
        let objects = FaultyObjects::new(Arc::new(InMemory::new()));
        let servers = ["one", "two"].map(|name| {
            let (shown, shared) = (Arc::clone(&clock), Arc::new(objects.clone()));
            let uptime = Arc::new(move || *lock(&shown));
            let timing = LeaseTiming::default();
            LeaderLease::by_clock(shared, "here", (name, ""), timing, SECOND, uptime)
        });
        (servers, objects, clock)
    }

    #[tokio::test]
    async fn another_server_is_not_said_to_lead_for_longer_than_its_lease_may_last() {
        let ([one, two], _, clock) = two();
        assert!(one.lease.acquire().await.unwrap());
        two.lease.refresh().await.unwrap();
        let timing = LeaseTiming::default();
        *lock(&clock) += timing.ttl + timing.margin - Duration::from_millis(1);
        assert_eq!(two.report().leader.as_deref(), Some("one"));
        *lock(&clock) += Duration::from_millis(1);
        let report = two.report();
        assert_eq!((report.leads, report.leader, report.term), (false, None, 1));
        // It is asked all the same what only a leader does.
        assert_eq!(two.leader().map(|leader| leader.name).as_deref(), Some("one"));
    }

    /// Whoever was told that the lead was lost is told of another one.
    #[tokio::test]
    async fn what_has_run_out_is_held_again_in_another_term() {
        let ([one, _], objects, clock) = two();
        let role = one.role();
        let tells = |due: Role| {
            one.tell();
            assert_eq!(*role.borrow(), due);
        };
        assert!(one.lease.acquire().await.unwrap());
        tells(Role::Leader { term: 1 });
        *lock(&clock) += 20 * SECOND;
        assert!(one.lease.renew().await.unwrap());
        tells(Role::Leader { term: 1 });
        *lock(&clock) += 30 * SECOND;
        tells(Role::Standby);
        assert!(one.lease.acquire().await.unwrap());
        tells(Role::Leader { term: 2 });

        // It was renewed, and learns that only when it has run out.
        *lock(&clock) += 20 * SECOND;
        objects.plan(ObjectCall::Put, 1, VaultFault::LoseAnswer);
        objects.plan(ObjectCall::Get, 1, VaultFault::Fail);
        one.lease.renew().await.unwrap_err();
        tells(Role::Leader { term: 2 });
        *lock(&clock) += 10 * SECOND;
        tells(Role::Standby);
        assert!(one.lease.acquire().await.unwrap());
        tells(Role::Leader { term: 3 });

        // It could not be given away.
        objects.plan(ObjectCall::Put, 1, VaultFault::Fail);
        objects.plan(ObjectCall::Get, 1, VaultFault::Fail);
        one.release().await;
        tells(Role::Standby);
        assert!(one.lease.acquire().await.unwrap());
        tells(Role::Leader { term: 4 });
    }

    /// By then it may have been told that the lead was lost.
    #[tokio::test]
    async fn a_renewal_that_is_answered_too_late_does_not_go_on_with_the_term() {
        let ([one, _], objects, clock) = two();
        assert!(one.lease.acquire().await.unwrap());
        let late = Arc::clone(&clock);
        let passes = move || *lock(&late) += 30 * SECOND;
        objects.plan(ObjectCall::Put, 1, VaultFault::Delay(Box::new(passes)));
        assert!(!one.lease.renew().await.unwrap());
        assert!(!one.is_held());
        assert!(one.lease.acquire().await.unwrap());
        assert_eq!(one.report().term, 2);
    }

    #[tokio::test]
    async fn a_lease_that_cannot_be_written_says_why() {
        let ([one, two], objects, _) = two();
        let fail = || objects.plan(ObjectCall::Put, 1, VaultFault::Fail);
        fail();
        let why = one.lease.acquire().await.unwrap_err().to_string();
        assert!(why.contains("Put was to fail"), "{why}");
        // It was written, and the answer says that it was not.
        objects.plan(ObjectCall::Put, 1, VaultFault::LoseAnswer);
        assert!(one.lease.acquire().await.unwrap());
        fail();
        one.lease.renew().await.unwrap_err();
        assert!(one.is_held());
        fail();
        one.lease.release().await.unwrap(); // the second time
        // Whoever comes second has not failed.
        two.lease.refresh().await.unwrap();
        assert!(one.lease.acquire().await.unwrap());
        objects.plan(ObjectCall::Get, 1, VaultFault::Fail);
        two.lease.acquire().await.unwrap_err();
        assert!(!two.lease.acquire().await.unwrap());
    }
}
