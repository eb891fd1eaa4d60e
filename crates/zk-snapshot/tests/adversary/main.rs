//! Captures and restores of a model of ZooKeeper, in which an adversary acts between any two requests.
//!
//! `ADVERSARY_CASES` says how many cases are tried; `docs/TESTING.md` has more.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod acts;
mod capturing;
mod case;
mod exposure;
mod found;
mod outcome;
mod scope;
mod touching;
