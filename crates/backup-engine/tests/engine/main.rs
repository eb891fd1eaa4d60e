//! The whole engine over a tree in memory, through what it offers to everybody, with stores that fail when they are told to.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod commits;
mod crashes;
mod histories;
mod holds;
mod ids;
mod queue;
mod standing;
mod support;
