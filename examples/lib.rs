//! The examples of zk-backup: run them with `cargo run --release --example <name>`.
