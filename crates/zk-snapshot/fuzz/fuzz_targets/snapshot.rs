//! Any bytes are read as a snapshot, packed or not, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_snapshot::Handout;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(handout) = Handout::read("snapshot.1", 1, bytes.to_vec()) {
        let _ = handout.into_gathered();
    }
});
