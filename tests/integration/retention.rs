//! Policies that are set and backups that are pinned over HTTP, while the server runs and after it was started anew.

use serde_json::{Value, json};
use zk_backup_testkit::Daemon;

use crate::common::buckets::as_if_scheduled;
use crate::common::daemons::{back_up, curl, daemon};
use crate::common::servers::server;

const SETTINGS: [(&str, &str); 1] = [("EVICTION_POLICY", "9y/delete")];

fn ids(daemon: &Daemon) -> Value {
    daemon.http.get("/listbackups").unwrap().json()
}

fn policies(daemon: &Daemon) -> Value {
    let answer = daemon.http.get("/evictionpolicy").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[test]
fn policies_and_pins_outlast_the_server() {
    let zookeeper = server();
    let storage = tempfile::tempdir().unwrap();
    let mut one = daemon(&zookeeper.address(), storage.path(), &SETTINGS);
    let [a, b, c] = [(); 3].map(|()| back_up(&one, ""));
    one.kill();
    as_if_scheduled(storage.path());
    let mut one = daemon(&zookeeper.address(), storage.path(), &SETTINGS);
    let setting = json!({"policy": "9y/delete", "from": "EVICTION_POLICY", "setting": "9y/delete"});
    assert_eq!(policies(&one)["fullEvictionPolicy"], setting);

    let http = &one.http;
    let tried = http
        .post(
            "/evictionpolicy?dry_run=true",
            r#"{"fullEvictionPolicy": "1/delete"}"#,
        )
        .unwrap();
    let actions: Vec<_> = tried
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["action"].clone())
        .collect();
    assert_eq!(
        (tried.status, actions),
        (200, vec![json!("evict"), json!("evict"), json!("keep")])
    );
    assert_eq!(policies(&one)["fullEvictionPolicy"], setting);
    let as_a_form = |fields: &[&str]| {
        let fields: Vec<_> = fields.iter().flat_map(|field| ["--form-string", field]).collect();
        curl(&one, "/evictionpolicy", &fields)
    };
    for (fields, part) in [
        (
            &["fullEvictionPolicy=1/delete", "fullEvictionPolicy=2/delete"][..],
            "twice",
        ),
        (&["evictionPolicy=1/delete"], "evictionPolicy"),
    ] {
        let (status, text) = as_a_form(fields);
        assert!(status == 400 && text.contains(part), "{text}");
    }
    let set = as_a_form(&["fullEvictionPolicy=3/delete", "granularEvictionPolicy=6d/delete"]);
    assert_eq!(set, (200, "\"Ok\"".to_owned()));
    assert_eq!(policies(&one)["granularEvictionPolicy"]["policy"], "6d/delete");
    let set = http
        .post(
            "/evictionpolicy",
            "fullEvictionPolicy=2%2Fdelete&granularEvictionPolicy=5d/delete",
        )
        .unwrap();
    assert_eq!(
        (set.status, set.json()),
        (200, json!("Ok: the next eviction removes 1 good backup by it"))
    );
    assert_eq!(ids(&one), json!([a, b, c]));
    for (body, part) in [
        ("", "is needed"),
        ("{}", "is needed"),
        (r#"{"fullEvictionPolicy": ""}"#, "at character 1"),
        (r#"{"fullEvictionPolicy": "7d"}"#, "START/INTERVAL"),
        (r#"{"fullEvictionPolicy": 7}"#, "fullEvictionPolicy"),
        (r#"{"evictionPolicy": "7d/delete"}"#, "evictionPolicy"),
        ("fullEvictionPolicy=1/delete&fullEvictionPolicy=2/delete", "twice"),
        ("evictionPolicy=1/delete", "evictionPolicy"),
        (r#"["1/delete"]"#, "unknown field"),
    ] {
        let refused = http.post("/evictionpolicy", body).unwrap();
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        assert!(refused.text.contains(part), "{body}: {}", refused.text);
    }
    let anonymous = http.clone().without_credentials();
    assert_eq!(
        anonymous
            .post("/evictionpolicy", r#"{"fullEvictionPolicy": "1/delete"}"#)
            .unwrap()
            .status,
        401
    );

    let pinned = http.post(&format!("/listbackups/{a}/pin"), "").unwrap();
    assert_eq!(
        (
            pinned.status,
            &pinned.json()["pinned"],
            &pinned.json()["evictable"]
        ),
        (200, &json!(true), &json!(false))
    );
    assert_eq!(
        anonymous
            .post(&format!("/listbackups/{a}/unpin"), "")
            .unwrap()
            .status,
        401
    );
    assert_eq!(http.get(&format!("/listbackups/{a}/pin")).unwrap().status, 405);
    assert_eq!(
        http.post(&format!("/listbackups/{a}/pin"), r#"{"x": 1}"#)
            .unwrap()
            .status,
        400
    );
    let none = http.post("/listbackups/20200101T000000/pin", "").unwrap();
    assert_eq!(
        (none.status, none.json()),
        (404, json!("backup 20200101T000000 not found"))
    );

    one.kill();
    let mut two = daemon(&zookeeper.address(), storage.path(), &SETTINGS);
    let full = &policies(&two)["fullEvictionPolicy"];
    assert_eq!(
        (&full["policy"], &full["from"], &full["setting"]),
        (
            &json!("2/delete"),
            &json!("POST /evictionpolicy"),
            &json!("9y/delete")
        )
    );
    assert!(full["set_at"].is_string(), "{full}");
    assert_eq!(two.describe(&a).unwrap()["pinned"], true);
    // A pinned one is not counted: two others may stay.
    assert_eq!(two.http.post("/evict", "").unwrap().status, 200);
    assert_eq!(ids(&two), json!([a, b, c]));
    assert_eq!(
        two.http
            .post(&format!("/listbackups/{a}/unpin"), "")
            .unwrap()
            .json()["pinned"],
        false
    );
    assert_eq!(two.http.post("/evict", "").unwrap().status, 200);
    assert_eq!(ids(&two), json!([b, c]));

    // The environment says something else now: that counts, and what was set for granular ones does too.
    two.kill();
    let three = daemon(
        &zookeeper.address(),
        storage.path(),
        &[("EVICTION_POLICY", "8y/delete")],
    );
    let told = policies(&three);
    assert_eq!(
        (
            &told["fullEvictionPolicy"]["policy"],
            &told["fullEvictionPolicy"]["from"]
        ),
        (&json!("8y/delete"), &json!("EVICTION_POLICY"))
    );
    assert_eq!(told["granularEvictionPolicy"]["policy"], "5d/delete");
    let back = three
        .http
        .post("/evictionpolicy", r#"{"granularEvictionPolicy": null}"#)
        .unwrap();
    assert_eq!((back.status, back.json()), (200, json!("Ok")));
    assert_eq!(
        policies(&three)["granularEvictionPolicy"]["from"],
        "GRANULAR_EVICTION_POLICY"
    );
}
