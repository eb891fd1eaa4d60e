//! The chart as helm makes it. `HELM` is the program: `HELM=helm cargo test -p zk-backup-testkit --test deploy -- --ignored`.

use std::ffi::OsString;
use std::fs;
use std::process::{Command, Output};

use crate::documents::{assert_hardened, of_kind, parse, setting};
use crate::{read, workspace};

const CHART: &str = "examples/deploy/helm/zk-backup";
/// A helm that was built from its sources alone takes a cluster for one that the chart is too new for.
const TEMPLATE: [&str; 5] = ["template", "zk-backup", CHART, "--kube-version", "1.31.0"];
const PLAIN: &str = "examples/deploy/kubernetes/zk-backup.yaml";
const KEY: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

fn helm(command: &[&str], more: &[&str]) -> Output {
    let program = std::env::var_os("HELM").unwrap_or_else(|| OsString::from("helm"));
    let output = Command::new(program)
        .args(command)
        .args(more)
        .current_dir(workspace())
        .output();
    output.expect("HELM is the program of helm 3 or newer")
}

fn rendered(more: &[&str]) -> String {
    let output = helm(&[&TEMPLATE[..], &["--namespace", "backups"]].concat(), more);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{more:?}: {err}");
    String::from_utf8(output.stdout).unwrap()
}

/// What only concerns helm is left out.
#[test]
#[ignore = "needs helm"]
fn the_plain_manifests_are_the_chart_as_it_comes() {
    let text = rendered(&["--values", "examples/deploy/kubernetes/values.yaml"]);
    let helms = ["# Source:", "helm.sh/chart:", "app.kubernetes.io/managed-by:"];
    let lines = text
        .lines()
        .filter(|line| !helms.iter().any(|of| line.trim_start().starts_with(of)));
    let found = lines.fold(
        String::from("# Made by the chart, as examples/deploy/README.md says.\n"),
        |text, line| text + line + "\n",
    );
    let path = workspace().join(PLAIN);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &found).unwrap();
    }
    assert_eq!(parse(&fs::read_to_string(path).unwrap()), parse(&found));
}

#[test]
#[ignore = "needs helm"]
fn whatever_is_asked_for_is_made_and_hardened() {
    let linted = helm(&["lint", "--strict", CHART], &[]);
    assert!(
        linted.status.success(),
        "{}",
        String::from_utf8_lossy(&linted.stdout)
    );
    assert_hardened(&parse(&rendered(&[])));

    let key = format!("encryption.recipients={{{KEY}}}");
    let everything = rendered(&[
        "--set",
        "replicas=2,s3.enabled=true,s3.bucket=backups,s3.prefix=prod,s3.url=https://minio:9000,s3.caSecret=minio-ca",
        "--set",
        &key,
        "--set",
        "encryption.identitySecret=identity,tls.secret=tls,tls.ca=true,zookeeper.tlsSecret=zookeeper-tls,shutdownGrace=40",
        "--set",
        "zookeeper.hosts=zk1:2181\\,zk2:2181/kafka,settings.BACKUP_SCHEDULE=0 3 * * *,settings.UPLOAD_LIMIT=17179869184",
        "--set",
        "secretValues.S3_KEY_ID=id,secretValues.S3_KEY_SECRET=secret,networkPolicy.enabled=true",
        "--set",
        "serviceMonitor.enabled=true,prometheusRule.enabled=true,prometheusRule.maxAge=7200,dashboard.enabled=true,podAnnotations.a=b,nodeSelector.disk=ssd,service.annotations.c=d",
    ]);
    let documents = parse(&everything);
    assert_hardened(&documents);
    let set = of_kind(&documents, "StatefulSet");
    assert_eq!(set["spec"]["replicas"], 2);
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["terminationGracePeriodSeconds"], 50);
    let container = &pod["containers"][0];
    for (name, value) in [
        ("ZOOKEEPER_HOST", "zk1:2181,zk2:2181/kafka"),
        ("HA", "true"),
        ("HA_ADDRESS", "https://$(POD_NAME).zk-backup-peers:8443"),
        ("HA_CA_FILE", "/etc/zk-backup/tls/ca.crt"),
        ("ENCRYPTION_RECIPIENTS", KEY),
        ("ENCRYPTION_IDENTITY_FILE", "/etc/zk-backup/identity/identity.txt"),
        ("S3_CERTS_PATH", "/etc/zk-backup/s3-ca/ca.crt"),
        ("BACKUP_SCHEDULE", "0 3 * * *"),
        ("UPLOAD_LIMIT", "17179869184"),
    ] {
        assert_eq!(setting(container, name), Some(value));
    }
    assert_eq!(container["livenessProbe"]["httpGet"]["scheme"], "HTTPS");
    assert_eq!(pod["volumes"].as_array().unwrap().len(), 5);
    for kind in [
        "PodDisruptionBudget",
        "NetworkPolicy",
        "ServiceMonitor",
        "PrometheusRule",
        "ConfigMap",
        "ServiceAccount",
    ] {
        of_kind(&documents, kind);
    }
    let secret = of_kind(&documents, "Secret");
    assert_eq!(
        secret["metadata"]["name"],
        pod["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["name"] == "secrets")
            .unwrap()["secret"]["secretName"]
    );
    let rules = of_kind(&documents, "PrometheusRule")["spec"]["groups"][0]["rules"].to_string();
    for expression in [
        r#"sum(zk_backup_leader{namespace=\"backups\",service=\"zk-backup\"}) == 0"#,
        "}) > 7200",
    ] {
        assert!(rules.contains(expression), "{rules}");
    }
    assert!(!rules.contains("job="), "{rules}");
    let dashboard = &of_kind(&documents, "ConfigMap")["data"]["zk-backup.json"];
    assert_eq!(
        dashboard.as_str().unwrap().trim_end(),
        read("examples/deploy/grafana/dashboard.json").trim_end()
    );
}

#[test]
#[ignore = "needs helm"]
fn buckets_by_name_are_in_a_file_of_a_secret() {
    let text = rendered(&[
        "--set",
        "replicas=2,aliases.existingSecret=buckets,s3.prefix=prod,networkPolicy.enabled=true",
    ]);
    let documents = parse(&text);
    assert_hardened(&documents);
    let pod = &of_kind(&documents, "StatefulSet")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    for (name, value) in [
        ("S3_ALIASES_USED", Some("true")),
        ("ALIASES_PATH", Some("/etc/zk-backup/aliases")),
        ("S3_PREFIX", Some("prod")),
        ("S3_ENABLED", None),
        ("HA", Some("true")),
    ] {
        assert_eq!(setting(container, name), value, "{name}");
    }
    let mounts = container["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["name"] == "aliases").unwrap();
    assert_eq!(mount["mountPath"], "/etc/zk-backup/aliases");
    let volumes = pod["volumes"].as_array().unwrap();
    let volume = volumes.iter().find(|volume| volume["name"] == "aliases").unwrap();
    assert_eq!(volume["secret"]["secretName"], "buckets");
    let egress = of_kind(&documents, "NetworkPolicy")["spec"]["egress"].to_string();
    assert!(egress.contains("443"), "{egress}");
}

#[test]
#[ignore = "needs helm"]
fn several_servers_share_a_container_of_a_cloud() {
    let text = rendered(&[
        "--set",
        "replicas=2,cloud.url=az://backups/prod,settings.AZURE_STORAGE_ACCOUNT_NAME=account,networkPolicy.enabled=true",
        "--set",
        "secretValues.AZURE_STORAGE_ACCOUNT_KEY=key",
    ]);
    let documents = parse(&text);
    assert_hardened(&documents);
    let pod = &of_kind(&documents, "StatefulSet")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    for (name, value) in [
        ("STORAGE_URL", Some("az://backups/prod")),
        ("AZURE_STORAGE_ACCOUNT_NAME", Some("account")),
        ("AZURE_STORAGE_ACCOUNT_KEY", None),
        ("S3_ENABLED", None),
        ("HA", Some("true")),
    ] {
        assert_eq!(setting(container, name), value, "{name}");
    }
    let secret = &of_kind(&documents, "Secret")["stringData"];
    assert_eq!(secret["AZURE_STORAGE_ACCOUNT_KEY"], "key");
    let egress = of_kind(&documents, "NetworkPolicy")["spec"]["egress"].to_string();
    assert!(egress.contains("443"), "{egress}");
}

#[test]
#[ignore = "needs helm"]
fn what_cannot_work_is_refused_in_words() {
    for (values, why) in [
        ("replicas=2", "s3.enabled or cloud.url is needed"),
        (
            "cloud.url=az://b,s3.enabled=true,s3.bucket=b",
            "backups are kept in one place",
        ),
        ("cloud.url=s3://b", "url"),
        ("settings.STORAGE_URL=az://b", "STORAGE_URL"),
        ("settings.ALIASES_PATH=/a", "ALIASES_PATH"),
        (
            "settings.AZURE_STORAGE_ACCOUNT_KEY=x",
            "AZURE_STORAGE_ACCOUNT_KEY",
        ),
        (
            "replicas=2,s3.enabled=true,s3.bucket=b,storage.existingClaim=c",
            "a volume of its own",
        ),
        ("s3.enabled=true", "s3.bucket"),
        ("existingSecret=", "without credentials"),
        ("encryption.identitySecret=i", "without encryption.recipients"),
        ("encryption.recipients={AGE-SECRET-KEY-1}", "recipients"),
        ("settings.STORAGE=/tmp", "STORAGE"),
        ("settings.S3_KEY_SECRET=x", "S3_KEY_SECRET"),
        ("repicas=2", "repicas"),
        ("replicas=two", "replicas"),
        ("zookeeper.hosts=", "hosts"),
    ] {
        let output = helm(&TEMPLATE, &["--set", values]);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && err.contains(why), "{values}: {err}");
    }
}
