//! The `zk-backup` command line, in parts that can be tested: what is typed (`args`), which server or storage is meant
//! (`settings`), how it is asked (`api`; `local` where there is no server), a file for each command, and how answers are
//! written (`text`).

mod api;
mod args;
mod commands;
mod exit;
mod interrupt;
mod jobs;
mod local;
mod run;
mod settings;
mod text;

pub use args::{Cli, Command, Global};
pub use exit::{Exit, Failure};
pub use interrupt::listen;
pub use run::run;
pub use text::{Screen, tell};
