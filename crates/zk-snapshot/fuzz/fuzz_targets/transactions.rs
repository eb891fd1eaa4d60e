//! Any records are replayed over a small tree, or refused; what comes of it is written, and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| zk_snapshot::files::fuzzing::replay(bytes));
