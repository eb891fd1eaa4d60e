//! ZooKeeper's digest of a znode; that of a tree is the sum of them.

use super::jute::Persisted;
use crate::tree::reserved;

/// As `DigestCalculator` has it: what the server keeps for itself below `/zookeeper` does not count.
pub(super) fn digest(path: &[u8], data: Option<&[u8]>, stat: &Persisted) -> u64 {
    if reserved::is_below(path) {
        return 0;
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(path);
    crc.update(data.unwrap_or_default());
    crc.update(&stat.for_digest());
    u64::from(crc.finalize())
}
