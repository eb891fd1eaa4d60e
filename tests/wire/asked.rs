//! Requests one after another, and what was answered.

use serde_json::{Map, Value, json};

use crate::golden::{self, steady};
use crate::server::Server;

/// What a server was asked, and its answers.
pub(crate) struct Asked<'a> {
    pub(crate) server: &'a Server,
    answers: Map<String, Value>,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(server: &'a Server) -> Self {
        Self {
            server,
            answers: Map::new(),
        }
    }

    /// Asks, keeps the answer under its number and the request, and returns its body.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &str) -> Value {
        let answer = self.server.ask(method, path, body);
        let request = format!("{method} {} {body}", steady(json!(path)).as_str().unwrap());
        let name = format!("{:02} {}", self.answers.len(), request.trim_end());
        self.answers.insert(name, steady(answer.clone()));
        answer["body"].clone()
    }

    /// Compares all answers with the golden file `name`.
    pub(crate) fn compare(self, name: &str) {
        golden::compare(name, &Value::Object(self.answers));
    }
}
