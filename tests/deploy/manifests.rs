//! Manifests of Kubernetes, and the values of the chart.

use serde::Deserialize as _;
use serde_json::Value;

use crate::read;

/// The documents of a file.
pub(crate) fn parse(text: &str) -> Vec<Value> {
    let documents = yaml_serde::Deserializer::from_str(text).map(|one| Value::deserialize(one).unwrap());
    documents.filter(|one| !one.is_null()).collect()
}

pub(crate) fn of_kind<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    let mut found = documents.iter().filter(|one| one["kind"] == kind);
    found.next().unwrap_or_else(|| panic!("there is no {kind}"))
}

/// The setting that the server is given.
pub(crate) fn setting<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    let all = container["env"].as_array().unwrap();
    all.iter().find(|one| one["name"] == name)?["value"].as_str()
}

/// What holds of every pod.
pub(crate) fn assert_hardened(documents: &[Value]) {
    let pod = &of_kind(documents, "StatefulSet")["spec"]["template"]["spec"];
    assert_eq!(pod["enableServiceLinks"], false);
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    let context = &container["securityContext"];
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]));
    let scheme = &container["livenessProbe"]["httpGet"]["scheme"];
    for (probe, path) in [
        ("startupProbe", "/health/live"),
        ("livenessProbe", "/health/live"),
        ("readinessProbe", "/health/ready"),
    ] {
        let request = &container[probe]["httpGet"];
        assert_eq!((&request["path"], &request["scheme"]), (&path.into(), scheme));
    }
    let grace: u64 = setting(container, "SHUTDOWN_GRACE").unwrap().parse().unwrap();
    assert!(grace < pod["terminationGracePeriodSeconds"].as_u64().unwrap());
    // The server makes its storage below the volume, which is all that it may write.
    let storage = setting(container, "STORAGE").unwrap();
    for mount in container["volumeMounts"].as_array().unwrap() {
        let is_storage = mount["name"] == "storage";
        let path = mount["mountPath"].as_str().unwrap();
        assert_eq!(storage.starts_with(&format!("{path}/")), is_storage);
        assert_eq!(mount["readOnly"] == true, !is_storage);
    }
}

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
