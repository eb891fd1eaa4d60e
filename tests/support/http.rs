//! A client of the server's API.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A client of the REST API that takes any status code for an answer.
#[derive(Debug, Clone)]
pub struct Http {
    agent: ureq::Agent,
    base: String,
    credentials: Option<String>,
}

/// What the server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The body as JSON, or null.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The first header of that name, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }
}

impl Http {
    /// Talks to `http://<address>`.
    #[must_use]
    pub fn new(address: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            // The tests' own servers are on this machine, whatever the environment says of a proxy.
            .proxy(None)
            // The daemon closes what is idle for five seconds, and may do so just when we send.
            .max_idle_age(Duration::from_secs(1))
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        Self {
            agent: config.into(),
            base: format!("http://{address}"),
            credentials: None,
        }
    }

    /// Sends these credentials from now on.
    #[must_use]
    pub fn with_credentials(mut self, user: &str, password: &str) -> Self {
        self.credentials = Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        self
    }

    /// Sends no credentials from now on.
    #[must_use]
    pub fn without_credentials(mut self) -> Self {
        self.credentials = None;
        self
    }

    /// # Errors
    /// When nothing answers.
    pub fn get(&self, path: &str) -> Result<Answer, ureq::Error> {
        self.send("GET", path, "")
    }

    /// # Errors
    /// When nothing answers.
    pub fn post(&self, path: &str, body: &str) -> Result<Answer, ureq::Error> {
        self.send("POST", path, body)
    }

    /// Sends `body`, if it is not empty, without a content type.
    ///
    /// # Errors
    /// When nothing answers.
    pub fn send(&self, method: &str, path: &str, body: &str) -> Result<Answer, ureq::Error> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if let Some(credentials) = &self.credentials {
            request = request.header("authorization", credentials);
        }
        let mut response = if body.is_empty() {
            self.agent.run(request.body(())?)?
        } else {
            self.agent.run(request.body(body.to_owned())?)?
        };
        let text = response.body_mut().read_to_string()?;
        let headers = response.headers().iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        Ok(Answer {
            status: response.status().as_u16(),
            headers: headers.collect(),
            text,
        })
    }
}
