//! Three servers and a lease: requests that are late or lost, partitions, paused and dying processes, clocks that run at
//! rates 5% off.

mod server;
mod world;

use self::server::{Doing, Time};
use self::world::{Broken, Event, SERVERS, TROUBLE, World};
use super::{failing, seeds};

/// Longer than the longest that a lease lasts for others, by the slowest clock, with looking and answers.
const TAKEN_OVER: Time = (34 * 1_053 + 2 * 2 * 1_053) + 1_000;
const HANDED_OVER: Time = 2 * 1_053 + 1_000;

fn run(seed: u64, broken: Broken) -> Result<(), String> {
    let mut world = World::new(seed, broken);
    for server in 0..SERVERS {
        world.at(server as u64, server, Event::Tick);
    }
    world.run(TROUBLE)?;
    for server in &mut world.servers {
        (server.paused_until, server.cut_off_until) = (0, 0);
    }
    // What is late of the time before arrives.
    world.run(TROUBLE + 200_000)?;
    let holder = world.holder().ok_or("nobody holds it, and nothing is wrong")?;
    world.servers[holder].is_dead = true;
    world.run(world.now + TAKEN_OVER)?;
    let next = world
        .holder()
        .ok_or("nobody has taken it from one that is dead")?;
    if world.changes < 2 {
        return Err("it never changed hands".to_owned());
    }
    while !matches!(world.servers[next].doing, Doing::Nothing) {
        world.run(world.now + 10)?;
    }
    let clock = world.servers[next].clock(world.now);
    let write = world.servers[next]
        .state
        .release(clock)
        .ok_or("it cannot be given away")?;
    world.send(next, Doing::Writing(write));
    let given_away = world.now;
    world.servers[next].paused_until = 0;
    let mut other = None;
    while other.is_none_or(|other| other == next) && world.now < given_away + HANDED_OVER {
        world.run(world.now + 10)?;
        other = world.holder();
    }
    other
        .map(drop)
        .ok_or_else(|| "it was given away, and nobody has it".to_owned())
}

#[test]
fn never_two_hold_it_and_soon_somebody_does() {
    let (failed, first) = failing(seeds(3_000), |seed| run(seed, Broken::Nothing));
    assert_eq!(failed, 0, "{first:?}");
}

#[test]
fn each_of_its_rules_is_needed() {
    for broken in [
        Broken::TimesOfDay,
        Broken::FromTheAnswer,
        Broken::Unconditional,
        Broken::Revived,
    ] {
        let (failed, first) = failing(300, |seed| run(seed, broken));
        assert!(failed > 0, "{broken:?}");
        println!("{broken:?}: {failed} of 300, such as {first:?}");
    }
}
