//! What clients of the predecessor call.

use serde_json::json;

use super::super::operation::{Callers, Operation};
use super::ID;
use crate::{api, body};

const TAG: &str = "Predecessor";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::post("backupV1", "/api/v1/backup")
            .says(TAG, "Back up", "")
            .takes::<body::v1::BackupBody>(true)
            .answers::<api::JobV1>(200, "The job."),
        Operation::get("backupStatusV1", "/api/v1/backup/{id}", Callers::Readers)
            .says(TAG, "Look at a backup", "")
            .at("id", ID)
            .query("blobPath", json!({ "type": "string" }), "Not looked at.")
            .answers::<api::JobV1>(200, "The job, or what there is of it.")
            .refuses(404, "`backup_not_found`."),
        Operation::delete("removeV1", "/api/v1/backup/{id}")
            .says(TAG, "Remove a backup", "")
            .at("id", ID)
            .query("blobPath", json!({ "type": "string" }), "Told again.")
            .answers::<api::RemovedV1>(200, "It is removed.")
            .refuses(404, "`backup_not_found`.")
            .refuses(409, "`backup_in_use`, `backup_retained`."),
        Operation::post("restoreV1", "/api/v1/restore/{id}")
            .says(TAG, "Restore", "")
            .at("id", ID)
            .takes::<body::v1::RestoreBody>(true)
            .answers::<api::JobV1>(200, "The job.")
            .refuses(404, "`backup_not_found`.")
            .refuses(409, "`backup_in_use`, `backup_sealed`."),
        Operation::get("restoreStatusV1", "/api/v1/restore/{id}", Callers::Readers)
            .says(TAG, "Look at a restore", "")
            .at("id", "The id of the restore.")
            .query("blobPath", json!({ "type": "string" }), "Not looked at.")
            .answers::<api::JobV1>(200, "The job.")
            .refuses(404, "`job_not_found`."),
        Operation::delete("forgetRestoreV1", "/api/v1/restore/{id}")
            .says(
                TAG,
                "Be done with a restore",
                "Its record stays all the same, with those of other jobs: it tells what was changed.",
            )
            .at("id", "The id of the restore.")
            .query("blobPath", json!({ "type": "string" }), "Told again.")
            .answers::<api::ForgottenV1>(200, "It has ended.")
            .refuses(404, "`job_not_found`.")
            .refuses(409, "`backup_in_use`: it has not ended."),
        incremental(Operation::get(
            "incrementalGet",
            "/incremental/{path}",
            Callers::Readers,
        )),
        incremental(Operation::post("incrementalPost", "/incremental/{path}")),
    ]
}

fn incremental(operation: Operation) -> Operation {
    operation
        .says(TAG, "Be told what to use instead of incremental backups", "")
        .at("path", "Anything.")
        .refuses(
            501,
            "`not_incremental`: each backup is whole, and a restore writes only what differs.",
        )
}
