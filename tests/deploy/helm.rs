//! The chart as helm makes it. `HELM` is the program: `HELM=helm cargo test -p zk-backup-testkit --test deploy helm::`.

use std::fs;
use std::process::Output;

use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;
use serde_json::{Value, json};

use crate::documents::{assert_hardened, of_kind, parse, setting};
use crate::tools::tool;
use crate::{read, workspace};

const CHART: &str = "examples/deploy/helm/zk-backup";
/// A helm that was built from its sources alone takes a cluster for one that the chart is too new for.
const TEMPLATE: [&str; 5] = ["template", "zk-backup", CHART, "--kube-version", "1.31.0"];
const PLAIN: &str = "examples/deploy/kubernetes/zk-backup.yaml";
const LOGIN: &str = "secretValues.BACKUP_DAEMON_API_CREDENTIALS_USERNAME=a,secretValues.BACKUP_DAEMON_API_CREDENTIALS_PASSWORD=b";
/// By one label behind it no wildcard of a certificate is accepted.
const POD: &str = "https://$(POD_NAME).zk-backup-peers.backups.svc:8443";
const KEY: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

/// `None` where there is no helm to try with.
fn helm(command: &[&str], more: &[&str]) -> Option<Output> {
    let output = tool("HELM", "helm")?
        .args(command)
        .args(more)
        .current_dir(workspace())
        .output();
    Some(output.expect("HELM is the program of helm 3 or newer"))
}

fn rendered(more: &[&str]) -> Option<String> {
    let output = helm(&[&TEMPLATE[..], &["--namespace", "backups"]].concat(), more)?;
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{more:?}: {err}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// What only concerns helm is left out.
#[test]
fn the_plain_manifests_are_the_chart_as_it_comes() {
    let Some(text) = rendered(&["--values", "examples/deploy/kubernetes/values.yaml"]) else {
        return;
    };
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
fn whatever_is_asked_for_is_made_and_hardened() {
    let Some(linted) = helm(&["lint", "--strict", CHART], &[]) else {
        return;
    };
    assert!(
        linted.status.success(),
        "{}",
        String::from_utf8_lossy(&linted.stdout)
    );
    assert_hardened(&parse(&rendered(&[]).unwrap()));

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
        "--set",
        LOGIN,
    ]);
    let documents = parse(&everything.unwrap());
    assert_hardened(&documents);
    let set = of_kind(&documents, "StatefulSet");
    assert_eq!(set["spec"]["replicas"], 2);
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["terminationGracePeriodSeconds"], 50);
    let container = &pod["containers"][0];
    for (name, value) in [
        ("ZOOKEEPER_HOST", "zk1:2181,zk2:2181/kafka"),
        ("HA", "true"),
        ("HA_ADDRESS", POD),
        ("HA_CA_FILE", "/etc/zk-backup/tls/ca.crt"),
        ("ZK_BACKUP_URL", POD),
        ("ZK_BACKUP_CA", "/etc/zk-backup/tls/ca.crt"),
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
        r#"sum by (job, ensemble) (zk_backup_leader{namespace=\"backups\",service=\"zk-backup\"}) == 0"#,
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

/// The comment's word for it, by the names that replicas ask for.
#[test]
fn the_certificate_that_the_values_recommend_is_good_for_the_pods() {
    let values = read(&format!("{CHART}/values.yaml"));
    let mut names = values.split_whitespace().filter(|word| word.starts_with("*."));
    let name = names.next().unwrap().trim_end_matches(',');
    let name = name.replace("<namespace>", "backups");
    let pair = rcgen::generate_simple_self_signed(vec![name.clone()]).unwrap();
    let certificate = ParsedCertificate::try_from(pair.cert.der()).unwrap();
    let pod = POD.replace("$(POD_NAME)", "zk-backup-0");
    let host = pod
        .strip_prefix("https://")
        .unwrap()
        .strip_suffix(":8443")
        .unwrap();
    let host = ServerName::try_from(host).unwrap();
    let accepted = verify_server_name(&certificate, &host);
    assert!(accepted.is_ok(), "{name} for {host:?}: {accepted:?}");
}

#[test]
fn buckets_by_name_are_in_a_file_of_a_secret() {
    let Some(text) = rendered(&[
        "--set",
        "replicas=2,aliases.existingSecret=buckets,s3.prefix=prod,networkPolicy.enabled=true",
    ]) else {
        return;
    };
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
fn several_servers_share_a_container_of_a_cloud() {
    let Some(text) = rendered(&[
        "--set",
        "replicas=2,cloud.url=az://backups/prod,settings.AZURE_STORAGE_ACCOUNT_NAME=account,networkPolicy.enabled=true",
        "--set",
        "secretValues.AZURE_STORAGE_ACCOUNT_KEY=key",
        "--set",
        LOGIN,
    ]) else {
        return;
    };
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
    assert_eq!(ports(&documents), [2181, 443]);
}

/// Where the server goes besides DNS and its replicas, by the last rule.
fn ports(documents: &[Value]) -> Vec<u64> {
    let egress = &of_kind(documents, "NetworkPolicy")["spec"]["egress"];
    let ports = egress.as_array().unwrap().last().unwrap()["ports"].as_array();
    ports
        .unwrap()
        .iter()
        .map(|one| one["port"].as_u64().unwrap())
        .collect()
}

/// What `ZOOKEEPER_HOST` and the bucket's URL say decides which ports are open.
#[test]
fn what_is_named_is_reached() {
    let bucket = "s3.enabled=true,s3.bucket=b";
    for (values, expected) in [
        (vec![], vec![2181]),
        (vec!["zookeeper.hosts=zk1:2281\\,zk2:2282/a:1"], vec![2281, 2282]),
        (
            vec!["zookeeper.hosts=zk1\\,zk2:2181", "settings.ZOOKEEPER_PORT=2281"],
            vec![2281, 2181],
        ),
        (vec![bucket], vec![2181, 443]),
        (vec![bucket, "s3.url=https://minio:9000/"], vec![2181, 9000]),
        (vec![bucket, "s3.url=http://minio"], vec![2181, 80]),
    ] {
        let sets: Vec<_> = values.iter().flat_map(|value| ["--set", value]).collect();
        let Some(text) = rendered(&[&["--set", "networkPolicy.enabled=true"], &sets[..]].concat()) else {
            return;
        };
        assert_eq!(ports(&parse(&text)), expected, "{values:?}");
    }
}

/// As a second directory for copies has to be.
#[test]
fn whatever_else_settings_name_can_be_mounted() {
    let Some(text) = rendered(&[
        "--set",
        "extraVolumes[0].name=copies,extraVolumes[0].nfs.server=nas,extraVolumes[0].nfs.path=/copies",
        "--set",
        "extraVolumeMounts[0].name=copies,extraVolumeMounts[0].mountPath=/copies,settings.SECONDARY_DIRECTORY=/copies/zk",
        "--set",
        "existingSecret=,settings.BACKUP_DAEMON_ALLOW_ANONYMOUS=true",
    ]) else {
        return;
    };
    let documents = parse(&text);
    let pod = &of_kind(&documents, "StatefulSet")["spec"]["template"]["spec"];
    assert_eq!(
        pod["volumes"],
        json!([{"name": "copies", "nfs": {"server": "nas", "path": "/copies"}}])
    );
    let mounts = &pod["containers"][0]["volumeMounts"];
    assert_eq!(mounts[1], json!({"name": "copies", "mountPath": "/copies"}));
}

#[test]
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
        (
            "secretValues.S3_KEY_ID=a",
            "secretValues.BACKUP_DAEMON_API_CREDENTIALS_USERNAME: without",
        ),
        (
            "secretValues.BACKUP_DAEMON_API_CREDENTIALS_USERNAME=a",
            "secretValues.BACKUP_DAEMON_API_CREDENTIALS_PASSWORD: without",
        ),
        ("secretValues.S3_KEY_SECRT=x", "S3_KEY_SECRT"),
        ("secretValues.BACKUP_SCHEDULE=None", "BACKUP_SCHEDULE"),
        (r"podLabels.app\.kubernetes\.io/name=x", "the chart's own"),
        (r"serviceMonitor.labels.helm\.sh/chart=x", "the chart's own"),
        ("extraVolumeMounts[0].name=x", "mountPath"),
        ("encryption.identitySecret=i", "without encryption.recipients"),
        ("encryption.recipients={AGE-SECRET-KEY-1}", "recipients"),
        ("settings.STORAGE=/tmp", "STORAGE"),
        ("settings.S3_KEY_SECRET=x", "S3_KEY_SECRET"),
        ("repicas=2", "repicas"),
        ("replicas=two", "replicas"),
        ("zookeeper.hosts=", "hosts"),
    ] {
        let Some(output) = helm(&TEMPLATE, &["--set", values]) else {
            return;
        };
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && err.contains(why), "{values}: {err}");
    }
}
