//! Three workers and a client over one storage: requests that are late or lost and land all the same, answers that are
//! lost, paused and dying processes, clocks that run at rates 5% off.

mod process;
mod reached;
mod world;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use object_store::memory::InMemory;
use tokio::time::{Instant, sleep};

use self::process::{JOBS, Process};
use self::world::{Broken, World};
use super::{Seeded, failing, seeds};
use crate::JobState;

const WORKERS: u64 = 3;

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
