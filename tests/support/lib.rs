//! Real ZooKeeper and S3 servers and a browser for the end-to-end suites: found or fetched, started on free loopback ports in their
//! own temporary directory, and ended by their own process handle whatever the test's outcome.

mod browser;
mod daemon;
mod distribution;
mod documents;
mod ensemble;
mod exposition;
mod http;
mod ports;
mod programs;
mod proxy;
mod raw;
mod receiver;
mod s3;
mod server;
mod walk;

pub use browser::{Browser, BrowserError};
pub use daemon::{Daemon, DaemonError, PASSWORD, USER};
pub use distribution::{Distribution, LocateError};
pub use documents::{assert_shown, blocks};
pub use ensemble::Ensemble;
pub use exposition::{Broken, Exposition};
pub use http::{Answer, Http};
pub use ports::Port;
pub use programs::{copy_program, write_script};
pub use proxy::Proxy;
pub use raw::set_raw_acl;
pub use receiver::{Received, Receiver};
pub use s3::{BUCKET, KEY_ID, KEY_SECRET, S3Error, S3Server, S3Setup};
pub use server::{SUPER_DIGEST, SUPER_PASSWORD, Setup, StartError, ZooKeeper};
pub use walk::Walk;
