//! A way to the servers that refuses what the client libraries would take without bounds: decision 19.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use self::replies::{MOST_BYTES, Replies, Told};
pub(super) use self::requests::Order;
use self::requests::{Asked, Requests};

mod replies;
mod requests;

/// The port of a server that is named without one.
const PORT: &str = ":2181";
/// Longest time to connect to one address of a server.
const CONNECTING: Duration = Duration::from_secs(5);
/// Before a library is told that its server takes no connection, if it would ask again at once.
const PAUSE: Duration = Duration::from_millis(100);
/// For what a server has to say to a client that has gone.
const FAREWELL: Duration = Duration::from_secs(5);
/// Bytes that are handed on at once.
const AT_ONCE: usize = 64 << 10;
/// Replies above this share [`MOST_BYTES`] with those of the other connections.
const LARGE: usize = 1 << 20;

/// Listens on the loopback once for each server, while the runtime lives that it was started on.
pub(super) struct Relay {
    addresses: Vec<String>,
    shared: Arc<Shared>,
}

struct Shared {
    order: Order,
    told: Told,
    refusal: Mutex<Option<(Instant, String)>>,
    /// Bytes that large replies may have in the libraries' hands before they are whole.
    room: Semaphore,
}

impl Relay {
    /// In front of `servers`: `host:port`, or several with commas between them.
    ///
    /// # Errors
    /// When nothing can be listened to on the loopback.
    pub(super) fn start(servers: &str, order: Order, runtime: &Handle) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            order,
            told: Told::default(),
            refusal: Mutex::new(None),
            room: Semaphore::new(MOST_BYTES),
        });
        let mut addresses = Vec::new();
        for server in servers.split(',').map(str::trim) {
            let loopback = [
                SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
            ];
            let socket = std::net::TcpListener::bind(&loopback[..])?;
            socket.set_nonblocking(true)?;
            addresses.push(socket.local_addr()?.to_string());
            let _entered = runtime.enter(); // its sockets are to be watched there
            let listener = TcpListener::from_std(socket)?;
            runtime.spawn(listen(listener, with_port(server), Arc::clone(&shared)));
        }
        Ok(Self { addresses, shared })
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

fn with_port(server: &str) -> String {
    match server.rsplit_once(':') {
        Some((_, port)) if !port.contains(']') => server.to_owned(),
        _ => format!("{server}{PORT}"),
    }
}

async fn listen(listener: TcpListener, server: String, shared: Arc<Shared>) {
    let server: Arc<str> = Arc::from(server);
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let (server, shared) = (Arc::clone(&server), Arc::clone(&shared));
                tokio::spawn(async move {
                    if let Err(error) = serve(client, &server, &shared).await {
                        log::debug!("connection to ZooKeeper at {server}: {error}");
                    }
                });
            }
            Err(error) => {
                log::warn!("no connection to ZooKeeper at {server}: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

/// One connection, until either side has ended it or a reply is refused. Then both are closed.
async fn serve(client: TcpStream, server: &str, shared: &Shared) -> io::Result<()> {
    let connecting = connect(server).await;
    let server_side = match connecting {
        Ok(socket) => socket,
        Err(error) => {
            shared.pause().await;
            return Err(error);
        }
    };
    client.set_nodelay(true)?;
    server_side.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server_side.into_split();
    let asked = Mutex::new(Asked::new(shared.order));
    let up = hand_up(from_client, to_server, &asked);
    let down = hand_down(from_server, to_client, &asked, server, shared);
    tokio::pin!(down);
    tokio::select! {
        ended = &mut down => ended,
        ended = up => match ended {
            Ok(()) => timeout(FAREWELL, down).await.unwrap_or(Ok(())),
            Err(error) => Err(error),
        },
    }
}

/// To the first address of `server` that takes a connection.
async fn connect(server: &str) -> io::Result<TcpStream> {
    let mut failed = io::Error::other("it has no address");
    for address in lookup_host(server).await? {
        match timeout(CONNECTING, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => failed = error,
            Err(late) => failed = late.into(),
        }
    }
    Err(failed)
}

fn lock(asked: &Mutex<Asked>) -> MutexGuard<'_, Asked> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn hand_up(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, asked: &Mutex<Asked>) -> io::Result<()> {
    let mut requests = Requests::default();
    let mut buffer = vec![0; AT_ONCE];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        let bytes = &buffer[..length];
        requests.read(bytes, &mut lock(asked)).map_err(io::Error::other)?;
        to.write_all(bytes).await?;
    }
}

async fn hand_down(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
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
            return to.shutdown().await;
        }
        let bytes = &buffer[..length];
        // What a library decodes is whole replies: each has been looked at before its last byte goes on.
        let looked_at = replies.read(bytes, &mut lock(asked), &shared.told);
        if let Err(why) = looked_at {
            let refused = shared.refuse(server, why);
            shared.pause().await;
            return Err(refused);
        }
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
    }
}
