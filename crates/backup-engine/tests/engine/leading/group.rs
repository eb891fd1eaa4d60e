//! Engines over one world, of which one leads: who does is said by the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backup_engine::{Leadership, Role};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use vault_store::MemoryStore;
use zk_snapshot::restore::{NotPermitted, Permit};

use crate::support::{Nothing, Running, World, job};

/// Who leads: the number of a seat. Nobody with a number that no seat has.
#[derive(Debug)]
pub(super) struct Chair(pub(super) AtomicUsize);

pub(super) const NOBODY: usize = usize::MAX;

/// One of those that may lead. It is told later than it is so.
#[derive(Debug)]
pub(super) struct Seat {
    number: usize,
    chair: Arc<Chair>,
    role: watch::Sender<Role>,
    /// How often it was asked whether what was begun may go on, and told that all of it has ended.
    pub(super) asked: AtomicUsize,
    pub(super) released: AtomicUsize,
}

impl Seat {
    /// Whatever is so.
    pub(super) fn is_told(&self, role: Role) {
        self.role.send_replace(role);
    }

    fn leads(&self) -> bool {
        self.chair.0.load(Ordering::SeqCst) == self.number
    }
}

impl Permit for Seat {
    fn may_go_on(&self) -> Result<(), NotPermitted> {
        let may = self.may_write();
        self.asked.fetch_add(1, Ordering::SeqCst);
        may
    }

    fn may_write(&self) -> Result<(), NotPermitted> {
        self.leads()
            .then_some(())
            .ok_or_else(|| NotPermitted::new("another one leads"))
    }
}

#[async_trait]
impl Leadership for Seat {
    fn role(&self) -> watch::Receiver<Role> {
        self.role.subscribe()
    }

    fn report(&self) -> health_metrics::Leadership {
        health_metrics::Leadership {
            leads: self.leads(),
            ..health_metrics::Leadership::default()
        }
    }

    fn step_down(&self) {
        self.role.send_replace(Role::Leaving);
    }

    async fn release(&self) {
        self.released.fetch_add(1, Ordering::SeqCst);
        // It was made the leader anew before it had ended what it did as the one before.
        if matches!(*self.role.borrow(), Role::Leader { .. }) {
            return;
        }
        let chair = &self.chair.0;
        // It may be another's already.
        let _ = chair.compare_exchange(self.number, NOBODY, Ordering::SeqCst, Ordering::SeqCst);
        self.role.send_replace(Role::Standby);
    }
}

/// Engines over one world, that run.
pub(super) struct Group {
    pub(super) world: World,
    pub(super) chair: Arc<Chair>,
    term: AtomicU64,
    /// Second copies, which all of them know.
    pub(super) copies: MemoryStore,
    pub(super) seats: Vec<(Arc<Seat>, Running, JoinHandle<()>)>,
}

impl Group {
    pub(super) fn of(count: usize) -> Self {
        Self::with(count, |_| {})
    }

    /// With something done to each before it runs.
    pub(super) fn with(count: usize, prepare: impl Fn(&Running)) -> Self {
        let (world, chair) = (World::new(), Arc::new(Chair(AtomicUsize::new(NOBODY))));
        let copies = MemoryStore::new();
        let seats = (0..count).map(|number| {
            let seat = Arc::new(Seat {
                number,
                chair: Arc::clone(&chair),
                role: watch::Sender::new(Role::Standby),
                asked: AtomicUsize::new(0),
                released: AtomicUsize::new(0),
            });
            let running = world.start_with(|builder| {
                builder
                    .worker(format!("engine {number}"))
                    .renewal(Duration::from_millis(20), Duration::from_secs(60))
                    .schedule("0 * * * *".parse().unwrap())
                    .full_policy(Arc::new(Nothing))
                    .keep_news(true)
                    .second_copy(Arc::new(copies.clone()), "another place")
                    .leadership(Arc::clone(&seat) as Arc<dyn Leadership>)
            });
            prepare(&running);
            let engine = running.engine.clone();
            let runs = tokio::spawn(async move { engine.run(std::future::pending()).await });
            (seat, running, runs)
        });
        let seats = seats.collect();
        Self {
            world,
            chair,
            term: AtomicU64::new(0),
            copies,
            seats,
        }
    }

    pub(super) fn engine(&self, number: usize) -> &backup_engine::Engine {
        &self.seats[number].1.engine
    }

    /// That one leads from now on; the one before hears of it `later`.
    pub(super) async fn lead(&self, number: usize, later: Duration) {
        let term = self.term.fetch_add(1, Ordering::SeqCst) + 1;
        let before = self.chair.0.swap(number, Ordering::SeqCst);
        self.seats[number].0.role.send_replace(Role::Leader { term });
        if before != number && before != NOBODY {
            tokio::time::sleep(later).await;
            self.seats[before].0.role.send_replace(Role::Standby);
        }
    }

    /// The same where one that led may have claimed the job when it did no more: so much time passes that it counts as left.
    pub(super) async fn ended_or_left(&self, number: usize, id: &str) -> backup_engine::JobInfo {
        for _ in 0..20 {
            let ended = tokio::time::timeout(Duration::from_secs(3), self.engine(number).wait(id));
            if let Ok(ended) = ended.await {
                return ended.unwrap();
            }
            self.world.pass(Duration::from_secs(100));
        }
        panic!("{id} does not end: {:?}", job(self.engine(number), id).await)
    }

    pub(super) async fn ended(&self, number: usize, id: &str) -> backup_engine::JobInfo {
        let ended = tokio::time::timeout(Duration::from_secs(60), self.engine(number).wait(id));
        ended.await.expect("it ends").unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for (_, _, runs) in &self.seats {
            runs.abort();
        }
    }
}
