//! Backups that go away and come back.

use serde_json::{Value, json};

use super::super::operation::{Callers, Operation};
use super::ID;
use crate::openapi::words::Truth;
use crate::{api, body};

const TAG: &str = "Exchange";

pub(super) fn operations() -> Vec<Operation> {
    let kind = || json!({ "type": "string", "enum": ["full", "granular"] });
    let mut upload = Operation::post("upload", "/restore/backup")
        .says(
            TAG,
            "Take a backup in",
            "An archive that another server, or this one, has handed out. Refused whole if anything is off. \
             `type` and `allow_overwriting` may be in the query or in the form.",
        )
        .query(
            "type",
            kind(),
            "What the backup must be: `full` unless it is said.",
        )
        .query_as::<Truth>(
            "allow_overwriting",
            "A backup with the same id is removed for it.",
        );
    let truth = upload.refer::<Truth>();
    vec![
        Operation::get("download", "/backup/{id}", Callers::Operator)
            .says(
                TAG,
                "Download a backup",
                "A zip archive of its files. Decrypted where the server can.",
            )
            .at("id", ID)
            .answers_by(
                200,
                "The archive.",
                json!({ "application/zip": { "schema": {} } }),
            )
            .knows_backups()
            .refuses(409, "`backup_in_use`: it is not finished."),
        Operation::get("links", "/backup/s3/{id}", Callers::Operator)
            .says(
                TAG,
                "Link to the files of a backup in a bucket",
                "Anybody can read by these links.",
            )
            .at("id", ID)
            .query(
                "expiration",
                json!({ "type": "integer", "minimum": 1, "maximum": 604_800 }),
                "For so many seconds they hold: an hour unless it is said.",
            )
            .answers::<api::Links>(
                200,
                "Links by the names of files; a list of links where it is said how long they are to hold.",
            )
            .knows_backups()
            .refuses(400, "`no_links`: backups are in no bucket. `invalid_request`."),
        upload
            .takes_content(
                true,
                json!({ "multipart/form-data": { "schema": form(&kind(), &truth) } }),
            )
            .answers_json(200, "A text that names the backup.", json!({ "type": "string" }))
            .refuses(409, "`backup_exists`, `backup_in_use`."),
        Operation::post("restoreExternal", "/external/restore")
            .says(
                TAG,
                "Restore from a directory",
                "Takes the backup in a directory below `EXTERNAL_ROOT` in, and restores it.",
            )
            .takes::<body::RestoreBody>(true)
            .answers_id("The id of the job.")
            .refuses(404, "`backup_not_found`: none is named.")
            .refuses(409, "`backup_exists`, `backup_in_use`, `backup_sealed`."),
    ]
}

fn form(kind: &Value, truth: &Value) -> Value {
    json!({
        "type": "object", "required": ["file"], "additionalProperties": false,
        "properties": {
            "file": { "type": "string", "contentMediaType": "application/zip", "description": "The archive. If its name is an id, that of the backup must be the same." },
            "type": kind,
            "allow_overwriting": truth,
        },
    })
}
