//! What the command-line clients of the predecessor send, byte for byte, and what they need of the answers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zk_backup_testkit::{Daemon, PASSWORD, USER};

use crate::common::clients::observer;
use crate::common::daemons::daemon;
use crate::common::servers::server;
use crate::common::trees::plant;

/// One of the two clients, by what tells its requests apart.
#[derive(Clone, Copy, Debug)]
enum Client {
    Python,
    Go,
}

impl Client {
    /// JSON as it writes it: the keys in their order, with or without spaces.
    fn body(self, pairs: &[(&str, Value)]) -> String {
        let (comma, colon) = match self {
            Self::Python => (", ", ": "),
            Self::Go => (",", ":"),
        };
        let pairs = pairs
            .iter()
            .map(|(key, value)| format!("{}{colon}{value}", json!(key)));
        format!("{{{}}}", pairs.collect::<Vec<_>>().join(comma))
    }

    /// The request as it sends it, over a connection of its own.
    fn send(self, daemon: &Daemon, known: bool, method: &str, path: &str, body: Option<&str>) -> Answer {
        let host = &daemon.address;
        let known = known.then(|| STANDARD.encode(format!("{USER}:{PASSWORD}")));
        let known = known.map_or(String::new(), |known| format!("Authorization: Basic {known}\r\n"));
        let length = match body {
            Some(body) => format!("Content-Length: {}\r\n", body.len()),
            None if method == "POST" => "Content-Length: 0\r\n".to_owned(),
            None => String::new(),
        };
        let kind = |name: &str| body.map_or(String::new(), |_| format!("{name}: application/json\r\n"));
        let headers = match self {
            Self::Python => format!(
                "User-Agent: python-requests/2.32.3\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n\
                 Connection: keep-alive\r\n{}{length}{known}",
                kind("Content-type")
            ),
            Self::Go => format!(
                "User-Agent: Go-http-client/1.1\r\n{length}{known}{}Accept-Encoding: gzip\r\n",
                kind("Content-Type")
            ),
        };
        let body = body.unwrap_or_default();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n{body}");
        Answer::of(host, &request)
    }
}

/// What a client goes by: the status, and the body.
#[derive(Debug)]
struct Answer {
    status: u16,
    text: String,
}

impl Answer {
    /// Reads as far as the announced length, as both do: the server keeps the connection.
    fn of(host: &str, request: &str) -> Self {
        let mut socket = TcpStream::connect(host).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        let (head, mut body) = loop {
            let mut some = [0; 4_096];
            let read = socket.read(&mut some).unwrap();
            assert!(read > 0, "the server hung up: {request}");
            bytes.extend(&some[..read]);
            let text = String::from_utf8(bytes.clone()).unwrap();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                break (head.to_lowercase(), body.as_bytes().to_vec());
            }
        };
        assert!(!head.contains("content-encoding"), "{head}");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.expect("a length is announced").parse().unwrap();
        let mut rest = vec![0; length - body.len()];
        socket.read_exact(&mut rest).unwrap();
        body.extend(rest);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let text = String::from_utf8(body).unwrap();
        Self { status, text }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The id of a job: both use the body as it is.
    fn id(self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        let is_bare = self
            .text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        assert!(is_bare && !self.text.is_empty(), "{self:?}");
        self.text
    }
}

/// A client with the credentials, and the server that it asks.
struct Asked<'a> {
    client: Client,
    daemon: &'a Daemon,
}

impl Asked<'_> {
    fn get(&self, path: &str) -> Answer {
        self.client.send(self.daemon, true, "GET", path, None)
    }

    fn post(&self, path: &str) -> Answer {
        self.client.send(self.daemon, true, "POST", path, None)
    }

    fn post_json(&self, path: &str, pairs: &[(&str, Value)]) -> Answer {
        let body = self.client.body(pairs);
        self.client.send(self.daemon, true, "POST", path, Some(&body))
    }

    /// `GET` with a body, as both look for a time.
    fn find(&self, ts: &str) -> Answer {
        let body = self.client.body(&[("ts", json!(ts))]);
        self.client.send(self.daemon, true, "GET", "/find", Some(&body))
    }

    /// Waits as `--wait` does: anything above 400 is a failure, and only `Successful` an end.
    fn wait(&self, id: &str) -> Result<(), Answer> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.get(&format!("/jobstatus/{id}"));
            if answer.status > 400 {
                return Err(answer);
            }
            if answer.json()["status"] == "Successful" {
                return Ok(());
            }
            assert!(Instant::now() < deadline, "{answer:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn back_up(&self, pairs: &[(&str, Value)]) -> String {
        let id = self.post_json("/backup", pairs).id();
        self.wait(&id).unwrap();
        id
    }

    fn restore(&self, pairs: &[(&str, Value)]) -> String {
        let task = self.post_json("/restore", pairs).id();
        self.wait(&task).unwrap();
        task
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_client_works_unchanged() {
    every_command(Client::Python).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_go_client_works_unchanged() {
    every_command(Client::Go).await;
}

async fn every_command(client: Client) {
    let zookeeper = server();
    let outside = observer(&zookeeper).await;
    let there: &[(&str, &[u8])] = &[("/db1", b"1"), ("/db1/a", b"a"), ("/db2", b"2"), ("/123", b"3")];
    plant(&outside, there).await;
    let storage = tempfile::tempdir().unwrap();
    let data = zookeeper.data_directory();
    let daemon = daemon(
        &zookeeper.address(),
        storage.path(),
        &[("ZOOKEEPER_DATA_DIR", data.to_str().unwrap())],
    );
    let asked = Asked {
        client,
        daemon: &daemon,
    };
    let mode = |mode: &str| ("mode", json!(mode));
    let dbs = |names: &[&str]| ("dbs", json!(names));

    // `backup`, with `--properties`, whose values are all texts, and with `--dbs`.
    let full = asked.back_up(&[]);
    let transactional = asked.back_up(&[("allow_eviction", json!("False")), mode("transactional")]);
    let granular = asked.back_up(&[
        ("allow_eviction", json!("False")),
        dbs(&["db1", "db2"]),
        mode("hierarchical"),
        ("sharded", json!("true")),
    ]);
    // A name of digits becomes a number in its JSON.
    let digits = || ("dbs", json!([123]));
    let of_digits = asked.back_up(&[digits()]);
    outside.set_data("/123", b"broken".to_vec(), None).await.unwrap();
    asked.restore(&[digits(), ("vault", json!(of_digits))]);
    assert_eq!(outside.get_data("/123", false).await.unwrap().0, b"3");
    for none in [
        json!([1.5]),
        json!([true]),
        json!([null]),
        json!([["a"]]),
        json!(123),
    ] {
        let refused = asked.post_json("/backup", &[("dbs", none)]);
        assert!(
            refused.status == 400 && refused.text.contains("dbs"),
            "{refused:?}"
        );
    }
    let failed = asked.post_json("/backup", &[dbs(&["gone"])]).id();
    let failed = asked.wait(&failed).unwrap_err().json();
    assert_eq!(failed["status"], "Failed", "{failed}");

    // `list`, `describe` by an id and by a time, `status`.
    let list = asked.get("/listbackups").json();
    for id in [&full, &transactional, &granular] {
        assert!(list.as_array().unwrap().contains(&json!(id)), "{list}");
    }
    let described = asked.get(&format!("/listbackups/{granular}")).json();
    let told = (
        &described["db_list"],
        &described["evictable"],
        &described["sharded"],
    );
    assert_eq!(told, (&json!(["db1", "db2"]), &json!(false), &json!(true)));
    let described = asked.get(&format!("/listbackups/{transactional}")).json();
    assert_eq!(described["custom_vars"], json!({"mode": "transactional"}));
    let ts = asked.get(&format!("/listbackups/{full}")).json()["ts"].to_string();
    assert_eq!(asked.find(&ts).json()["id"], json!(full));
    assert_eq!(asked.find("99999999999999").status, 404);
    assert_eq!(asked.get("/listbackups/20000101T000000").status, 404);
    assert_eq!(
        asked
            .get("/jobstatus/66a0f51b-e6ac-4e89-b2c7-48774ed05a7c")
            .status,
        404
    );

    // `restore` by an id and by a time. Properties go along, the mode of the backup among them.
    let vault = |id: &str| ("vault", json!(id));
    for pairs in [
        vec![dbs(&["db1"]), vault(&full)],
        vec![dbs(&["db1"]), mode("hierarchical"), ("ts", json!(ts))],
        vec![mode("transactional"), vault(&transactional)],
        vec![("custom_vars", json!({"mode": "hierarchical"})), vault(&granular)],
        vec![vault(&full)],
    ] {
        outside.set_data("/db1", b"broken".to_vec(), None).await.unwrap();
        let task = asked.restore(&pairs);
        let status = asked.get(&format!("/jobstatus/{task}")).json();
        let told = (&status["type"], &status["err"]);
        assert_eq!(told, (&json!("restore"), &json!("None")), "{status}");
        assert_eq!(
            outside.get_data("/db1", false).await.unwrap().0,
            b"1",
            "{pairs:?}"
        );
    }
    assert_eq!(
        asked.post_json("/restore", &[vault("20000101T000000")]).status,
        404
    );
    let wrong = asked.post_json("/restore", &[mode("all"), vault(&full)]);
    assert!(wrong.status == 400 && wrong.text.contains("mode"), "{wrong:?}");

    // `evict`, with and without an id, with a body in neither.
    assert_eq!(
        (asked.post("/evict").status, asked.post("/evict").json()),
        (200, json!("Ok"))
    );
    assert_eq!(asked.post(&format!("/evict/{granular}")).status, 200);
    assert_eq!(asked.post(&format!("/evict/{granular}")).status, 404);

    // `--incremental` is told what to use.
    for (answer, instead) in [
        (asked.post_json("/incremental/backup", &[]), "/backup"),
        (asked.get("/incremental/listbackups"), "/listbackups"),
        (asked.post("/incremental/evict"), "/evict"),
    ] {
        assert_eq!(answer.status, 501, "{answer:?}");
        assert!(
            answer.text.contains(&format!("Use {instead} instead")),
            "{answer:?}"
        );
    }

    // Without credentials everything that changes something is refused, and the rest is not.
    let unknown = |method, path: &str, body| client.send(&daemon, false, method, path, body).status;
    assert_eq!(unknown("POST", "/backup", Some("{}")), 401);
    assert_eq!(unknown("POST", "/evict", None), 401);
    assert_eq!(unknown("GET", "/listbackups", None), 200);
    assert_eq!(unknown("GET", &format!("/jobstatus/{full}"), None), 200);
}
