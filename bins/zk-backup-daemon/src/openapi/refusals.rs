//! What many operations answer: refusals, by the name that operations call them by.

use serde_json::{Value, json};

use super::operation::{JSON, error};

/// The answers that operations share.
pub(super) fn responses() -> Value {
    let refusal =
        |description: &str| json!({ "description": description, "content": { JSON: { "schema": error() } } });
    let later = |description: &str| {
        let mut refusal = refusal(description);
        refusal["headers"] = json!({
            "Retry-After": { "description": "Seconds; may be absent.", "schema": { "type": "string" } },
        });
        refusal
    };
    let mut unauthorized = refusal("`unauthorized`: credentials are missing or wrong.");
    unauthorized["headers"] = json!({
        "WWW-Authenticate": { "description": "Basic.", "schema": { "type": "string" } },
    });
    json!({
        "Invalid": refusal("`invalid_request`: the query or the body is not what is described here. An unknown key is refused too."),
        "Unauthorized": unauthorized,
        "Forbidden": refusal(
            "`read_only`: the credentials are those of a reader. `foreign_site`: a browser says that another site's page asks. \
             `foreign_host`: without credentials the server answers to addresses and names of its machine alone. \
             `refused`: it is turned off.",
        ),
        "NoBackup": {
            "description": "There is no such backup: a text, or `backup_not_found`.",
            "content": { JSON: { "schema": { "oneOf": [{ "type": "string" }, error()] } } },
        },
        "NoEndpoint": refusal("`no_such_endpoint`: there is no such path."),
        "WrongMethod": refusal("`method_not_allowed`: the path does not take this method."),
        "TooSlow": refusal("`body_too_slow`: the body did not come in time."),
        "TooLarge": refusal("`body_too_large`: the body is larger than is read."),
        "TooMany": later("`too_many_guesses`: too many wrong credentials came. `queue_full`: as many jobs wait as may."),
        "Failed": refusal("`storage_failed`, `internal`: the server's fault."),
        "NoAnswer": later("`leader_silent`: the server that leads has not answered, and may have done it. `zookeeper_failed`: ZooKeeper does not answer."),
        "Busy": later("`too_many_requests_at_once`. `no_leader`: of several servers none works just now, and nothing was done. `storage_moved`: the directory of the storage is not the one of the start, and nothing was done."),
    })
}
