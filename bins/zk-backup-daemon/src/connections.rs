//! Connections: how many there are, which of them has to go for another, and which is given up.

use std::any::Any;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use actix_web::rt::net::TcpStream;
use actix_web::web::Bytes;
use actix_web::{Error, ResponseError as _};
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{Shutdown, shutdown};
use rustix::process::{Resource, getrlimit};

use crate::access::is_health;
use crate::answer::ApiError;

/// The most connections, and the fewest, whatever the limit of descriptors is.
const MOST: usize = 512;
const FEWEST: usize = 3;
/// Descriptors that are left to the rest: 34 while nothing is done, and some for the files of a job and its connections, three for each.
const OTHERS: usize = 80;
/// Bytes of an answer that are handed on at once.
const AT_ONCE: usize = 32 << 10;
/// What the system holds of an answer: where it holds megabytes it takes long until a slow client is seen to take some.
const HELD_BELOW: usize = 64 << 10;
/// The end of an answer may still be on its way so long after its request is done.
const ENDING: Duration = Duration::from_secs(1);

/// All connections that are open.
///
/// There are as many as the process's limit of descriptors has room for. For one more, the one that has been idle for longest
/// is closed; half of them are for requests other than those for health. A client that does not take its answer is given up.
#[derive(Debug)]
pub(crate) struct Connections {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Rises with everything that comes or ends.
    next: u64,
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    /// Another descriptor of the same socket, so that it can be shut from here.
    socket: OwnedFd,
    requests: usize,
    /// Those of them that are not for health.
    others: usize,
    quiet_since: u64,
    /// When its last answer ended.
    answered: Option<Instant>,
    answers: BTreeMap<u64, Answer>,
}

/// An answer that is being sent: bytes handed on, and how many there were at the last look.
#[derive(Debug, Default)]
struct Answer {
    sent: usize,
    looked_at: Option<usize>,
    /// The next bytes are not there yet: the storage is slow, for example. Whoever takes nothing is not asked for more.
    waits: bool,
}

/// A connection's place among all; goes with it.
struct Seat {
    all: Arc<Connections>,
    key: u64,
}

/// A request that is being answered.
struct Work {
    all: Arc<Connections>,
    connection: u64,
    key: u64,
    is_health: bool,
}

impl State {
    fn tick(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Closes the connection that has been idle for longest, if one is.
    fn close_one(&mut self) -> bool {
        let idle = self.open.iter().filter(|(_, other)| other.requests == 0);
        let is_ending = |of: &Open| of.answered.is_some_and(|at| at.elapsed() < ENDING);
        let oldest = idle.min_by_key(|(_, other)| (is_ending(other), other.quiet_since));
        let oldest = oldest.map(|(key, _)| *key);
        let closed = oldest.and_then(|oldest| self.open.remove(&oldest));
        if let Some(closed) = &closed {
            close(&closed.socket);
        }
        closed.is_some()
    }
}

impl Connections {
    /// As many as the limit of descriptors has room for: each takes two, and its request may open a file.
    pub(crate) fn new() -> Arc<Self> {
        let limit = getrlimit(Resource::Nofile).current;
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Arc::new(Self {
            most: (limit.saturating_sub(OTHERS) / 3).clamp(FEWEST, MOST),
            state: Mutex::default(),
        })
    }

    /// Threads that serve them.
    pub(crate) fn workers(&self) -> usize {
        if self.most < 16 { 1 } else { 2 }
    }

    /// How many each of these may have: one more than there may be in all, so that there is one for whose sake another is closed.
    pub(crate) fn of_one_worker(&self) -> usize {
        self.most / self.workers() + 1
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a connection that has come, and closes an idle one where they are too many.
    pub(crate) fn came(self: &Arc<Self>, connection: &dyn Any, data: &mut Extensions) {
        let plain = connection.downcast_ref::<TcpStream>();
        let tls = || Some(connection.downcast_ref::<TlsStream<TcpStream>>()?.get_ref().0);
        let Some(stream) = plain.or_else(tls) else { return };
        let mut state = self.lock();
        while state.open.len() >= self.most && state.close_one() {}
        let socket = match stream.as_fd().try_clone_to_owned() {
            Ok(socket) => socket,
            Err(error) => {
                log::warn!("a connection is not taken: {error}");
                return close(stream);
            }
        };
        if let Err(error) = set_socket_send_buffer_size(&socket, HELD_BELOW) {
            log::debug!("the send buffer of a connection stays as it is: {error}");
        }
        let key = state.tick();
        let came = Open {
            socket,
            requests: 0,
            others: 0,
            quiet_since: key,
            answered: None,
            answers: BTreeMap::new(),
        };
        state.open.insert(key, came);
        data.insert(Seat {
            all: Arc::clone(self),
            key,
        });
    }

    /// Closes the connections of those who have taken nothing of an answer since the last look, if that was in time.
    pub(crate) fn look(&self, in_time: bool) {
        let mut state = self.lock();
        for connection in state.open.values_mut() {
            let stalls = in_time && connection.answers.values().any(Answer::stalls);
            for answer in connection.answers.values_mut() {
                answer.looked_at = Some(answer.sent);
            }
            if stalls {
                log::warn!("a client that does not take its answer is given up");
                close(&connection.socket);
            }
        }
    }

    /// `None` where there is no room: half are for health, and one is kept to be closed for the next that comes.
    fn begin(self: &Arc<Self>, connection: u64, is_health: bool) -> Option<Work> {
        let mut state = self.lock();
        let elsewhere = || state.open.iter().filter(|(key, _)| **key != connection);
        let busy = elsewhere().filter(|(_, other)| other.requests > 0).count();
        let others = elsewhere().filter(|(_, other)| other.others > 0).count();
        if busy + 1 >= self.most || !is_health && others >= self.most.div_ceil(2) {
            return None;
        }
        let open = state.open.get_mut(&connection)?;
        open.requests += 1;
        open.others += usize::from(!is_health);
        Some(Work {
            all: Arc::clone(self),
            connection,
            key: state.tick(),
            is_health,
        })
    }
}

impl Answer {
    fn stalls(&self) -> bool {
        !self.waits && self.looked_at == Some(self.sent)
    }
}

impl Work {
    fn sent(&self, bytes: usize) {
        self.note(|answer| {
            answer.sent += bytes;
            answer.waits = false;
        });
    }

    fn waits(&self) {
        self.note(|answer| answer.waits = true);
    }

    fn note(&self, what: impl FnOnce(&mut Answer)) {
        let mut state = self.all.lock();
        if let Some(connection) = state.open.get_mut(&self.connection) {
            what(connection.answers.entry(self.key).or_default());
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let mut state = self.all.lock();
        let now = state.tick();
        if let Some(connection) = state.open.get_mut(&self.connection) {
            connection.requests -= 1;
            connection.others -= usize::from(!self.is_health);
            (connection.quiet_since, connection.answered) = (now, Some(Instant::now()));
            connection.answers.remove(&self.key);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.all.lock().open.remove(&self.key);
    }
}

/// Whoever reads or writes there is told that it has ended.
fn close(socket: impl AsFd) {
    let _ = shutdown(socket, Shutdown::Both); // it may have ended by itself
}

/// Counts a request in until its answer is sent, or says that there are too many.
pub(crate) async fn count(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let seat = request
        .conn_data::<Seat>()
        .map(|seat| (Arc::clone(&seat.all), seat.key));
    let Some((all, connection)) = seat else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let Some(work) = all.begin(connection, is_health(request.path())) else {
        let refusal = ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_requests_at_once",
            "too many requests are being answered; try again",
        );
        return Ok(request.into_response(refusal.error_response()));
    };
    let answer = next.call(request).await?;
    Ok(answer.map_body(|_, body| BoxBody::new(Sending::new(body.boxed(), work))))
}

/// An answer that goes out in small pieces, so that it is seen whether the client takes them.
struct Sending {
    body: BoxBody,
    rest: Bytes,
    work: Work,
}

impl Sending {
    fn new(body: BoxBody, work: Work) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            work,
        }
    }
}

impl MessageBody for Sending {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        while self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_next(context) {
                Poll::Ready(Some(Ok(bytes))) => self.rest = bytes,
                Poll::Pending => {
                    self.work.waits();
                    return Poll::Pending;
                }
                other => return other,
            }
        }
        let length = self.rest.len().min(AT_ONCE);
        self.work.sent(length);
        Poll::Ready(Some(Ok(self.rest.split_to(length))))
    }
}

#[cfg(test)]
mod tests;
