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
        if let Some(usage) = usage.ok().flatten() {
            assert!(usage.free_bytes <= usage.total_bytes, "{usage:?}");
            let inodes = usage.inodes.unwrap_or_default();
            assert!(inodes.free <= inodes.total, "{usage:?}");
        }
        let writable = probe.writable();
        assert!(writable.is_ok(), "{writable:?}");
    }
}

/// Runs the suite over the probe of this process. Panics at the first thing that does not hold.
pub fn process(probe: &dyn ProcessProbe) {
    let (first, second) = (probe.usage(), probe.usage());
    for usage in [first, second].into_iter().flatten() {
        assert!(
            usage.cpu_percent >= 0.0 && usage.cpu_percent.is_finite(),
            "{usage:?}"
        );
    }
    if let (Some(first), Some(second)) = (first, second) {
        assert!(second.uptime >= first.uptime, "a process does not get younger");
    }
}
