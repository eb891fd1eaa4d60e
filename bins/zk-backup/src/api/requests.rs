//! What is asked for, as it goes over the wire. What is not said is left to the server.

use std::collections::BTreeMap;

use serde::Serialize;

/// `POST /backup`.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct BackupRequest {
    pub mode: &'static str,
    pub allow_eviction: bool,
    pub allow_partial: bool,
    /// None for everything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dbs: Vec<String>,
}

/// `POST /restore`.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)] // the fields are those of docs/API.md
pub(crate) struct RestoreRequest {
    pub vault: String,
    pub dry_run: bool,
    /// None for everything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dbs: Vec<String>,
    #[serde(rename = "changeDbNames", skip_serializing_if = "BTreeMap::is_empty")]
    pub renames: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raise_epoch: Option<RaiseEpoch>,
    /// Told only where it is wanted: older servers do not know it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub backup_first: bool,
}

/// Above what the epoch of a restore by files begins.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub(crate) enum RaiseEpoch {
    /// True: above every one that is known.
    Known(bool),
    /// Above this one too.
    Given(u32),
}
