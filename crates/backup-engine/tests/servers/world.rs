//! What all servers of a run share: the time, the store, the ensemble, and what went wrong.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;
use vault_store::object_store::memory::InMemory;
use zk_snapshot::tree::{Acl, MemoryTree};

use crate::facts::Facts;
use crate::passing::Times;
use crate::seeded::Seeded;

/// A rule that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    Nothing,
    /// Whatever is in the store is overwritten.
    Unconditional,
    /// Whoever asks may write to the ensemble, and remove backups.
    AlwaysPermitted,
    /// Whoever leads may, though its lease may run out before the request arrives.
    NoTimeLeft,
}

/// A request to the ensemble, and one that removes something, arrives within that time or never. It is as long as the lease has to last when one goes out.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// The same by the slowest clock.
pub(crate) const LONGEST: u64 = 9_400;

pub(crate) struct World {
    seed: Mutex<Seeded>,
    pub(crate) broken: Broken,
    pub(crate) store: InMemory,
    pub(crate) tree: Arc<MemoryTree>,
    facts: Mutex<Facts>,
    /// Of the runtime whose time is everybody's.
    pub(crate) runtime: Handle,
    begun: Instant,
    pub(crate) times: Times,
    tells: bool,
}

impl World {
    pub(crate) fn new(seed: u64, broken: Broken, times: Times) -> Arc<Self> {
        let tree = Arc::new(MemoryTree::new());
        let world = Self {
            seed: Mutex::new(Seeded(seed)),
            broken,
            store: InMemory::new(),
            tree,
            facts: Mutex::default(),
            runtime: Handle::current(),
            begun: Instant::now(),
            times,
            tells: std::env::var_os("SIMULATION_STORY").is_some(),
        };
        for number in 0..ZNODES {
            world.put(number, "at first");
        }
        Arc::new(world)
    }

    /// Since the run began. From any thread.
    pub(crate) fn now(&self) -> Duration {
        let _time_of = self.runtime.enter();
        self.begun.elapsed()
    }

    /// What happens, where `SIMULATION_STORY` asks for it.
    pub(crate) fn tell(&self, what: impl FnOnce() -> String) {
        if self.tells {
            println!("{:?}: {}", self.now(), what());
        }
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        self.times.sleep(time).await;
    }

    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Seeded) -> T) -> T {
        draw(&mut self.seed.lock().unwrap())
    }

    pub(crate) fn facts<T>(&self, with: impl FnOnce(&mut Facts) -> T) -> T {
        with(&mut self.facts.lock().unwrap())
    }

    /// Somebody who is no server of ours writes.
    pub(crate) fn put(&self, number: u64, data: &str) {
        let path = format!("/app/part{}/node{number}", number % 3);
        self.tree.put(&path, data.as_bytes(), Acl::open()).unwrap();
    }
}

pub(crate) const ZNODES: u64 = 12;
