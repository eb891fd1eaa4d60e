//! End-to-end suites against real ZooKeeper servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod access;
mod agents;
mod api;
mod browse;
mod claims;
mod consistency;
mod counters;
mod crashes;
mod damaged_files;
mod elections;
mod engine_faults;
mod ensembles;
mod faults;
mod known_acls;
mod limits;
mod live;
mod quotas;
mod readme;
mod recovery;
mod round_trip;
mod secured;
mod shapes;
mod state_sources;
mod transactional;
mod whole_tree;
