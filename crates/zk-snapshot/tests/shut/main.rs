//! Znodes that a restore has to open, wherever it ends or loses its connection: what stays is as it was, what it began is known, and
//! each change is counted once. And what has no other place than a report: it is said.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod above;
mod counted;
mod elsewhere;
mod ground;
mod identities;
mod low;
mod opened;
mod refused;
mod rounds;
mod taken_over;
mod theirs;
mod without_acls;
