//! Weeks in a policy of retention.

use serde_json::{Value, json};

use crate::server::Server;

/// The full backups of the golden vaults: of a Tuesday in summer, a Friday, the Sunday after, and a Tuesday. It is the Wednesday after that.
const FULL: [&str; 4] = [
    "20260901T000000",
    "20261120T000000",
    "20261122T000000",
    "20261124T000000",
];

fn listed(server: &Server) -> Vec<Value> {
    let ids = server.ask("GET", "/listbackups", "")["body"].clone();
    let ids = ids.as_array().unwrap().iter();
    ids.filter(|id| FULL.iter().any(|full| *full == **id))
        .cloned()
        .collect()
}

#[test]
fn a_week_is_seven_days_and_begins_on_monday() {
    let server = Server::start();
    let [summer, friday, sunday, tuesday] = FULL;
    let planned = |policy: &str| {
        let body = json!({ "fullEvictionPolicy": policy }).to_string();
        let plan = server.ask("POST", "/evictionpolicy?dry_run=true", &body);
        let plan = plan["body"].as_array().unwrap().clone();
        let evicted = plan.into_iter().filter(|one| one["action"] == "evict");
        evicted.map(|one| one["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(planned("1w/delete"), [summer]);
    // Of the Friday and the Sunday, which are in one week, the newer stays.
    assert_eq!(planned("0/1w"), [friday]);
    for (weeks, days) in [("1w/delete", "7d/delete"), ("0/1w", "0/7d"), ("1w/2w", "7d/14d")] {
        assert_eq!(planned(weeks), planned(days), "{weeks}");
    }

    let set = server.ask(
        "POST",
        "/evictionpolicy",
        r#"{"fullEvictionPolicy": "0/1w,1w/delete"}"#,
    );
    assert_eq!(set["body"], "Ok: the next eviction removes 2 good backups by it");
    let told = server.ask("GET", "/evictionpolicy", "")["body"]["fullEvictionPolicy"].clone();
    assert_eq!(told["policy"], "0/1w,1w/delete");
    assert_eq!(listed(&server), FULL);
    assert_eq!(server.ask("POST", "/evict", "")["status"], 200);
    assert_eq!(listed(&server), [sunday, tuesday]);
}
