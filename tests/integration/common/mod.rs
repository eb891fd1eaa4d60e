//! What the suites share. They import from here, and nothing from one another.

pub(crate) mod aliases;
pub(crate) mod buckets;
pub(crate) mod cli;
pub(crate) mod clients;
pub(crate) mod daemons;
pub(crate) mod group;
pub(crate) mod operator;
pub(crate) mod predecessor;
pub(crate) mod servers;
pub(crate) mod snapshots;
pub(crate) mod stand_in;
pub(crate) mod terminal;
pub(crate) mod tls;
pub(crate) mod trees;
pub(crate) mod writers;

/// Makes two tests of an `async fn(Driver)`, `batched` and `plain`, in a module of its name.
macro_rules! by_each_adapter {
    ($test:ident) => {
        mod $test {
            use backup_engine::Driver;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn batched() {
                super::$test(Driver::Batched).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn plain() {
                super::$test(Driver::Plain).await;
            }
        }
    };
}
pub(crate) use by_each_adapter;
