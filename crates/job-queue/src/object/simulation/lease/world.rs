//! Servers and a storage, and what happens to requests between them. That never two hold the lease is asked after each event.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::time::Duration;

use futures::FutureExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion};

use super::super::Seeded;
use super::server::{Doing, Server, Time, timing};
use crate::object::lease::state::{Body, Looked};

/// A rule that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Nothing,
    /// Whoever finds by the time of day that the lease has run out takes it.
    TimesOfDay,
    /// It is held from when the answer came.
    FromTheAnswer,
    /// Whatever is there is overwritten.
    Unconditional,
    /// What has run out is held again where an earlier write is found.
    Revived,
}

pub(super) const SERVERS: usize = 3;
/// Until then everything goes wrong, and nothing afterwards.
pub(super) const TROUBLE: Time = 600_000;

#[derive(Clone)]
pub(super) enum Event {
    Tick,
    Arrives(u64, Doing),
    Answered(u64, Result<Answer, ()>),
    Late(u64),
}

#[derive(Clone)]
pub(super) enum Answer {
    Looked(Option<(UpdateVersion, Body)>),
    Written(UpdateVersion),
}

pub(super) struct World {
    seed: Seeded,
    broken: Broken,
    pub(super) now: Time,
    events: BinaryHeap<Reverse<(Time, u64)>>,
    what: HashMap<u64, (usize, u64, Event)>,
    count: u64,
    store: InMemory,
    pub(super) servers: Vec<Server>,
    /// Which life of a server an event is of.
    lives: [u64; SERVERS],
    /// When each write was sent, by the time of day of who sent it.
    sent: BTreeMap<String, i64>,
    last: Option<Body>,
    pub(super) changes: u64,
}

fn path() -> Path {
    Path::from("leader")
}

impl World {
    pub(super) fn new(seed: u64, broken: Broken) -> Self {
        let mut seed = Seeded(seed);
        let servers = (0..SERVERS)
            .map(|number| Server::new(&mut seed, number))
            .collect();
        Self {
            seed,
            broken,
            now: 0,
            events: BinaryHeap::new(),
            what: HashMap::new(),
            count: 0,
            store: InMemory::new(),
            servers,
            lives: [0; SERVERS],
            sent: BTreeMap::new(),
            last: None,
            changes: 0,
        }
    }

    pub(super) fn at(&mut self, time: Time, server: usize, event: Event) {
        self.count += 1;
        self.events.push(Reverse((time, self.count)));
        self.what.insert(self.count, (server, self.lives[server], event));
    }

    fn is_trouble(&self) -> bool {
        self.now < TROUBLE
    }

    /// Does what comes until `end`.
    pub(super) fn run(&mut self, end: Time) -> Result<(), String> {
        while let Some(Reverse((time, number))) = self.events.peek().copied() {
            if time > end {
                break;
            }
            self.events.pop();
            self.now = time;
            let Some((server, life, event)) = self.what.remove(&number) else {
                continue;
            };
            let arrives = matches!(event, Event::Arrives(..));
            // What was sent arrives, whatever has become of who sent it.
            if !arrives && (self.servers[server].is_dead || life != self.lives[server]) {
                continue;
            }
            let paused = self.servers[server].paused_until;
            if !arrives && paused > time {
                self.at(paused, server, event);
                continue;
            }
            self.happen(server, event)?;
            self.check()?;
        }
        self.now = end;
        self.check()
    }

    fn check(&mut self) -> Result<(), String> {
        let hold = self
            .servers
            .iter()
            .filter(|server| server.holds(self.now))
            .count();
        if hold > 1 {
            return Err(format!("{hold} hold it at {} ms", self.now));
        }
        let holder = self.holder().map(|holder| &mut self.servers[holder]);
        if let Some(holder) = holder {
            holder.held_in = holder.state.holder().map_or(0, |holder| holder.term);
            if holder.held_in <= holder.over {
                return Err(format!("it is held again in term {}", holder.over));
            }
        }
        Ok(())
    }

    fn happen(&mut self, server: usize, event: Event) -> Result<(), String> {
        match event {
            Event::Tick => {
                self.trouble(server);
                if self.servers[server].is_dead || self.servers[server].paused_until > self.now {
                    self.tick_later(server);
                    return Ok(());
                }
                self.begin(server);
            }
            Event::Arrives(request, doing) => self.arrive(server, request, doing)?,
            Event::Answered(request, answer) if request == self.servers[server].request => {
                self.answered(server, answer);
            }
            Event::Late(request) if request == self.servers[server].request => self.answered(server, Err(())),
            Event::Answered(..) | Event::Late(_) => {}
        }
        Ok(())
    }

    fn tick_later(&mut self, server: usize) {
        let poll = u64::try_from(timing().poll.as_millis()).unwrap() * 1_000 / self.servers[server].rate;
        self.at(self.now + poll, server, Event::Tick);
    }

    fn trouble(&mut self, server: usize) {
        if !self.is_trouble() {
            return;
        }
        let (now, length) = (self.now, self.seed.between(1_000, 90_000));
        match self.seed.below(100) {
            0 => self.servers[server].paused_until = now + length,
            1 | 2 => self.servers[server].cut_off_until = now + length,
            3 if self.seed.percent(30) => self.restart(server),
            4 if self.seed.percent(30) => {
                self.servers[server].state.stop_holding();
                let clock = self.servers[server].clock(now);
                if let Some(write) = self.servers[server].state.release(clock) {
                    self.send(server, Doing::Writing(write));
                }
            }
            _ => {}
        }
    }

    /// It dies, and is there again with nothing that it knew.
    fn restart(&mut self, server: usize) {
        self.lives[server] += 1;
        self.servers[server] = Server::new(&mut self.seed, server);
        self.tick_later(server);
    }

    fn begin(&mut self, server: usize) {
        let (now, one) = (self.now, &mut self.servers[server]);
        if !matches!(one.doing, Doing::Nothing) {
            return;
        }
        let clock = one.clock(now);
        if !one.holds(now) {
            one.over = one.held_in;
            if self.broken != Broken::Revived {
                one.state.end_if_run_out(clock);
            }
            return self.send(server, Doing::Looking(true));
        }
        if clock >= one.renewed + timing().renew_every {
            one.renewed = clock;
            if let Some(write) = one.state.renew(clock) {
                return self.send(server, Doing::Writing(write));
            }
        }
        self.tick_later(server);
    }

    pub(super) fn send(&mut self, server: usize, doing: Doing) {
        let (now, cut_off) = (self.now, self.servers[server].cut_off_until > self.now);
        self.count += 1;
        let request = self.count;
        let one = &mut self.servers[server];
        (one.request, one.doing) = (request, doing.clone());
        if let Doing::Writing(write) = &doing {
            let time_of_day = now.cast_signed() + one.off_by;
            self.sent.insert(write.body.token.clone(), time_of_day);
        }
        let patience = u64::try_from(timing().patience().as_millis()).unwrap() * 1_000 / one.rate;
        self.at(now + patience, server, Event::Late(request));
        if self.is_trouble() && self.seed.percent(1) {
            // While the answer is on its way.
            self.servers[server].paused_until = now + self.seed.between(1_000, 90_000);
        }
        let lost = self.is_trouble() && self.seed.percent(3);
        if !cut_off && !lost {
            let delay = self.delay();
            self.at(now + delay, server, Event::Arrives(request, doing));
        }
    }

    fn delay(&mut self) -> Time {
        match self.seed.below(100) {
            0..4 if self.is_trouble() => self.seed.between(1_000, 60_000),
            _ => self.seed.between(1, 150),
        }
    }

    /// A request comes to the storage.
    fn arrive(&mut self, server: usize, request: u64, doing: Doing) -> Result<(), String> {
        let answer = match doing {
            Doing::Nothing => return Ok(()),
            Doing::Looking(_) => Ok(Answer::Looked(self.stored())),
            Doing::Writing(write) => {
                let bytes = serde_json::to_vec(&write.body).unwrap();
                let mode = match write.mode {
                    _ if self.broken == Broken::Unconditional => PutMode::Overwrite,
                    mode => mode,
                };
                let options = PutOptions {
                    mode,
                    ..PutOptions::default()
                };
                let path = path();
                let put = self.store.put_opts(&path, bytes.into(), options);
                match put.now_or_never().unwrap() {
                    Ok(put) => {
                        self.judge_terms(&write.body)?;
                        Ok(Answer::Written(put.into()))
                    }
                    Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => Err(()),
                    Err(other) => return Err(other.to_string()),
                }
            }
        };
        let lost =
            self.is_trouble() && (self.seed.percent(3) || self.servers[server].cut_off_until > self.now);
        if !lost {
            let delay = self.delay();
            self.at(self.now + delay, server, Event::Answered(request, answer));
        }
        Ok(())
    }

    fn stored(&self) -> Option<(UpdateVersion, Body)> {
        let path = path();
        let found = self
            .store
            .get_opts(&path, GetOptions::new())
            .now_or_never()
            .unwrap()
            .ok()?;
        let version = UpdateVersion {
            e_tag: found.meta.e_tag,
            version: None,
        };
        let bytes = self.store.get(&path).now_or_never().unwrap().ok()?;
        let bytes = bytes.bytes().now_or_never().unwrap().unwrap();
        Some((version, serde_json::from_slice(&bytes).unwrap()))
    }

    /// A term is that of one who holds it, and each is one more than the one before.
    fn judge_terms(&mut self, body: &Body) -> Result<(), String> {
        let due = match &self.last {
            None => 1,
            Some(last) if body.instance.is_none() => last.holder.term,
            // Prolonged, or taken again by the one for whom it had run out.
            Some(last) if last.instance == body.instance => {
                body.holder.term.clamp(last.holder.term, last.holder.term + 1)
            }
            Some(last) => last.holder.term + 1,
        };
        // One that is given away and taken back by the same changes no hands.
        let taken_back = self
            .last
            .as_ref()
            .is_some_and(|last| last.instance.is_none() && last.holder == body.holder);
        if body.holder.term != due && !taken_back {
            return Err(format!("term {} where {due} was due", body.holder.term));
        }
        let changes_hands = |last: &Body| last.instance != body.instance && last.holder.term < due;
        self.changes += u64::from(self.last.as_ref().is_none_or(changes_hands));
        self.last = Some(body.clone());
        Ok(())
    }

    fn answered(&mut self, server: usize, answer: Result<Answer, ()>) {
        let (now, broken) = (self.now, self.broken);
        let one = &mut self.servers[server];
        let clock = one.clock(now);
        one.request = 0;
        let doing = std::mem::replace(&mut one.doing, Doing::Nothing);
        match (doing, answer) {
            (Doing::Writing(mut write), Ok(Answer::Written(version))) => {
                if broken == Broken::FromTheAnswer {
                    write.asked = clock;
                }
                one.state.done(&write, version, clock);
                one.renewed = write.asked;
            }
            (Doing::Writing(_), Err(())) => return self.send(server, Doing::Looking(false)),
            (Doing::Looking(take), Ok(Answer::Looked(found))) => {
                let written = found.as_ref().and_then(|(_, body)| self.sent.get(&body.token));
                let age = written.map(|written| now.cast_signed() + one.off_by - written);
                one.state.looked(
                    found.map_or(Looked::Nothing, |(version, body)| Looked::At(version, body)),
                    clock,
                );
                let mut judged_at = clock;
                if broken == Broken::TimesOfDay && age.is_some_and(|age| age > 30_000) {
                    judged_at += Duration::from_secs(1_000);
                }
                if take && let Some(mut write) = one.state.take(judged_at) {
                    write.asked = clock;
                    one.renewed = clock;
                    return self.send(server, Doing::Writing(write));
                }
            }
            _ => {}
        }
        self.tick_later(server);
    }

    pub(super) fn holder(&self) -> Option<usize> {
        (0..SERVERS).find(|server| self.servers[*server].holds(self.now))
    }
}
