//! How things are written for people.

mod bar;
mod clean;
mod human;
mod screen;
mod table;

pub(crate) use bar::Bar;
pub(crate) use clean::{clean, clean_json, clean_text};
pub(crate) use human::{age, bytes, count, date, exact, parse_time, percent, spent};
pub(crate) use screen::Look;
pub use screen::{Screen, tell};
pub(crate) use table::Table;
