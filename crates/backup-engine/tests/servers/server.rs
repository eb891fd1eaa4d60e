//! A server: a whole engine with its lease, its clocks, and what has befallen it.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use backup_engine::{Engine, Ensemble, LeaderLease, Leadership, Role};
use eviction_policy::{Backup, EvictionPolicy, Verdict};
use futures::future::BoxFuture;
use job_queue::{LeaseTiming, ObjectJobs};
use time::OffsetDateTime;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep};
use vault_store::ObjectVaults;
use vault_store::object_store::ObjectStore;
use zk_snapshot::restore::{NotPermitted, Permit};

use crate::bucket::Reached;
use crate::ensemble::Ours;
use crate::queue::AtOnce;
use crate::seeded::Seeded;
use crate::world::{Broken, DEADLINE, World};

/// The process and the machine of a server, as others see them.
pub(crate) struct Body {
    /// Another one each time that it is started.
    pub(crate) name: String,
    /// Thousandths of the world's time that pass in a millisecond.
    rate: u32,
    /// How much its clock is ahead.
    off_by: Duration,
    stopped_until: Mutex<Duration>,
    cut_off_until: Mutex<Duration>,
    is_dead: AtomicBool,
    seed: Mutex<Seeded>,
}

impl Body {
    pub(crate) fn new(world: &World, name: String) -> Arc<Self> {
        let mut seed = Seeded(world.draw(Seeded::next));
        let (rate, off_by) = (seed.between(950, 1_050), seed.time(0, 30_000));
        Arc::new(Self {
            name,
            rate: u32::try_from(rate).unwrap(),
            off_by,
            stopped_until: Mutex::default(),
            cut_off_until: Mutex::default(),
            is_dead: AtomicBool::new(false),
            seed: Mutex::new(seed),
        })
    }

    /// What befalls one of its connections, which says nothing of what befalls others.
    pub(crate) fn luck(&self) -> Luck {
        let seed = self.seed.lock().unwrap().next();
        Luck(Arc::new(Mutex::new(Seeded(seed))))
    }

    fn uptime(&self, world: &World) -> Duration {
        Duration::from_hours(1) + world.now() * self.rate / 1_000
    }

    fn clock(&self, world: &World) -> OffsetDateTime {
        let begin = OffsetDateTime::from_unix_timestamp(1_795_219_200).unwrap();
        begin + self.off_by + self.uptime(world)
    }

    /// When a lease runs out that counts from `asked`, in the time of the world.
    pub(crate) fn runs_out(&self, asked: Duration) -> Duration {
        asked + LeaseTiming::default().ttl * 1_000 / self.rate
    }

    pub(crate) fn stop_for(&self, world: &World, time: Duration) {
        let mut until = self.stopped_until.lock().unwrap();
        *until = (*until).max(world.now() + time);
    }

    pub(crate) fn cut_off_for(&self, world: &World, time: Duration) {
        let mut until = self.cut_off_until.lock().unwrap();
        *until = (*until).max(world.now() + time);
    }

    pub(crate) fn is_cut_off(&self, world: &World) -> bool {
        let until = *self.cut_off_until.lock().unwrap();
        self.is_dead() || world.now() < until
    }

    pub(crate) fn is_stopped(&self, world: &World) -> bool {
        !self.stopped_for(world).is_zero()
    }

    fn stopped_for(&self, world: &World) -> Duration {
        let until = *self.stopped_until.lock().unwrap();
        until.saturating_sub(world.now())
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }

    /// Ends once the process is not stopped.
    pub(crate) async fn goes_on(&self, world: &World) {
        loop {
            match self.stopped_for(world) {
                Duration::ZERO => return,
                left => world.sleep(left).await,
            }
        }
    }
}

/// What befalls a connection.
#[derive(Clone)]
pub(crate) struct Luck(Arc<Mutex<Seeded>>);

impl Luck {
    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Seeded) -> T) -> T {
        draw(&mut self.0.lock().unwrap())
    }

    /// One of a hundred times so often, while anything goes wrong at all.
    pub(crate) fn is_trouble(&self, world: &World, percent: u64) -> bool {
        self.draw(|seed| seed.percent(percent)) && !world.facts(|facts| facts.is_calm)
    }
}

/// Work of a process, which stands still while that is stopped.
pub(crate) struct Of {
    work: BoxFuture<'static, ()>,
    world: Arc<World>,
    body: Arc<Body>,
    until: Option<Pin<Box<Sleep>>>,
}

impl Future for Of {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let left = self.body.stopped_for(&self.world);
        if !left.is_zero() {
            let mut until = Box::pin(sleep(left));
            if until.as_mut().poll(context).is_pending() {
                self.until = Some(until);
                return Poll::Pending;
            }
        }
        self.until = None;
        self.work.as_mut().poll(context)
    }
}

/// A server that runs.
pub(crate) struct Server {
    world: Arc<World>,
    pub(crate) body: Arc<Body>,
    pub(crate) engine: Engine,
    pub(crate) lease: Arc<LeaderLease>,
    keeps: JoinHandle<()>,
    runs: JoinHandle<()>,
    shutdown: Option<oneshot::Sender<()>>,
}

impl Server {
    pub(crate) async fn start(world: &Arc<World>, name: String) -> Self {
        let body = Body::new(world, name);
        let reached = |takes_time| -> Arc<dyn ObjectStore> {
            Arc::new(Reached {
                world: Arc::clone(world),
                server: Arc::clone(&body),
                luck: body.luck(),
                takes_time,
            })
        };
        let (of, clock) = (
            (Arc::clone(world), Arc::clone(&body)),
            (Arc::clone(world), Arc::clone(&body)),
        );
        let uptime: job_queue::Uptime = Arc::new(move || of.1.uptime(&of.0));
        let (name, timing) = (body.name.as_str(), LeaseTiming::default());
        let lease = LeaderLease::by_clock(
            reached(true),
            "p",
            (name, ""),
            timing,
            DEADLINE,
            Arc::clone(&uptime),
        );
        let lease = Arc::new(lease);
        let leadership: Arc<dyn Leadership> = match world.broken {
            Broken::Nothing | Broken::Unconditional => Arc::clone(&lease) as _,
            broken => Arc::new(Careless {
                lease: Arc::clone(&lease),
                broken,
            }),
        };
        let jobs = AtOnce {
            jobs: ObjectJobs::unread(&reached(false), "p").unwrap(),
            calls: Arc::clone(&world.times.calls),
        };
        let builder = Engine::builder(Arc::new(Ours::new(world, &body)) as Arc<dyn Ensemble>)
            .vaults(Arc::new(ObjectVaults::open(reached(false), "p").unwrap()))
            .jobs(Arc::new(jobs))
            .full_policy(Arc::new(Three))
            .granular_policy(Arc::new(Three))
            .clock(Arc::new(move || clock.1.clock(&clock.0)))
            .uptime(uptime)
            .worker(name)
            .renewal(timing.renew_every, timing.ttl)
            .leadership(leadership);
        let engine = tokio::task::spawn_blocking(move || builder.build().unwrap());
        let engine = engine.await.unwrap();
        let (shutdown, shut) = oneshot::channel::<()>();
        let (running, kept) = (engine.clone(), Arc::clone(&lease));
        let of = |work: BoxFuture<'static, ()>| {
            let (world, body) = (Arc::clone(world), Arc::clone(&body));
            tokio::spawn(Of {
                work,
                world,
                body,
                until: None,
            })
        };
        let keeps = of(Box::pin(async move { kept.keep().await }));
        let runs = of(Box::pin(
            async move { running.run(async { drop(shut.await) }).await },
        ));
        Self {
            world: Arc::clone(world),
            body,
            engine,
            lease,
            keeps,
            runs,
            shutdown: Some(shutdown),
        }
    }

    /// Has the process do something for a client.
    pub(crate) fn serve(&self, work: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(Of {
            work: Box::pin(work),
            world: Arc::clone(&self.world),
            body: Arc::clone(&self.body),
            until: None,
        });
    }

    /// Whether it says that it leads. It may be told later that it does no more.
    pub(crate) fn says_that_it_leads(&self) -> bool {
        matches!(*self.lease.role().borrow(), Role::Leader { .. })
    }

    pub(crate) fn answers(&self) -> bool {
        !self.body.is_stopped(&self.world) && !self.body.is_cut_off(&self.world)
    }

    /// As SIGTERM does.
    pub(crate) fn shut_down(&mut self) {
        self.shutdown = None;
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.runs.is_finished()
    }

    /// As SIGKILL does: what has left the process arrives, and nothing else does.
    pub(crate) fn kill(self) {
        self.body.is_dead.store(true, Ordering::SeqCst);
        self.keeps.abort();
        self.runs.abort();
    }
}

/// Keeps the newest three.
#[derive(Debug)]
struct Three;

impl EvictionPolicy for Three {
    fn judge(&self, backups: &[Backup], _now: OffsetDateTime) -> Vec<Verdict> {
        let mut times: Vec<_> = backups.iter().map(|backup| backup.taken_at).collect();
        times.sort();
        let oldest = times.len().checked_sub(3).map(|at| times[at]);
        let judge = |backup: &Backup| match oldest.is_some_and(|oldest| backup.taken_at < oldest) {
            true => Verdict::Evict("there are three newer".to_owned()),
            false => Verdict::Keep("one of three".to_owned()),
        };
        backups.iter().map(judge).collect()
    }
}

/// Leads as the lease says, and does not ask it what it should.
#[derive(Debug)]
struct Careless {
    lease: Arc<LeaderLease>,
    broken: Broken,
}

impl Permit for Careless {
    fn may_go_on(&self) -> Result<(), NotPermitted> {
        match self.broken {
            Broken::AlwaysPermitted => Ok(()),
            _ => self.lease.may_go_on(),
        }
    }

    fn may_write(&self) -> Result<(), NotPermitted> {
        self.may_go_on()
    }
}

#[async_trait]
impl Leadership for Careless {
    fn role(&self) -> watch::Receiver<Role> {
        self.lease.role()
    }

    fn report(&self) -> health_metrics::Leadership {
        self.lease.report()
    }

    fn step_down(&self) {
        self.lease.step_down();
    }

    async fn release(&self) {
        self.lease.release().await;
    }
}
