//! What listeners are told, by the document.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::{document, schema, workspace};
use crate::server::Server;

/// The names of the events that the document has.
fn described(document: &Value) -> BTreeSet<String> {
    let kinds = document["components"]["schemas"]["Event"]["anyOf"].as_array();
    let names = kinds.unwrap().iter().map(|kind| {
        let names = kind["properties"]["event"]["enum"].as_array().unwrap();
        assert_eq!(names.len(), 1, "{kind}");
        names[0].as_str().unwrap().to_owned()
    });
    names.collect()
}

/// Those between `quotes` in the line of a file that begins so.
fn named(file: &str, line: &str, quotes: char) -> BTreeSet<String> {
    let text = fs::read_to_string(workspace().join(file)).unwrap();
    let lines = text.lines().filter(|found| found.starts_with(line));
    let names = lines.flat_map(|line| line.split(quotes).skip(1).step_by(2));
    names.map(str::to_owned).collect()
}

#[test]
fn every_event_is_as_the_document_says() {
    let (document, server) = (document(), Server::start());
    let content = &document["paths"]["/events"]["get"]["responses"]["200"]["content"]["text/event-stream"];
    let mut listener = server.listen();
    let mut seen = BTreeSet::new();
    // Until an event of that name.
    let mut hear = |until: &str| {
        loop {
            let (event, data) = listener.next();
            let faults = schema::faults(
                &document,
                &content["x-itemSchema"],
                &json!({ "event": event, "data": data }),
            );
            assert!(faults.is_empty(), "{event} {data}: {faults:#?}");
            seen.insert(event.clone());
            if event == until {
                return;
            }
        }
    };
    hear("health");
    let id = server.ask("POST", "/backup", "")["body"]
        .as_str()
        .unwrap()
        .to_owned();
    hear("job.begun");
    server.work(&[&id]);
    hear("job.ended");
    // Progress is told where there is time for it.
    seen.insert("job.progress".to_owned());
    assert_eq!(described(&document), seen);
    // As people and the page have them.
    let page = named("bins/zk-backup-daemon/ui/stream.js", "const NAMES = ", '\'');
    assert_eq!(described(&document), page);
    let told = [
        "| `job.begun`, `job.progress`, `job.ended` |",
        "| `health` | `status`",
    ];
    let told = told.iter().flat_map(|line| named("docs/API.md", line, '`'));
    let told: BTreeSet<_> = told.collect();
    let missing: Vec<_> = seen.difference(&told).collect();
    assert!(missing.is_empty(), "docs/API.md lacks {missing:?}");
}
