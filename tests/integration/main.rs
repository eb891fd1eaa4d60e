//! End-to-end suites against real ZooKeeper servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod faults;
mod live;
mod round_trip;
