//! What an ensemble's servers are like, and who may act between any two requests.

use super::ModelTree;

/// What differs between releases and settings of servers.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Whether no watch tells of a znode that its owner may not read (CVE-2024-23944).
    pub hides: bool,
    /// `jute.maxbuffer`: a request above it loses the connection.
    pub max_request: usize,
    /// In which order requests of several connections arrive.
    pub order: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            hides: true,
            max_request: 0xf_ffff,
            order: 0,
        }
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fate {
    /// The connection is lost: `true` after the request was carried out.
    pub cut: Option<bool>,
    /// So many attempts find no server afterwards.
    pub down: u8,
    /// The connection's server falls behind, or catches up. It never falls behind its own clients' writes.
    pub lags: Option<bool>,
    /// The client ends here: `true` after all that it has sent was carried out.
    pub kill: Option<bool>,
}

/// Acts before every request.
pub trait Meddler: Send {
    /// What happens before the request with this number is carried out, and what becomes of it.
    fn meddle(&mut self, request: u64, tree: &mut ModelTree) -> Fate;
}
