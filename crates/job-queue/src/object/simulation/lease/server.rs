//! A simulated server: its clock, what has befallen it, and what it is doing about the lease.

use std::time::Duration;

use super::super::Seeded;
use crate::object::lease::state::{LeaseState, LeaseTiming, Written};

/// Times of the world, in milliseconds.
pub(super) type Time = u64;

pub(super) struct Server {
    pub(super) state: LeaseState,
    /// Thousandths of the world's time that pass here in a millisecond, and what its clock showed in the beginning.
    pub(super) rate: u64,
    pub(super) began_at: u64,
    /// How much the time of day is off, in milliseconds.
    pub(super) off_by: i64,
    pub(super) paused_until: Time,
    pub(super) cut_off_until: Time,
    pub(super) is_dead: bool,
    /// The term in which it held it last, and that in which it has found that it did no more.
    pub(super) held_in: u64,
    pub(super) over: u64,
    pub(super) request: u64,
    pub(super) doing: Doing,
    pub(super) renewed: Duration,
}

#[derive(Clone)]
pub(super) enum Doing {
    Nothing,
    /// Looking, and taking it then if that is to be.
    Looking(bool),
    Writing(Written),
}

pub(super) fn timing() -> LeaseTiming {
    LeaseTiming::default()
}

impl Server {
    pub(super) fn new(seed: &mut Seeded, number: usize) -> Self {
        Self {
            state: LeaseState::new(&format!("s{number}"), "", timing()),
            rate: seed.between(950, 1_050),
            began_at: seed.below(1 << 30),
            off_by: seed.below(240_000).cast_signed() - 120_000,
            paused_until: 0,
            cut_off_until: 0,
            is_dead: false,
            held_in: 0,
            over: 0,
            request: 0,
            doing: Doing::Nothing,
            renewed: Duration::ZERO,
        }
    }

    pub(super) fn clock(&self, now: Time) -> Duration {
        Duration::from_micros(self.began_at * 1_000 + now * self.rate)
    }

    pub(super) fn holds(&self, now: Time) -> bool {
        !self.is_dead && !self.state.remaining(self.clock(now)).is_zero()
    }
}
