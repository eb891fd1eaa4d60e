//! A time in which everything goes wrong, and clients ask for things all the same.

use std::sync::Arc;
use std::time::Duration;

use backup_engine::{BackupRequest, EngineError, Leadership as _, RestoreRequest};
use tokio::time::sleep;

use crate::server::Server;
use crate::world::{World, ZNODES};

const SERVERS: usize = 3;
/// How long it lasts.
const STORM: Duration = Duration::from_secs(300);
/// A process that is asked to end is killed after so long, as whatever runs it does.
const TO_END: Duration = Duration::from_secs(40);

/// The place of a server.
enum Seat {
    Up(Server),
    /// It was asked to end at that time.
    Ending(Server, Duration),
    /// It is started again at that time.
    Down(Duration),
}

struct Storm {
    world: Arc<World>,
    seats: Vec<Seat>,
    lives: usize,
}

/// Lets servers live through it, and returns them as they are at its end, all of them up.
pub(crate) async fn live(world: &Arc<World>) -> Vec<Server> {
    let mut storm = Storm {
        world: Arc::clone(world),
        seats: Vec::new(),
        lives: 0,
    };
    for _ in 0..SERVERS {
        let server = storm.start().await;
        storm.seats.push(Seat::Up(server));
    }
    while world.now() < STORM && world.facts(|facts| facts.wrong.is_none()) {
        sleep(world.draw(|seed| seed.time(500, 4_000))).await;
        storm.seat_anew(false).await;
        storm.happen();
    }
    world.facts(|facts| facts.is_calm = true);
    storm.seat_anew(true).await;
    let up = storm.seats.into_iter().filter_map(|seat| match seat {
        Seat::Up(server) => Some(server),
        Seat::Ending(..) | Seat::Down(_) => None,
    });
    up.collect()
}

impl Storm {
    async fn start(&mut self) -> Server {
        self.lives += 1;
        Server::start(&self.world, format!("server{}", self.lives)).await
    }

    /// Ends who was asked to, and starts who is down, when it is time or `all` at once.
    async fn seat_anew(&mut self, all: bool) {
        for number in 0..self.seats.len() {
            let now = self.world.now();
            let again = now + self.world.draw(|seed| seed.time(1_000, 20_000));
            let seat = std::mem::replace(&mut self.seats[number], Seat::Down(again));
            self.seats[number] = match seat {
                Seat::Ending(server, asked) if all || server.has_ended() || now > asked + TO_END => {
                    server.kill();
                    Seat::Down(if all { now } else { again })
                }
                seat => seat,
            };
            if matches!(self.seats[number], Seat::Down(at) if all || at <= now) {
                self.seats[number] = Seat::Up(self.start().await);
            }
        }
    }

    fn up(&self) -> Vec<usize> {
        let up = (0..self.seats.len()).filter(|number| matches!(self.seats[*number], Seat::Up(_)));
        up.collect()
    }

    fn server(&self, number: usize) -> Option<&Server> {
        match &self.seats[number] {
            Seat::Up(server) => Some(server),
            Seat::Ending(..) | Seat::Down(_) => None,
        }
    }

    /// One that is up: often the one that leads, or says so.
    fn one(&self, often: u64) -> Option<usize> {
        let (up, wants) = (self.up(), self.world.draw(|seed| seed.percent(often)));
        let leads = |number: &usize| self.server(*number).is_some_and(Server::says_that_it_leads);
        let leading: Vec<_> = up.iter().copied().filter(leads).collect();
        let of = if wants && !leading.is_empty() { leading } else { up };
        self.world.draw(|seed| seed.one_of(&of).copied())
    }

    fn happen(&mut self) {
        let (what, time) = self
            .world
            .draw(|seed| (seed.below(100), seed.time(1_000, 70_000)));
        let Some(number) = self.one(60) else { return };
        self.world
            .tell(|| format!("{what} for {time:?} to seat {number}"));
        match what {
            0..5 => self.with(number, |world, server| server.body.stop_for(world, time)),
            5..9 => self.with(number, |world, server| server.body.cut_off_for(world, time)),
            // As a machine does whose network comes back later than itself.
            15..19 => self.with(number, |world, server| {
                server.body.stop_for(world, time.mul_f64(0.4));
                server.body.cut_off_for(world, time);
            }),
            9..12 => self.end(number, true),
            12..14 => self.end(number, false),
            14 => self.with(number, |_, server| server.lease.step_down()),
            19..30 => self.world.put(
                self.world.draw(|seed| seed.below(ZNODES)),
                &format!("at {:?}", self.world.now()),
            ),
            30..90 => self.ask(what),
            _ => {}
        }
    }

    fn with(&self, number: usize, what: impl FnOnce(&World, &Server)) {
        if let Some(server) = self.server(number) {
            what(&self.world, server);
        }
    }

    fn end(&mut self, number: usize, at_once: bool) {
        let now = self.world.now();
        let again = now + self.world.draw(|seed| seed.time(1_000, 20_000));
        let seat = std::mem::replace(&mut self.seats[number], Seat::Down(again));
        match seat {
            Seat::Up(server) if at_once => server.kill(),
            Seat::Up(mut server) => {
                server.shut_down();
                self.seats[number] = Seat::Ending(server, now);
            }
            seat => self.seats[number] = seat,
        }
    }

    /// A client asks a server for something.
    fn ask(&self, what: u64) {
        let Some(server) = self.one(85).and_then(|number| self.server(number)) else {
            return;
        };
        if !server.answers() {
            return; // nobody waits for it
        }
        let (engine, world) = (server.engine.clone(), Arc::clone(&self.world));
        let there: Vec<_> = world.facts(|facts| {
            let there = facts.vaults.iter().filter(|(_, is_there)| **is_there);
            there.map(|(id, _)| id.clone()).collect()
        });
        let some = world.draw(|seed| seed.one_of(&there).cloned());
        let accepted = move |world: &World, id: String, restores: bool| {
            world.facts(|facts| facts.accepted.insert(id, restores));
        };
        match (what, some) {
            (30..55, _) | (_, None) => server.serve(async move {
                if let Ok(id) = engine.backup(BackupRequest::default()).await {
                    accepted(&world, id, false);
                }
            }),
            (55..75, Some(id)) => {
                for _ in 0..8 {
                    let number = world.draw(|seed| seed.below(ZNODES));
                    world.put(number, &format!("changed at {:?}", world.now()));
                }
                server.serve(async move {
                    if let Ok(id) = engine.restore(RestoreRequest::of(&id)).await {
                        accepted(&world, id, true);
                    }
                });
            }
            (75..85, Some(id)) => server.serve(async move {
                if let Err(EngineError::NotLeading(_)) = engine.evict_one(&id).await {
                    world.facts(|facts| facts.counted.refused += 1);
                }
            }),
            _ => server.serve(async move {
                drop(engine.evict(false).await);
            }),
        }
    }
}
