//! What to capture, and how.

use std::sync::Arc;

use super::AclIndex;
use crate::tree::ZnodePath;

/// What to capture, and how.
#[derive(Debug, Clone)]
pub struct CaptureOptions {
    /// The subtrees wanted; none means the whole tree.
    pub roots: Vec<ZnodePath>,
    /// How often what changed meanwhile is read again before the capture is called fuzzy; 0 walks once.
    pub rounds: u32,
    /// ACLs that are known from an earlier backup of the same ensemble.
    pub known_acls: Option<Arc<AclIndex>>,
    /// A server that shows more znodes is not believed: what it shows may have no end, and each takes memory.
    pub most_znodes: usize,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            rounds: 200,
            known_acls: None,
            most_znodes: 1 << 26,
        }
    }
}
