//! Somebody who is told of things by HTTP.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// A request that came.
#[derive(Debug, Clone)]
pub struct Received {
    /// How it was sent: `POST`.
    pub method: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Received {
    /// The first header of that name, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    /// The body as JSON, or null.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Takes what is posted to it, and answers as it is told. It ends with the process.
#[derive(Debug)]
pub struct Receiver {
    /// Where it listens.
    pub url: String,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    came: Mutex<VecDeque<Received>>,
    more: Condvar,
    hears: AtomicBool,
}

impl Receiver {
    /// Listens, and answers 500 until it [hears](Self::hear).
    ///
    /// # Errors
    /// There is no free port.
    pub fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let state = Arc::new(State::default());
        let taking = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if let Err(error) = taking.take(&stream) {
                    log::warn!("a request did not come: {error}");
                }
            }
        });
        Ok(Self { url, state })
    }

    /// Answers 200 from now on.
    pub fn hear(&self) {
        self.state.hears.store(true, Ordering::Relaxed);
    }

    /// The next request, as soon as it comes; `None` if none does within a minute.
    #[must_use]
    pub fn next(&self) -> Option<Received> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut came = lock(&self.state.came);
        while came.is_empty() && Instant::now() < deadline {
            let waited = self.state.more.wait_timeout(came, Duration::from_millis(100));
            came = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        came.pop_front()
    }

    /// Requests that came and were not looked at.
    #[must_use]
    pub fn left(&self) -> usize {
        lock(&self.state.came).len()
    }
}

impl State {
    fn take(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut reader = BufReader::new(stream);
        let (mut line, mut headers) = (String::new(), Vec::new());
        reader.read_line(&mut line)?;
        let method = line.split(' ').next().unwrap_or_default().to_owned();
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.and_then(|(_, length)| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let status = if self.hears.load(Ordering::Relaxed) {
            200
        } else {
            500
        };
        write!(
            stream,
            "HTTP/1.1 {status} -\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )?;
        lock(&self.came).push_back(Received {
            method,
            headers,
            body,
        });
        self.more.notify_all();
        Ok(())
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
