//! Events of a server: they tell when it is worth asking.

use std::io::{BufRead as _, BufReader, Read as _};

use serde_json::Value;
use ureq::BodyReader;

use super::Api;

/// What a server tells by itself, as long as it does.
pub(crate) struct Events(BufReader<BodyReader<'static>>);

impl Api {
    /// Listens to the server; `None` where it does not tell by itself, or not to us.
    pub(crate) fn events(&self) -> Option<Events> {
        let body = self.http.listen("/events")?;
        Some(Events(BufReader::new(body)))
    }
}

impl Events {
    /// Waits until there is news of that job, or the server has shown that it is there; `false` if nothing more comes.
    pub(crate) fn wait_for(&mut self, job: &str) -> bool {
        let lines = self.0.by_ref().lines().map_while(Result::ok);
        for line in lines {
            if line.starts_with(':') {
                return true;
            }
            let data = line.strip_prefix("data: ");
            let data = data.and_then(|data| serde_json::from_str::<Value>(data).ok());
            if data.is_some_and(|data| data["task_id"] == job) {
                return true;
            }
        }
        false
    }
}
