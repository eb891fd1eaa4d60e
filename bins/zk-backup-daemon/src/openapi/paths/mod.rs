//! Every operation, by what it is about.

mod backups;
mod checks;
mod exchange;
mod jobs;
mod predecessor;
mod retention;
mod server;
mod znodes;

use serde_json::{Value, json};

use super::operation::Operation;

/// The id of a backup.
const ID: &str = "The id of a backup, such as `20261123T140000`.";
/// The same where it is only read.
const ID_OR_LATEST: &str = "The id of a backup, or `latest`: the newest good one.";

impl Operation {
    /// A backup that is only read.
    fn at_latest(self) -> Self {
        self.at_one(
            "id",
            ID_OR_LATEST,
            json!({ "type": "string", "minLength": 1, "examples": ["latest"] }),
        )
    }
}

/// All of them.
pub(super) fn operations() -> Vec<Operation> {
    [
        backups::operations(),
        exchange::operations(),
        jobs::operations(),
        znodes::operations(),
        retention::operations(),
        checks::operations(),
        server::operations(),
        predecessor::operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The keys that choose a page: how many there are unless it is said, and at most.
fn paged(operation: Operation, usual: usize, most: usize) -> Operation {
    operation
        .query(
            "offset",
            json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX, "default": 0 }),
            "How many to pass over.",
        )
        .query(
            "limit",
            json!({ "type": "integer", "minimum": 1, "maximum": most, "default": usual }),
            "How many at most.",
        )
}

/// The schema of a znode's path.
fn znode_path() -> Value {
    json!({ "type": "string", "pattern": "^/([^/.][^/]*(/[^/.][^/]*)*)?$", "examples": ["/app/config"] })
}
