//! What ends a runner's wait.

use std::sync::Arc;

use tokio::sync::Notify;

/// Tells a runner that there may be work. Clones wake the same runner.
#[derive(Debug, Clone, Default)]
pub struct Waker(Arc<Notify>);

impl Waker {
    /// Wakes the runner, or makes its next wait end at once.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Ends once the runner is woken.
    pub(super) async fn woken(&self) {
        self.0.notified().await;
    }
}
