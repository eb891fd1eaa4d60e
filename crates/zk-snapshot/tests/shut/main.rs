//! Znodes that a restore has to open, wherever it ends or loses its connection: what stays is as it was, what it began is known, and
//! each change is counted once.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod counted;
mod ground;
mod opened;
mod taken_over;
mod without_acls;
