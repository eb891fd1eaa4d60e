//! Manifests of Kubernetes, and the values of the chart.

use serde_json::Value;

use crate::documents::{assert_hardened, of_kind, parse};
use crate::read;

#[test]
fn the_plain_manifests_are_hardened() {
    let documents = parse(&read("examples/deploy/kubernetes/zk-backup.yaml"));
    assert_hardened(&documents);
    let set = of_kind(&documents, "StatefulSet");
    assert_eq!(set["spec"]["replicas"], 1);
    assert_eq!(
        set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"],
        30
    );
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    for service in documents.iter().filter(|one| one["kind"] == "Service") {
        assert_eq!(&service["spec"]["selector"], labels);
    }
    of_kind(&documents, "NetworkPolicy");
}

/// The schema knows every value and no other, and allows what is there.
#[test]
fn the_values_are_those_of_the_schema() {
    let values = parse(&read("examples/deploy/helm/zk-backup/values.yaml")).remove(0);
    let schema: Value =
        serde_json::from_str(&read("examples/deploy/helm/zk-backup/values.schema.json")).unwrap();
    let mut wrong = Vec::new();
    compare("", &values, &schema, &mut wrong);
    // Helm adds it.
    wrong.retain(|what| what != "global: it is no value");
    assert_eq!(wrong, [""; 0]);
}

fn compare(at: &str, value: &Value, schema: &Value, wrong: &mut Vec<String>) {
    let is_type = match &schema["type"] {
        Value::Null => schema["enum"].as_array().is_some_and(|all| all.contains(value)),
        allowed if allowed == "object" => value.is_object(),
        allowed if allowed == "array" => value.is_array(),
        allowed if allowed == "string" => value.is_string(),
        allowed if allowed == "integer" => value.is_u64(),
        allowed if allowed == "boolean" => value.is_boolean(),
        _ => false,
    };
    if !is_type {
        wrong.push(format!("{at}: {value} is not of its type"));
    }
    let (Some(fields), Some(value)) = (schema["properties"].as_object(), value.as_object()) else {
        return;
    };
    let of = |name: &str| {
        if at.is_empty() {
            name.to_owned()
        } else {
            format!("{at}.{name}")
        }
    };
    if schema["additionalProperties"] != false {
        wrong.push(format!("{at}: others are allowed"));
    }
    for name in fields.keys().filter(|name| !value.contains_key(*name)) {
        wrong.push(format!("{}: it is no value", of(name)));
    }
    for (name, value) in value {
        match fields.get(name) {
            Some(field) => compare(&of(name), value, field, wrong),
            None => wrong.push(format!("{}: the schema does not know it", of(name))),
        }
    }
}
