//! The alert rules and the dashboard.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::documents::parse;
use crate::read;

const PLACE: &str = "examples/deploy/grafana";

fn rules() -> Vec<Value> {
    let file = parse(&read(&format!("{PLACE}/rules.yaml"))).remove(0);
    file["groups"][0]["rules"].as_array().unwrap().clone()
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do() {
    let operations = read("docs/OPERATIONS.md");
    let headings: BTreeSet<_> = operations
        .lines()
        .filter_map(|line| line.strip_prefix("### ZkBackup"))
        .collect();
    let mut alerts = BTreeSet::new();
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap().to_owned();
        let annotations = &rule["annotations"];
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning"].contains(&severity), "{name}");
        assert!(!annotations["summary"].as_str().unwrap().is_empty(), "{name}");
        let book = annotations["runbook_url"].as_str().unwrap();
        let heading = format!("/docs/OPERATIONS.md#{}", name.to_lowercase());
        assert!(book.ends_with(&heading), "{name}: {book}");
        assert!(alerts.insert(name.strip_prefix("ZkBackup").unwrap().to_owned()));
    }
    assert_eq!(headings, alerts.iter().map(String::as_str).collect());
}

/// Rules that `promtool` does not see fire may never do.
#[test]
fn every_alert_fires_in_a_case_of_its_own() {
    let cases = parse(&read(&format!("{PLACE}/rules.test.yaml"))).remove(0);
    let mut fire_alone = BTreeSet::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for case in list(&cases["tests"]) {
        for asked in list(&case["promql_expr_test"]) {
            if let [sample] = &list(&asked["exp_samples"])[..] {
                let labels = sample["labels"].as_str().unwrap();
                let name = labels
                    .strip_prefix("{alertname=\"")
                    .and_then(|rest| rest.strip_suffix("\"}"));
                fire_alone.extend(name.filter(|_| sample["value"] == 1).map(str::to_owned));
            }
        }
    }
    let alerts = rules()
        .into_iter()
        .map(|rule| rule["alert"].as_str().unwrap().to_owned());
    assert_eq!(alerts.collect::<BTreeSet<_>>(), fire_alone);
}

#[test]
fn the_dashboard_is_one_that_can_be_found_again_and_asks_what_it_defines() {
    let text = read(&format!("{PLACE}/dashboard.json"));
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(dashboard["uid"], "zk-backup");
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: BTreeSet<_> = variables
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(variables, BTreeSet::from(["datasource", "job", "instance"]));
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let rows: Vec<_> = panels
        .iter()
        .filter(|panel| panel["type"] == "row")
        .map(|row| &row["title"])
        .collect();
    assert_eq!(rows, ["Alive", "Doing", "Wrong"]);
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array());
    let expressions = targets
        .flatten()
        .map(|target| target["expr"].as_str().unwrap())
        .collect::<Vec<_>>();
    assert!(expressions.len() > 20);
    for expression in expressions {
        let selected = expression
            .matches(r#"{job=~"$job",instance=~"$instance""#)
            .count();
        assert!(
            selected > 0 && selected == expression.matches('{').count(),
            "{expression}"
        );
    }
}
