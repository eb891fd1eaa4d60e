//! Jobs.

use serde_json::json;

use super::super::operation::{Callers, Operation, error};
use crate::{api, body};

const TAG: &str = "Jobs";
const ID: &str = "The id of a job, as it was answered when it was asked for.";

pub(super) fn operations() -> Vec<Operation> {
    let mut status = Operation::get("jobStatus", "/jobstatus/{id}", Callers::Readers)
        .says(TAG, "Look at a job", "")
        .at("id", ID)
        .answers::<api::Job>(200, "It was done.")
        .answers::<api::Job>(206, "It waits, or is being done.");
    let job = status.refer::<api::Job>();
    let mut events = Operation::get("events", "/events", Callers::Known);
    let event = events.refer::<api::Event>();
    vec![
        super::paged(Operation::get("listJobs", "/jobs", Callers::Readers), 100, 1_000)
            .says(
                TAG,
                "List jobs",
                "The one that was queued last comes first. What came of each is told of one alone.",
            )
            .answers::<api::Jobs>(200, "Some of them."),
        status
            .answers_json(
                500,
                "It failed, or was called off. Or `storage_failed`, `internal`.",
                json!({ "oneOf": [job, error()] }),
            )
            .answers::<api::NoJob>(404, "`job_not_found`: there is no such job."),
        events
            .says(
                TAG,
                "Listen to what jobs and health do",
                "Server-sent events, until the server ends. What happened before is not told, but for the jobs that are being done.",
            )
            .answers_by(
                200,
                "Events, each with its name and an object as its data: one after another as `x-itemSchema` says.",
                json!({ "text/event-stream": { "schema": { "type": "string" }, "x-itemSchema": event } }),
            ),
        Operation::post("terminate", "/terminate/{id}")
            .says(
                TAG,
                "Call a job off",
                "At once while it waits, at its next batch while it is being done.",
            )
            .at("id", ID)
            .takes::<body::NoBody>(false)
            .answers::<api::Terminated>(200, "It is, or will be, canceled.")
            .refuses(404, "`job_not_found`: there is no such job.")
            .refuses(406, "`job_ended`: it has ended already."),
    ]
}
