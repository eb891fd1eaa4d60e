//! Three whole engines over one object store and one ensemble, with everything that can go wrong between them. Every run is a seed.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod bucket;
mod calm;
mod ensemble;
mod facts;
mod passing;
mod queue;
mod seeded;
mod server;
mod storm;
mod world;

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use self::facts::Counted;
use self::world::{Broken, World};

/// Whether others wait is asked of all threads of this process.
static RUNNING: Mutex<()> = Mutex::new(());

/// What came of a run, and what was broken in it.
fn run(seed: u64, broken: Broken) -> Result<Counted, String> {
    let _one_at_a_time = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let (runtime, times) = passing::runtime();
    let lived = runtime.block_on(async {
        let world = World::new(seed, broken, times);
        let lived = async {
            let servers = storm::live(&world).await;
            calm::settle(&world, servers).await
        };
        let lived = lived.await;
        world.facts(|facts| facts.wrong.take().map_or(lived, Err).map(|()| facts.counted))
    });
    // Servers that have died may have work left that nobody waits for.
    runtime.shutdown_background();
    lived.map_err(|why| format!("seed {seed}: {why}"))
}

/// So many seeds, or as many as `SIMULATION_SEEDS` says.
fn seeds() -> u64 {
    let set = std::env::var("SIMULATION_SEEDS").ok();
    set.map_or(4, |set| set.parse().expect("SIMULATION_SEEDS is no number"))
}

/// Where to begin: what was tried before need not be tried again.
fn first_seed() -> u64 {
    let set = std::env::var("SIMULATION_FIRST").ok();
    set.map_or(0, |set| set.parse().expect("SIMULATION_FIRST is no number"))
}

#[test]
fn whatever_befalls_them_no_backup_is_made_twice_no_job_is_lost_and_only_the_leader_writes_and_evicts() {
    let (first, seeds) = (first_seed(), seeds());
    let (mut all, mut failed) = (Counted::default(), Vec::new());
    for seed in first..first + seeds {
        match run(seed, Broken::Nothing) {
            Ok(counted) => all += counted,
            Err(why) => {
                println!("{why}");
                failed.push(why);
            }
        }
    }
    println!("{seeds} seeds: {all:?}");
    assert!(
        failed.is_empty(),
        "{} of {seeds}, such as {}",
        failed.len(),
        failed[0]
    );
    // What nothing happens in shows nothing. Some of it is rare.
    let often = [all.leaders, all.commits, all.writes, all.restored];
    let seldom = [all.removals, all.cut_off, all.refused];
    assert!(often.iter().all(|count| *count >= seeds), "{all:?}");
    assert!(seldom.iter().all(|count| *count >= seeds / 50), "{all:?}");
}

#[test]
fn each_of_its_rules_is_needed() {
    // Where each is found soon.
    for (broken, first) in [
        (Broken::Unconditional, 0),
        (Broken::AlwaysPermitted, 2),
        (Broken::NoTimeLeft, 4),
    ] {
        let found = RefCell::new(None);
        let tried = (first..first + 200).take_while(|seed| match run(*seed, broken) {
            Ok(_) => true,
            Err(why) => found.replace(Some(why)).is_some(),
        });
        let tried = tried.count();
        let found = found.into_inner();
        println!("{broken:?}, after {tried} that show nothing: {found:?}");
        assert!(found.is_some(), "{broken:?} is not found by {tried} seeds");
    }
}
