//! The examples of zk-backup: run them with `cargo run --release --example <name>`.

/// The document's snippets, compiled.
#[cfg(doctest)]
#[doc = include_str!("../docs/EMBEDDING.md")]
struct Embedding;
