//! `POST /terminate/<id>` while a real server is read and written.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use backup_engine::Driver;
use serde_json::{Value, json};
use zk_backup_testkit::{Answer, Http, PASSWORD, Proxy, USER};

use crate::common::buckets::stages_of;
use crate::common::by_each_adapter;
use crate::common::clients::{as_super, observer};
use crate::common::daemons::daemon_by;
use crate::common::servers::server;
use crate::common::trees::fill;

const MANY: usize = 20_000;

/// Calls the job off between two requests to ZooKeeper, once so many bytes were sent.
#[derive(Default)]
struct CallOff {
    /// The server, and the job.
    what: OnceLock<(String, String)>,
    seen: AtomicUsize,
    answer: OnceLock<Answer>,
}

impl CallOff {
    fn sees(&self, bytes: usize, after: usize) {
        let Some((server, job)) = self.what.get() else {
            return;
        };
        if self.seen.fetch_add(bytes, Ordering::SeqCst) > after {
            self.answer.get_or_init(|| {
                let http = Http::new(server).with_credentials(USER, PASSWORD);
                http.post(&format!("/terminate/{job}"), "").unwrap()
            });
        }
    }
}

by_each_adapter!(what_is_called_off_ends_at_its_next_batch_and_leaves_nothing_half_done);

async fn what_is_called_off_ends_at_its_next_batch_and_leaves_nothing_half_done(driver: Driver) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    fill(&as_super(&zookeeper), MANY).await;
    for (path, body, after) in [("/backup", Value::Null, 50_000), ("/restore", json!({}), 500_000)] {
        let call_off = Arc::new(CallOff::default());
        let seeing = Arc::clone(&call_off);
        let proxy =
            Proxy::start_with(&zookeeper.address(), move |bytes| seeing.sees(bytes.len(), after)).unwrap();
        let storage = tempfile::tempdir().unwrap();
        let daemon = daemon_by(driver, proxy.address(), storage.path(), &[]);
        let mut body = body;
        if path == "/restore" {
            let (backup, state) = daemon.do_job("/backup", "").unwrap();
            assert_eq!(state.status, 200, "{}", state.text);
            body = json!({"vault": backup, "dbs": ["fill"], "changeDbNames": {"fill": "copy"}});
        }
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        // Nothing of the job passes before it is known which one it is.
        proxy.hold_after(0);
        let job = daemon.http.post(path, &text).unwrap().text;
        call_off.what.set((daemon.address.clone(), job.clone())).unwrap();
        proxy.go_on();
        let state = daemon.wait_for_job(&job).unwrap();
        let answer = call_off.answer.get().expect("it was called off");
        assert_eq!(
            (answer.status, &answer.json()["status"]),
            (200, &json!("Processing")),
            "{}",
            answer.text
        );
        assert_eq!(
            (state.status, &state.json()["status"]),
            (500, &json!("Canceled")),
            "{}",
            state.text
        );
        let again = daemon.http.post(&format!("/terminate/{job}"), "").unwrap();
        assert_eq!((again.status, &again.json()["code"]), (406, &json!("job_ended")));
        let unknown = daemon.http.post("/terminate/20200101T000000", "").unwrap();
        assert_eq!(
            (unknown.status, &unknown.json()["code"]),
            (404, &json!("job_not_found"))
        );

        if path == "/backup" {
            assert_eq!(
                daemon.http.get(&format!("/listbackups/{job}")).unwrap().status,
                404
            );
            assert_eq!(daemon.http.get("/listbackups").unwrap().json(), json!([]));
            assert_eq!(stages_of(storage.path(), &job), 0, "its stage is gone");
            assert_eq!(daemon.do_job("/backup", "").unwrap().1.status, 200);
        } else {
            let there = outside.get_children("/copy", false).await.unwrap().len();
            assert!((1..MANY).contains(&there), "{there}");
            let report = &state.json()["result"]["report"];
            // The parent is one of them.
            assert_eq!(report["created"], there + 1, "{report}");
            assert_eq!(daemon.do_job("/restore", &text).unwrap().1.status, 200);
            assert_eq!(outside.get_children("/copy", false).await.unwrap().len(), MANY);
        }
    }
}
