//! Requests, shown as the commands that make them.

use std::time::{Duration, Instant};

use serde_json::Value;
use zk_backup_testkit::Http;

use crate::Outcome;
use crate::shown::{Rows, row, table};

/// Prints each request as the command that does it, and what came of it.
pub(crate) struct Shell {
    http: Http,
    server: String,
    json: bool,
}

impl Shell {
    /// As the user that the servers let in.
    pub(crate) fn new(server: &str, json: bool) -> Self {
        Self {
            http: Http::new(server).with_credentials("admin", "admin"),
            server: server.to_owned(),
            json,
        }
    }

    pub(crate) fn get(&self, path: &str, shown: impl Fn(&Value) -> Rows) -> Outcome<()> {
        self.ask("GET", path, "", shown).map(drop)
    }

    /// A request whose answer is one line: an id, or a word.
    pub(crate) fn post(&self, path: &str, body: &str) -> Outcome<String> {
        self.ask("POST", path, body, |_| Vec::new())
    }

    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        body: &str,
        shown: impl Fn(&Value) -> Rows,
    ) -> Outcome<String> {
        let (how, data) = match (method, body) {
            ("GET", _) => ("", String::new()),
            (_, "") => ("-X POST -u admin:admin ", String::new()),
            _ => ("-X POST -u admin:admin ", format!(" -d '{body}'")),
        };
        println!("curl {how}http://{}{path}{data}", self.server);
        let answer = match method {
            "GET" => self.http.get(path)?,
            _ => self.http.post(path, body)?,
        };
        if answer.status != 200 {
            return Err(format!("{path} was answered {}: {}", answer.status, answer.text).into());
        }
        let rows = if self.json {
            Vec::new()
        } else {
            serde_json::from_str(&answer.text).map_or_else(|_| Vec::new(), |value| shown(&value))
        };
        match rows.is_empty() {
            true => println!("{}\n", answer.text),
            false => println!("{}", table(&rows)),
        }
        Ok(answer.text)
    }

    /// Until the server has read the backup back, which it does by itself, and is done with it.
    pub(crate) fn wait_for_verification(&self, id: &str) -> Outcome<()> {
        let (path, begun) = (format!("/listbackups/{id}"), Instant::now());
        loop {
            let jobs = self.http.get("/jobs")?.json();
            let mut jobs = jobs["jobs"].as_array().into_iter().flatten();
            let is_at_work = jobs.any(|job| job["status"] == "Queued" || job["status"] == "Processing");
            if !is_at_work && !self.http.get(&path)?.json()["verified_at"].is_null() {
                return self.get(&path, |backup| vec![row("verified_at", &backup["verified_at"])]);
            }
            if begun.elapsed() > Duration::from_secs(60) {
                return Err(format!("{id} is not verified").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn wait(&self, id: &str) -> Outcome<Value> {
        println!("curl http://{}/jobstatus/{id}", self.server);
        loop {
            let answer = self.http.get(&format!("/jobstatus/{id}"))?;
            if answer.status == 206 {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            let state = answer.json();
            if self.json {
                println!("{}\n", answer.text);
            } else {
                println!("{}", table(&[row("status", &state["status"])]));
            }
            return match answer.status {
                200 => Ok(state),
                _ => Err(format!("job {id} failed: {}", answer.text).into()),
            };
        }
    }
}
