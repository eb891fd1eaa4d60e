//! Events of a server: they tell when it is worth asking.

use std::io::{BufRead as _, BufReader, Read as _};

use serde::Deserialize;
use ureq::BodyReader;

use super::Api;

/// What a server tells by itself, as long as it does.
pub(crate) struct Events {
    lines: BufReader<BodyReader<'static>>,
    /// Whether anything has come: a proxy may keep all of it back.
    has_said: bool,
}

/// What an event says: of a job it says of which.
#[derive(Deserialize)]
struct Event {
    task_id: String,
}

impl Api {
    /// Listens to the server; `None` where it does not tell by itself, or not to us.
    pub(crate) fn events(&self) -> Option<Events> {
        let body = self.http.listen("/events")?;
        Some(Events {
            lines: BufReader::new(body),
            has_said: false,
        })
    }
}

impl Events {
    /// Waits until there is news of that job, or the server has shown that it is there; `false` if nothing more comes.
    pub(crate) fn wait_for(&mut self, job: &str) -> bool {
        let lines = self.lines.by_ref().lines().map_while(Result::ok);
        for line in lines {
            self.has_said = true;
            if line.starts_with(':') {
                return true;
            }
            let data = line.strip_prefix("data: ");
            let event = data.and_then(|data| serde_json::from_str::<Event>(data).ok());
            if event.is_some_and(|event| event.task_id == job) {
                return true;
            }
        }
        false
    }

    /// Whether anything has come.
    pub(crate) const fn has_said(&self) -> bool {
        self.has_said
    }
}
