//! Documents in YAML, and what holds of those of Kubernetes.

use serde::Deserialize as _;
use serde_json::Value;

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
