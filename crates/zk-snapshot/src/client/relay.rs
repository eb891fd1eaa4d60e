//! A way to the servers that refuses what the client libraries would take without bounds: decision 19.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep, timeout};

use self::replies::{MOST_BYTES, Replies, Told};
pub(super) use self::requests::Order;
use self::requests::{Asked, Requests};
use super::reach::Server;

mod replies;
mod requests;

/// Longest time to connect to a server.
const CONNECTING: Duration = Duration::from_secs(15);
/// Before a library is told that its connection has ended, if it would ask for another at once.
const PAUSE: Duration = Duration::from_millis(100);
/// For what a server has to say to a client that has gone.
const FAREWELL: Duration = Duration::from_secs(5);
/// After a process was stopped for so long, nothing that it had to send before is sent: a lease that allowed it may be another's by now.
const STOOD_STILL: Duration = Duration::from_secs(5);
/// How often that is looked at where nothing happens.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes that are handed on at once.
const AT_ONCE: usize = 64 << 10;
/// Replies above this share [`MOST_BYTES`] with those of the other connections.
const LARGE: usize = 1 << 20;
/// For each connection that a client has to a server: those whose ends are waited for are more.
const TIMES: usize = 4;
const A_FEW: usize = 16;

/// Listens on the loopback once for each server, while the runtime lives that it was started on.
pub(super) struct Relay {
    addresses: Vec<String>,
    shared: Arc<Shared>,
}

struct Shared {
    servers: Vec<Server>,
    order: Order,
    told: Told,
    refusal: Mutex<Option<(Instant, String)>>,
    /// Bytes that large replies may have in the libraries' hands before they are whole.
    room: Semaphore,
}

impl Relay {
    /// In front of `servers` (`host:port`, or several with commas between them), for a client that holds `connections` at once.
    ///
    /// # Errors
    /// When nothing can be listened to on the loopback.
    pub(super) fn start(
        servers: &str,
        connections: usize,
        order: Order,
        runtime: &Handle,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            servers: Server::all(servers),
            order,
            told: Told::default(),
            refusal: Mutex::new(None),
            room: Semaphore::new(MOST_BYTES),
        });
        let mut addresses = Vec::new();
        for number in 0..shared.servers.len() {
            let loopback = [
                SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
            ];
            let socket = std::net::TcpListener::bind(&loopback[..])?;
            socket.set_nonblocking(true)?;
            addresses.push(socket.local_addr()?.to_string());
            let _entered = runtime.enter(); // its sockets are to be watched there
            let listener = TcpListener::from_std(socket)?;
            let most = connections * TIMES + A_FEW;
            runtime.spawn(listen(listener, most, number, Arc::clone(&shared)));
        }
        Ok(Self { addresses, shared })
    }

    /// The servers behind [`addresses`](Self::addresses), in the same order.
    #[cfg(feature = "plain-client")]
    pub(super) fn servers(&self) -> &[Server] {
        &self.shared.servers
    }

    /// What a library is to connect to, one for each server.
    pub(super) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Why the latest reply was refused, if that was `since` then.
    pub(super) fn refusal(&self, since: Instant) -> Option<String> {
        let refusal = self.shared.refusal();
        let (at, words) = refusal.as_ref()?;
        (*at >= since).then(|| words.clone())
    }

    /// The library's queue of notifications is looked at now: those to come are counted from none.
    #[cfg(feature = "batched-client")]
    pub(super) fn looked_at(&self) {
        self.shared.told.forget();
    }
}

impl Shared {
    fn refusal(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, server: &str, why: String) -> io::Error {
        log::warn!("ZooKeeper at {server}: {why}");
        *self.refusal() = Some((Instant::now(), why.clone()));
        io::Error::other(why)
    }

    /// The pause that keeps a library from asking again without end.
    async fn pause(&self) {
        if self.order == Order::Strict {
            sleep(PAUSE).await;
        }
    }
}

/// No more than `most` connections at once: any process of this machine can ask for one.
async fn listen(listener: TcpListener, most: usize, number: usize, shared: Arc<Shared>) {
    let (room, mut is_told) = (Arc::new(Semaphore::new(most)), false);
    loop {
        let accepted = listener.accept().await.map(|(client, _)| client);
        let (room, name) = (Arc::clone(&room), shared.servers[number].name());
        let why = match (accepted, room.try_acquire_owned()) {
            (Ok(client), Ok(permit)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let server = &shared.servers[number];
                    if let Err(error) = serve(client, server, &shared).await {
                        log::debug!("connection to ZooKeeper at {}: {error}", server.name());
                    }
                    drop(permit);
                });
                is_told = false;
                continue;
            }
            (Ok(_), Err(_)) => format!("{most} are open"),
            (Err(error), _) => error.to_string(),
        };
        if !is_told {
            log::warn!("no connection to ZooKeeper at {name}: {why}");
        }
        is_told = true;
        sleep(PAUSE).await;
    }
}

/// One connection, until either side has ended it or a reply is refused. Then both are closed.
async fn serve(mut client: TcpStream, server: &Server, shared: &Shared) -> io::Result<()> {
    let ended = pass(&mut client, server, shared).await;
    shared.pause().await; // before the library is told
    ended
}

async fn pass(client: &mut TcpStream, server: &Server, shared: &Shared) -> io::Result<()> {
    let connecting = server.connect_again(Instant::now() + CONNECTING).await;
    let (mut server_side, address) = connecting.map_err(io::Error::other)?;
    client.set_nodelay(true)?;
    server_side.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server_side.split();
    let asked = Mutex::new(Asked::new(shared.order));
    let up = hand_up(from_client, to_server, &asked);
    let down = hand_down(from_server, to_client, &asked, server.name(), shared);
    tokio::pin!(down);
    let (ended, is_farewell) = tokio::select! {
        ended = &mut down => (ended, false),
        ended = up => {
            let is_farewell = ended.is_ok();
            (ended, is_farewell)
        }
    };
    if !lock(&asked).is_served() {
        server.pass_over(address);
    }
    match is_farewell {
        true => timeout(FAREWELL, down).await.unwrap_or(Ok(())),
        false => ended,
    }
}

fn lock(asked: &Mutex<Asked>) -> MutexGuard<'_, Asked> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn hand_up(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, asked: &Mutex<Asked>) -> io::Result<()> {
    let mut requests = Requests::default();
    let mut buffer = vec![0; AT_ONCE];
    let mut awake = Awake::by(uptime);
    loop {
        let length = awake.during(from.read(&mut buffer)).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        let mut bytes = &buffer[..length];
        requests.read(bytes, &mut lock(asked)).map_err(io::Error::other)?;
        while !bytes.is_empty() {
            awake.during(to.writable()).await?;
            match to.try_write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Since the machine was started, with the time that it was suspended: a lease goes on meanwhile.
fn uptime() -> Duration {
    let since = clock_gettime(ClockId::Boottime);
    Duration::new(
        since.tv_sec.try_into().unwrap_or_default(),
        since.tv_nsec.try_into().unwrap_or_default(),
    )
}

/// When this process was last seen to go on, by a clock.
struct Awake<C> {
    clock: C,
    seen: Duration,
    /// One timer for all that is waited for, not one for each request.
    look: Pin<Box<Sleep>>,
}

impl<C: Fn() -> Duration> Awake<C> {
    fn by(clock: C) -> Self {
        let (seen, look) = (clock(), Box::pin(sleep(LOOK)));
        Self { clock, seen, look }
    }

    /// What comes of `work`; an error where the process stood still until then.
    async fn during<T>(&mut self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        tokio::pin!(work);
        loop {
            let done = tokio::select! {
                biased;
                done = &mut work => Some(done),
                () = &mut self.look => None,
            };
            let now = (self.clock)();
            if now.saturating_sub(self.seen) > STOOD_STILL {
                return Err(io::Error::other(
                    "the process stood still, and what it had to send is of before",
                ));
            }
            self.seen = now;
            match done {
                Some(done) => return done,
                None => self.look.as_mut().reset(Instant::now() + LOOK),
            }
        }
    }
}

async fn hand_down(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    asked: &Mutex<Asked>,
    server: &str,
    shared: &Shared,
) -> io::Result<()> {
    let mut replies = Replies::default();
    let mut buffer = vec![0; AT_ONCE];
    let (mut current, mut room) = (0, None);
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let bytes = &buffer[..length];
        // What a library decodes is whole replies: each has been looked at before its last byte goes on.
        let looked_at = replies.read(bytes, &mut lock(asked), &shared.told);
        looked_at.map_err(|why| shared.refuse(server, why))?;
        if current != replies.begun() {
            current = replies.begun();
            drop(room.take()); // before more is waited for
            if let Some(large) = replies.length_of_current().filter(|length| *length > LARGE) {
                let permits = u32::try_from(large).map_err(io::Error::other)?;
                room = Some(
                    shared
                        .room
                        .acquire_many(permits)
                        .await
                        .map_err(io::Error::other)?,
                );
            }
        }
        to.write_all(bytes).await?;
        if replies.length_of_current().is_none() {
            drop(room.take()); // the library has it
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// The clock goes on while a machine is suspended; timers do not.
    #[tokio::test]
    async fn what_comes_after_a_process_stood_still_is_not_sent() {
        let clock = AtomicU64::new(1_000);
        let mut awake = Awake::by(|| Duration::from_secs(clock.load(Ordering::Relaxed)));
        let mut after = async |seconds| {
            let work = async {
                clock.fetch_add(seconds, Ordering::Relaxed);
                Ok(seconds)
            };
            awake.during(work).await
        };
        for seconds in [0, 5, 5] {
            assert_eq!(after(seconds).await.unwrap(), seconds);
        }
        let error = after(6).await.unwrap_err();
        assert!(error.to_string().contains("stood still"), "{error}");
    }

    #[tokio::test]
    async fn the_clock_of_that_is_the_one_that_counts_a_suspended_machine() {
        let (monotonic, boot) = (clock_gettime(ClockId::Monotonic), uptime());
        assert!(boot.as_secs() >= u64::try_from(monotonic.tv_sec).unwrap());
    }

    #[tokio::test]
    async fn no_more_connections_are_open_than_a_client_needs() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let name = server.local_addr().unwrap().to_string();
        let relay = Relay::start(&name, 1, Order::ByXid, &Handle::current()).unwrap();
        let mut open = Vec::new();
        for _ in 0..=TIMES + A_FEW {
            open.push(TcpStream::connect(&relay.addresses()[0]).await.unwrap());
        }
        let mut one_more = open.pop().unwrap();
        assert_eq!(one_more.read(&mut [0]).await.unwrap(), 0);
        for socket in open {
            let error = socket.try_read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
    }
}
