//! Checks of what is stored.

use serde_json::json;

use super::super::operation::Operation;
use super::ID;
use crate::body;
use crate::openapi::words::Share;

const TAG: &str = "Checks";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::post("verify", "/verify")
            .says(
                TAG,
                "Verify all backups",
                "Reads them to the end, those first that were not verified for longest.",
            )
            .query_as::<Share>(
                "share",
                "Ends after so much of all bytes. In the query or in the body.",
            )
            .takes::<body::VerifyBody>(false)
            .answers_id("The id of the job."),
        Operation::post("verifyOne", "/verify/{id}")
            .says(TAG, "Verify a backup", "")
            .at("id", ID)
            .takes::<body::NoBody>(false)
            .answers_id("The id of the job.")
            .knows_backups(),
        Operation::post("restoreTest", "/restoretest/{id}")
            .says(
                TAG,
                "Restore a backup for a test",
                "Reads what was restored anew, and compares it with the backup znode by znode.",
            )
            .at("id", ID)
            .query(
                "in",
                json!({ "type": "string", "enum": ["memory", "ensemble"] }),
                "Where: the ensemble that is set for it, or memory without one, unless it is said.",
            )
            .takes::<body::NoBody>(false)
            .answers_id("The id of the job.")
            .knows_backups()
            .refuses(409, "`backup_sealed`: no identity is here that opens it."),
    ]
}
