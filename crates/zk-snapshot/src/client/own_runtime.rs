//! The runtime that a client library runs on: decision 2.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime that ends with what holds it. A bare one panics where it is dropped by async code, as a client is, or what was to become one.
pub(super) struct OwnRuntime {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl OwnRuntime {
    /// # Errors
    /// The machine has nothing left for it.
    pub(super) fn start(threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("zookeeper-client")
            .enable_all()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_may_end_where_nothing_may_block() {
        let runtime = OwnRuntime::start(1).unwrap();
        let running = runtime.handle().spawn(std::future::pending::<()>());
        drop(runtime);
        assert!(running.await.unwrap_err().is_cancelled());
    }
}
