//! (e): a capture that says it is consistent is one moment.
