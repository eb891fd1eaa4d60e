//! What the benchmark is made of.

pub(crate) mod load;
pub(crate) mod table;
