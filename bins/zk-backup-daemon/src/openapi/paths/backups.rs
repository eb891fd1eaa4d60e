//! Backups and restores.

use serde_json::json;

use super::super::operation::{Callers, Operation};
use super::{ID, paged, znode_path};
use crate::openapi::words::{Milliseconds, Truth};
use crate::{api, body};

const TAG: &str = "Backups";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::post("backup", "/backup")
            .says(TAG, "Back up", "Queues a backup. Its id is that of its job.")
            .takes::<body::BackupBody>(false)
            .answers_id("The id of the backup."),
        Operation::get("listBackups", "/listbackups", Callers::Readers)
            .says(
                TAG,
                "List backups",
                "Finished ones, failed ones too, oldest first.",
            )
            .answers_json(
                200,
                "Ids.",
                json!({ "type": "array", "items": { "type": "string" } }),
            ),
        Operation::get("describeBackup", "/listbackups/{id}", Callers::Readers)
            .says(TAG, "Describe a backup", "Also while it waits or is written.")
            .at_latest()
            .answers::<api::Backup>(200, "What is known of it.")
            .knows_backups(),
        find(),
        Operation::get("backupLog", "/listbackups/{id}/log", Callers::Known)
            .says(
                TAG,
                "Read the log of a backup",
                "The first 8 MiB of what its job said.",
            )
            .at_latest()
            .answers_by(
                200,
                "Its lines.",
                json!({ "text/plain": { "schema": { "type": "string" } } }),
            )
            .knows_backups()
            .refuses(409, SEALED),
        pin("pin", "/listbackups/{id}/pin").says(TAG, "Pin a backup", "No policy evicts it then."),
        pin("unpin", "/listbackups/{id}/unpin").says(TAG, "Take a pin away", ""),
        Operation::post("restore", "/restore")
            .says(
                TAG,
                "Restore",
                "Queues a restore, or a dry run of one, which tells what would be done.",
            )
            .takes::<body::RestoreBody>(true)
            .answers_id("The id of the job.")
            .refuses(
                404,
                "`backup_not_found`: there is no such backup, or none is named.",
            )
            .refuses(
                409,
                "`backup_in_use`; `backup_sealed`: no identity is here that opens it.",
            ),
        Operation::post("evictOne", "/evict/{id}")
            .says(TAG, "Remove a backup", "Pinned or not.")
            .at("id", ID)
            .query_as::<Truth>("dry_run", "Removes nothing. In the query or in the body.")
            .takes::<body::EvictBody>(false)
            .evicts()
            .knows_backups()
            .refuses(
                409,
                "`backup_in_use`: a job needs it. `backup_retained`: its bucket keeps it for now.",
            ),
    ]
}

/// Why a backup cannot be looked into.
pub(super) const SEALED: &str = "`backup_sealed`: it is encrypted, and no identity is here that opens it.";

/// By a time as other reads; by a znode as what hands out data.
fn find() -> Operation {
    let mut find = Operation::get("find", "/find", Callers::Readers)
        .says(
            TAG,
            "Find a backup by its time, or those that have a znode",
            "With `ts`, which may be in a JSON body instead: the first good backup at or after it. With `path`: the backups \
             that have that znode, newest first; `limit` and `offset` count backups, and credentials are asked for wherever there are some.",
        )
        .query_as::<Milliseconds>("ts", "ms since the Unix epoch.")
        .query("path", znode_path(), "The path of a znode.");
    let either = [find.refer::<api::Backup>(), find.refer::<api::Finds>()];
    paged(find, 20, 100)
        .answers_json(
            200,
            "What is known of the backup, or of the znode in each.",
            json!({ "anyOf": either }),
        )
        .knows_backups()
        .takes_time()
}

fn pin(name: &str, path: &'static str) -> Operation {
    Operation::post(name, path)
        .at("id", ID)
        .takes::<body::NoBody>(false)
        .answers::<api::Backup>(200, "What is known of it then.")
        .knows_backups()
        .refuses(409, "`backup_in_use`: it is not finished.")
}

impl Operation {
    /// A text; the plan in a dry run.
    pub(super) fn evicts(mut self) -> Self {
        let plan = self.refer::<api::Eviction>();
        let schema = json!({ "oneOf": [{ "type": "string" }, { "type": "array", "items": plan }] });
        let about = "What was done, as a text; in a dry run what would become of each.";
        self.answers_json(200, about, schema)
    }
}
