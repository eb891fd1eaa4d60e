//! What every probe must do. Run it over a probe of your own in a test.
#![allow(clippy::missing_panics_doc)]

use crate::{ProcessProbe, StorageProbe};

/// Runs the suite over the probe of a storage that is there and can be written.
///
/// Panics at the first thing that does not hold.
pub fn storage(probe: &dyn StorageProbe) {
    for _ in 0..3 {
        let usage = probe.usage();
        assert!(usage.is_ok(), "{usage:?}");
        let usage = usage.unwrap_or_default();
        assert!(usage.free_space <= usage.total_space, "{usage:?}");
        assert!(
            usage.used_inodes + usage.free_inodes <= usage.total_inodes,
            "{usage:?}"
        );
        let writable = probe.writable();
        assert!(writable.is_ok(), "{writable:?}");
    }
}

/// Runs the suite over the probe of this process. Panics at the first thing that does not hold.
pub fn process(probe: &dyn ProcessProbe) {
    let first = probe.usage();
    let second = probe.usage();
    for usage in [first, second] {
        assert!(
            usage.cpu_percent >= 0.0 && usage.cpu_percent.is_finite(),
            "{usage:?}"
        );
    }
    assert!(
        second.uptime_seconds >= first.uptime_seconds,
        "a process does not get younger"
    );
}
