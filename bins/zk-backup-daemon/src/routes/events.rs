//! `GET /events`: what jobs and health do, as server-sent events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpRequest, HttpResponse};
use backup_engine::{Engine, JobInfo, JobsWatch};
use futures::stream;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use super::health;
use crate::answer::ApiError;
use crate::api::{self, Event};
use crate::reread::Reread;

/// So many may listen at once.
const MOST: usize = 16;
/// How often health is looked at, and something is said whatever happens.
const BEAT: Duration = Duration::from_secs(5);

/// Who listens, and whether the server ends.
#[derive(Debug, Clone)]
pub(crate) struct Listeners {
    places: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
}

impl Listeners {
    pub(crate) fn new(stopped: watch::Receiver<bool>) -> Self {
        let places = Arc::new(Semaphore::new(MOST));
        Self { places, stopped }
    }
}

pub(crate) async fn events(
    request: HttpRequest,
    engine: Data<Engine>,
    listeners: Data<Listeners>,
    reread: Data<Reread>,
) -> Result<HttpResponse, ApiError> {
    let mut answer = HttpResponse::Ok();
    answer
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        // Proxies of this kind would keep events until there are many.
        .insert_header(("x-accel-buffering", "no"));
    if request.method() == Method::HEAD {
        // Nobody would read the events, and so notice that the client is gone.
        return Ok(answer.finish());
    }
    let place = Arc::clone(&listeners.places).try_acquire_owned();
    let place = place.map_err(|_| {
        let why = format!("{MOST} listen to events already");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_listeners", why)
    })?;
    let listener = Listener {
        jobs: engine.watch_all(),
        engine: engine.as_ref().clone(),
        reread: reread.as_ref().clone(),
        stopped: listeners.stopped.clone(),
        told: None,
        begun: VecDeque::new(),
        next_beat: Instant::now(),
        _place: place,
    };
    let events = stream::unfold(listener, |mut listener| async {
        let text = listener.next().await?;
        Some((Ok::<_, Error>(Bytes::from(text)), listener))
    });
    Ok(answer.streaming(events))
}

struct Listener {
    engine: Engine,
    reread: Reread,
    jobs: JobsWatch,
    stopped: watch::Receiver<bool>,
    /// What was said last of health.
    told: Option<String>,
    /// Jobs whose begin was told, the latest last.
    begun: VecDeque<String>,
    next_beat: Instant,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// What is to be sent next; nothing where the server ends.
    async fn next(&mut self) -> Option<String> {
        let jobs = tokio::select! {
            biased;
            _ = self.stopped.wait_for(|stopped| *stopped) => return None,
            () = sleep_until(self.next_beat) => None,
            jobs = self.jobs.next() => Some(jobs),
        };
        match jobs {
            None => {
                self.next_beat = Instant::now() + BEAT;
                Some(self.beat().await)
            }
            Some(Ok(jobs)) => Some(jobs.into_iter().map(|job| self.of_job(job)).collect()),
            Some(Err(error)) => {
                log::warn!("events cannot be told: {error}");
                None
            }
        }
    }

    /// A change of health, or a comment that only shows that the server is there.
    async fn beat(&mut self) -> String {
        let health = api::Health::from(health::of(&self.engine, &self.reread).await);
        let text = event(&Event::Health(health.into()));
        if self.told.as_ref() == Some(&text) {
            return ": still here\n\n".to_owned();
        }
        self.told = Some(text.clone());
        text
    }

    fn of_job(&mut self, job: JobInfo) -> String {
        let known = self.begun.iter().position(|id| *id == job.id);
        let what = match (job.status.is_final(), known) {
            (true, known) => {
                known.map(|at| self.begun.remove(at));
                Event::JobEnded
            }
            (false, Some(_)) => Event::JobProgress,
            (false, None) => {
                self.begun.push_back(job.id.clone());
                Event::JobBegun
            }
        };
        event(&what(Box::new(job.into())))
    }
}

/// JSON has no line breaks.
fn event(event: &Event) -> String {
    let told = json!(event);
    let name = told["event"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {}\n\n", told["data"])
}
