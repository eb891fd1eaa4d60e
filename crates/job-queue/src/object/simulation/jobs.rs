//! Three workers and a client over one storage: requests that are late or lost and land all the same, answers that are
//! lost, paused and dying processes, clocks that run at rates 5% off.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as Stored,
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use super::{Seeded, failing, seeds};
use crate::object::document::Random;
use crate::object::{Shared, whole_millis};
use crate::{Job, JobState, MAIN_LANE, NewJob, Note, Outcome, QueueError};

/// A rule that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// Whatever is there is overwritten.
    Unconditional,
    /// Whose answer is lost does not find what it wrote.
    NoTokens,
}

const WORKERS: u64 = 3;
const JOBS: usize = 30;
const PATIENCE: Duration = Duration::from_secs(20);
/// A claim that was not renewed for so long is recovered by others.
const LAPSE: Duration = Duration::from_secs(60);

/// What everybody in a run shares.
struct World {
    seed: Mutex<Seeded>,
    broken: Broken,
    store: Arc<InMemory>,
    facts: Mutex<Facts>,
    begun: Instant,
}

#[derive(Default)]
struct Facts {
    is_calm: bool,
    wrong: Option<String>,
    accepted: BTreeSet<String>,
    claimed: BTreeSet<String>,
    /// By whom its end was stored.
    finished: BTreeSet<String>,
    noted: BTreeSet<String>,
    /// State, worker and lane of each job, as it was written last.
    jobs: BTreeMap<String, (JobState, Option<String>)>,
    /// Jobs that were cut off.
    cut: usize,
}

impl World {
    fn draw<T>(&self, draw: impl FnOnce(&mut Seeded) -> T) -> T {
        draw(&mut self.seed.lock().unwrap())
    }

    fn facts<T>(&self, with: impl FnOnce(&mut Facts) -> T) -> T {
        with(&mut self.facts.lock().unwrap())
    }

    fn wrong(&self, why: String) {
        self.facts(|facts| {
            facts.wrong.get_or_insert(why);
        });
    }

    fn is_trouble(&self, percent: u64) -> bool {
        !self.facts(|facts| facts.is_calm) && self.draw(|seed| seed.percent(percent))
    }

    fn delay(&self) -> Duration {
        let late = self.is_trouble(3);
        Duration::from_millis(self.draw(|seed| match late {
            true => seed.between(1_000, 40_000),
            false => seed.between(1, 200),
        }))
    }

    /// What was written is a step from what was there before.
    fn judge(&self, bytes: &[u8]) {
        let body: Value = serde_json::from_slice(bytes).unwrap();
        let told = body["value"]["table"]["jobs"].as_array().unwrap();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let job = |job: &Value| {
            let state = JobState::from_name(job["state"].as_str().unwrap()).unwrap();
            (text(&job["id"]).unwrap(), (state, text(&job["worker"])))
        };
        let jobs: BTreeMap<_, _> = told.iter().map(job).collect();
        let busy = jobs.values().filter(|(state, _)| *state == JobState::Processing);
        if busy.count() > 1 {
            self.wrong("two jobs of one lane are being done".to_owned());
        }
        let before = self.facts(|facts| std::mem::replace(&mut facts.jobs, jobs.clone()));
        for (id, (was, by)) in &before {
            match jobs.get(id) {
                None if was.is_final() => {}
                None => self.wrong(format!("{id} was {was}, and is lost")),
                Some((is, now_by)) => {
                    let stays = was == is && by == now_by;
                    if !stays && !(was.may_become(*is) && (by.is_none() || by == now_by)) {
                        self.wrong(format!("{id} was {was} by {by:?}, and is {is} by {now_by:?}"));
                    }
                }
            }
        }
    }
}

/// The storage, as it is reached.
#[derive(Clone)]
struct Reached(Arc<World>);

impl fmt::Debug for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reached")
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reached")
    }
}

fn lost() -> Error {
    Error::Generic {
        store: "simulation",
        source: "lost".into(),
    }
}

#[async_trait]
impl ObjectStore for Reached {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut opts: PutOptions,
    ) -> Stored<PutResult> {
        let (world, path) = (Arc::clone(&self.0), location.clone());
        if world.is_trouble(3) {
            sleep(world.delay()).await;
            return Err(lost());
        }
        if world.broken == Broken::Unconditional {
            opts.mode = PutMode::Overwrite;
        }
        // It arrives, whatever becomes of who sent it.
        let arriving = tokio::spawn(async move {
            sleep(world.delay()).await;
            let put = world.store.put_opts(&path, payload.clone(), opts).await;
            if put.is_ok() && path.filename() == Some("state.json") {
                let bytes: Vec<u8> = payload.iter().flat_map(|part| part.to_vec()).collect();
                world.judge(&bytes);
            }
            put
        });
        let put = arriving.await.unwrap();
        sleep(self.0.delay()).await;
        if self.0.is_trouble(5) { Err(lost()) } else { put }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Stored<Box<dyn MultipartUpload>> {
        self.0.store.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Stored<GetResult> {
        sleep(self.0.delay()).await;
        if self.0.is_trouble(3) {
            return Err(lost());
        }
        let mut found = self.0.store.get_opts(location, options).await?;
        if self.0.broken == Broken::NoTokens && location.filename() == Some("state.json") {
            let bytes = self.0.store.get(location).await?.bytes().await?;
            let mut body: Value = serde_json::from_slice(&bytes).unwrap();
            body["tokens"] = json!([]);
            let bytes = serde_json::to_vec(&body).unwrap();
            let once = futures::stream::once(async move { Ok(bytes.into()) });
            found.payload = object_store::GetResultPayload::Stream(Box::pin(once));
        }
        sleep(self.0.delay()).await;
        Ok(found)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Stored<Path>>) -> BoxStream<'static, Stored<Path>> {
        self.0.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Stored<ObjectMeta>> {
        self.0.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Stored<ListResult> {
        self.0.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Stored<()> {
        self.0.store.copy_opts(from, to, options).await
    }
}

/// One process.
struct Process {
    world: Arc<World>,
    shared: Shared,
    name: String,
    /// Thousandths of the world's time.
    rate: u32,
    off_by: Duration,
}

impl Process {
    fn new(world: &Arc<World>, name: String) -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(Reached(Arc::clone(world)));
        let (seed, rate, off_by) =
            world.draw(|seed| (seed.next(), seed.between(950, 1_050), seed.below(2_000)));
        let numbers = Mutex::new(Seeded(seed));
        let random: Random = Arc::new(move || {
            let mut numbers = numbers.lock().unwrap();
            u128::from(numbers.next()) << 64 | u128::from(numbers.next())
        });
        Self {
            world: Arc::clone(world),
            shared: Shared::new(&store, "p", PATIENCE, 2_000, &random),
            name,
            rate: u32::try_from(rate).unwrap(),
            off_by: Duration::from_millis(off_by),
        }
    }

    fn now(&self) -> OffsetDateTime {
        let passed = self.world.begun.elapsed() * self.rate / 1_000 + self.off_by;
        whole_millis(OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + passed)
    }

    async fn pause(&self, least: u64, most: u64) {
        sleep(Duration::from_millis(
            self.world.draw(|seed| seed.between(least, most)),
        ))
        .await;
    }

    async fn work(&self) {
        loop {
            let now = self.now();
            let cut = self.shared.recover(&self.name, Some(now - LAPSE), now).await;
            let Ok(cut) = cut else {
                self.pause(500, 2_000).await;
                continue;
            };
            self.world.facts(|facts| facts.cut += cut.len());
            match self.shared.claim(&self.name, MAIN_LANE, self.now()).await {
                Ok(Some(job)) => self.do_job(&job).await,
                Ok(None) | Err(_) => self.pause(2_000, 8_000).await,
            }
        }
    }

    async fn do_job(&self, job: &Job) {
        if !self.world.facts(|facts| facts.claimed.insert(job.id.clone())) {
            self.world.wrong(format!("{} was claimed twice", job.id));
        }
        let note = Note::new(&*job.id, "key", "v".repeat(200));
        if self.shared.chunks.put(&self.shared.notes, &[note]).await.is_ok() {
            self.world.facts(|facts| facts.noted.insert(job.id.clone()));
        }
        let rounds = self.world.draw(|seed| seed.below(4));
        for _ in 0..rounds {
            self.pause(5_000, 10_000).await;
            if self.world.is_trouble(5) {
                self.pause(60_000, 150_000).await; // stopped as a whole
            }
            match self.shared.renew(&job.id, &self.name, self.now()).await {
                Err(QueueError::NotHeld { .. }) => return,
                Ok(_) | Err(QueueError::Storage(_)) => {}
                Err(other) => self.world.wrong(format!("{}: {other}", job.id)),
            }
        }
        let done = || Outcome::success(json!("x".repeat(200)));
        for attempt in 0.. {
            match self.shared.finish(&job.id, done(), self.now()).await {
                Ok(()) => {
                    self.world.facts(|facts| facts.finished.insert(job.id.clone()));
                    return;
                }
                Err(QueueError::Storage(_)) => self.pause(500, 2_000).await,
                // It was given up for lost, or ended by an earlier attempt.
                Err(QueueError::Illegal { from, .. })
                    if from == JobState::Failed || (attempt > 0 && from == JobState::Successful) =>
                {
                    return;
                }
                Err(other) => return self.world.wrong(format!("{}: {other}", job.id)),
            }
        }
    }

    async fn ask(&self) {
        for number in 0..JOBS {
            let id = format!("{number:03}");
            for attempt in 0.. {
                match self
                    .shared
                    .enqueue(NewJob::new(&*id, "kind"), self.now(), JOBS)
                    .await
                {
                    Ok(_) => {}
                    Err(QueueError::Duplicate(_)) if attempt > 0 => {}
                    Err(QueueError::Storage(_)) => continue,
                    Err(other) => self.world.wrong(format!("{id}: {other}")),
                }
                self.world.facts(|facts| facts.accepted.insert(id.clone()));
                break;
            }
            self.pause(100, 20_000).await;
        }
    }
}

async fn live(world: &Arc<World>) -> Result<(), String> {
    let client = Process::new(world, "client".to_owned());
    let asking = tokio::spawn(async move { client.ask().await });
    let mut lives = 0;
    let mut begin = || {
        lives += 1;
        let process = Process::new(world, format!("w{lives}"));
        tokio::spawn(async move { process.work().await })
    };
    let mut working: Vec<_> = (0..WORKERS).map(|_| begin()).collect();
    while !asking.is_finished() {
        sleep(Duration::from_secs(5)).await;
        if world.is_trouble(5) {
            let which = usize::try_from(world.draw(|seed| seed.below(WORKERS))).unwrap();
            working[which].abort();
            working[which] = begin();
        }
    }
    world.facts(|facts| facts.is_calm = true);
    let looking = Process::new(world, "looking".to_owned());
    // So long as all that is left takes, one after another, and what is cut off is found.
    let mut left = 3_000;
    loop {
        sleep(Duration::from_secs(1)).await;
        left -= 1;
        let counts = looking
            .shared
            .jobs
            .read()
            .await
            .map_err(|error| error.to_string())?;
        let counts = counts.table.counts();
        if counts.queued + counts.processing == 0 || left == 0 {
            break;
        }
    }
    working.iter().for_each(tokio::task::JoinHandle::abort);
    let (accepted, finished, noted) = world.facts(|facts| {
        (
            facts.accepted.clone(),
            facts.finished.clone(),
            facts.noted.clone(),
        )
    });
    if accepted.len() != JOBS {
        return Err(format!("{} were accepted", accepted.len()));
    }
    for id in &accepted {
        let job = looking.shared.get(id).await.map_err(|error| error.to_string())?;
        let state = job.map(|job| job.state);
        let is_right = match state {
            Some(JobState::Successful) => true,
            Some(JobState::Failed) => !finished.contains(id),
            _ => false,
        };
        if !is_right {
            return Err(format!("{id} was accepted, and is {state:?} in the end"));
        }
    }
    let notes = looking.shared.chunks.all(&looking.shared.notes).await;
    let notes: BTreeSet<_> = notes
        .map_err(|error| error.to_string())?
        .into_iter()
        .map(|note| note.job)
        .collect();
    match noted.iter().find(|id| !notes.contains(*id)) {
        Some(id) => Err(format!("the note of {id} is lost")),
        None => Ok(()),
    }
}

fn run_with(seed: u64, broken: Broken) -> Result<usize, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = Arc::new(World {
            seed: Mutex::new(Seeded(seed)),
            broken,
            store: Arc::new(InMemory::new()),
            facts: Mutex::default(),
            begun: Instant::now(),
        });
        let lived = live(&world).await;
        match world.facts(|facts| facts.wrong.take()) {
            Some(wrong) => Err(wrong),
            None => lived.map(|()| world.facts(|facts| facts.cut)),
        }
    })
}

#[test]
fn no_accepted_job_is_lost_and_none_is_done_by_two() {
    let cut = std::cell::Cell::new(0);
    let (failed, first) = failing(seeds(100), |seed| {
        cut.set(cut.get() + run_with(seed, Broken::Nothing)?);
        Ok(())
    });
    assert_eq!(failed, 0, "{first:?}");
    assert!(
        cut.get() > 30,
        "what was cut off was recovered {} times",
        cut.get()
    );
}

#[test]
fn each_of_its_rules_is_needed() {
    for broken in [Broken::Unconditional, Broken::NoTokens] {
        let (failed, first) = failing(20, |seed| run_with(seed, broken).map(drop));
        assert!(failed > 0, "{broken:?}");
        println!("{broken:?}: {failed} of 20, such as {first:?}");
    }
}
