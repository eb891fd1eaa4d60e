//! The zk-backup server: `backup-engine` behind the REST API of `docs/API.md`.
//!
//! Settings come from the environment or from flags; [`serve`] takes a listener, an engine and a future that ends
//! it, so that tests and embedders run the whole server on a port of their own.
//!
//! ```
//! use std::net::TcpListener;
//! use std::sync::Arc;
//! use backup_engine::{Engine, MemoryEnsemble};
//! use zk_backup_daemon::{Access, ServeOptions, serve};
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! let engine = Engine::builder(Arc::new(MemoryEnsemble::new(Arc::default()))).build()?;
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let options = ServeOptions::new(Access::anonymous());
//! serve(listener, engine, options, async { /* ends at once */ }).await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod access;
mod answer;
mod api;
mod args;
mod assemble;
mod body;
mod bucket;
mod caller;
mod check;
mod cli;
mod config_file;
mod connections;
mod contact;
mod ensemble;
mod guesses;
mod hashes;
mod identity;
mod listening;
mod logging;
mod misspelt;
mod names;
mod notify;
mod openapi;
mod origins;
mod peers;
mod plain_http;
mod query;
mod repeated;
mod reread;
mod routes;
mod second_directory;
mod server;
mod settings;
mod start;
mod start_error;
mod summary;
mod tls;
mod truth;
mod watched;
mod webhook;

pub use access::{Access, Credentials};
pub use args::Args;
pub use assemble::{builder, builder_without_jobs};
pub use bucket::{AliasConfig, BucketConfig};
pub use check::check;
pub use cli::{Cli, Command};
pub use hashes::HashError;
pub use peers::{Peers, join};
pub use reread::Reread;
pub use server::{ServeOptions, serve};
pub use settings::{
    Checks, Encryption, Ha, LogFormat, Secondary, Settings, SettingsError, TestPlace, Webhook,
};
pub use start::run;
pub use start_error::StartError;
/// Gives memory back that glibc's allocator keeps: it halves the peak of a large restore. A program takes it as its
/// `#[global_allocator]`, as the server's own does.
#[cfg(feature = "jemalloc")]
pub use tikv_jemallocator::Jemalloc;
