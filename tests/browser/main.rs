//! The web page in real Chromium, over a real ZooKeeper and the server as a process.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod apart;
mod bucket;
mod called_off;
mod focus;
mod hostile;
mod kit;
mod large;
mod late;
mod left_out;
mod looks;
mod overview;
mod policies;
mod predecessor;
mod several;
mod strangers;
mod swagger;
mod told;
mod tutorial;
mod walk;
