//! What is in backups.

use serde_json::json;
use utoipa::ToSchema;

use super::super::operation::{Callers, JSON, Operation};
use super::backups::SEALED;
use super::{ID_OR_LATEST, paged, znode_path};
use crate::api;
use crate::openapi::words::Truth;

const TAG: &str = "Znodes";
const NO_ZNODE: &str = "`backup_not_found`, `znode_not_found`.";

pub(super) fn operations() -> Vec<Operation> {
    let path = "The path of a znode.";
    let named = |example: &str| json!({ "type": "string", "minLength": 1, "examples": [example] });
    vec![
        paged(
            Operation::get("listZnodes", "/listbackups/{id}/znodes", Callers::Known),
            1_000,
            100_000,
        )
        .says(
            TAG,
            "List the children of a znode",
            "No more than take 8 MiB; go on at `offset` plus the number that came.",
        )
        .at_latest()
        .needs("path", znode_path(), path)
        .query_as::<Truth>("data", "With their data and ACLs.")
        .answers::<api::Znodes>(200, "Some of them.")
        .refuses(404, NO_ZNODE)
        .refuses(409, SEALED),
        Operation::get("readZnode", "/listbackups/{id}/znode", Callers::Known)
            .says(
                TAG,
                "Read a znode",
                "With `live` for the id as it is in ZooKeeper now.",
            )
            .at("id", "The id of a backup, `latest`, or `live`.")
            .needs("path", znode_path(), path)
            .answers_as_it_is::<api::Znode>()
            .refuses(404, NO_ZNODE)
            .refuses(409, SEALED)
            .refuses(
                502,
                "`zookeeper_failed`: ZooKeeper does not answer, or does not show it.",
            ),
        paged(
            Operation::get("znodeHistory", "/history", Callers::Known),
            20,
            100,
        )
        .says(
            TAG,
            "Follow a znode through the backups",
            "`limit` and `offset` count backups.",
        )
        .needs("path", znode_path(), path)
        .answers::<api::History>(200, "The backups in which it was another than in the one before."),
        paged(Operation::get("diff", "/diff", Callers::Known), 1_000, 100_000)
            .says(
                TAG,
                "Compare two backups, or one with ZooKeeper",
                "Znodes below `/zookeeper` are left out.",
            )
            .needs("from", named("latest"), ID_OR_LATEST)
            .needs("to", named("live"), "The same, or `live`.")
            .answers::<api::Diff>(200, "How many differ, and some of them.")
            .refuses(404, "`backup_not_found`.")
            .refuses(409, SEALED)
            .refuses(502, "`zookeeper_failed`: ZooKeeper does not answer."),
    ]
}

impl Operation {
    /// With its data and its ACL; or its data alone.
    fn answers_as_it_is<T: ToSchema>(mut self) -> Self {
        let schema = self.refer::<T>();
        let content = json!({ JSON: { "schema": schema }, "application/octet-stream": {} });
        let about = "With its data and its ACL; its data alone as `application/octet-stream`, where `Accept` names that.";
        self.answers_by(200, about, content)
    }
}
