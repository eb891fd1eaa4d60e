//! Any bytes are read as a snapshot, packed or not, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_snapshot::files::fuzzing;

fuzz_target!(|bytes: &[u8]| fuzzing::hand_out(bytes.to_vec()));
