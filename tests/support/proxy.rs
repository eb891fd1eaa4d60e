//! A proxy between a client and a server, which acts between two requests.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What is called with bytes from a client.
type Sees = dyn Fn(&mut [u8]) + Send + Sync;

/// Passes connections on to a server, and holds or cuts them when asked.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    sockets: Arc<Mutex<Vec<TcpStream>>>,
    gate: Arc<Gate>,
}

/// What lets bytes of clients through.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    /// So many bytes more; `None` lets all of them through.
    left: Option<usize>,
    /// None after this.
    until: Option<&'static [u8]>,
    /// Whether some were kept back since.
    holds: bool,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, left: Option<usize>, until: Option<&'static [u8]>) {
        *self.lock() = GateState {
            left,
            until,
            holds: false,
        };
        self.changed.notify_all();
    }

    /// Waits until these bytes may pass.
    fn pass(&self, bytes: &[u8]) {
        let mut state = self.lock();
        loop {
            let until = state.until.filter(|until| !until.is_empty());
            if until.is_some_and(|until| bytes.windows(until.len()).any(|part| part == until)) {
                (state.left, state.until) = (Some(0), None);
            }
            match state.left {
                None => return,
                Some(left) if left >= bytes.len() => {
                    state.left = Some(left - bytes.len());
                    return;
                }
                Some(_) => {
                    (state.left, state.holds) = (Some(0), true);
                    let waited = self.changed.wait(state);
                    state = waited.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl Proxy {
    /// Listens on a free port for connections to `server`. Its threads end with the process.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(server: &str) -> io::Result<Self> {
        Self::start_with(server, |_| {})
    }

    /// As [`start`](Self::start), and `sees` is called with what comes from clients before that is passed on: what it
    /// does happens between two of their requests.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start_with(server: &str, sees: impl Fn(&[u8]) + Send + Sync + 'static) -> io::Result<Self> {
        Self::start_changing(server, move |bytes| sees(bytes))
    }

    /// As [`start_with`](Self::start_with), and what `sees` makes of the bytes is passed on in their place.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start_changing(
        server: &str,
        sees: impl Fn(&mut [u8]) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let (sees, gate): (Arc<Sees>, Arc<Gate>) = (Arc::new(sees), Arc::default());
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let sockets = Arc::new(Mutex::new(Vec::new()));
        let (open, passing, server) = (Arc::clone(&sockets), Arc::clone(&gate), server.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that cannot be passed on sees its connection closed.
                if let Err(error) = pass_on(&client, &server, &open, &passing, &sees) {
                    log::debug!("not passed on: {error}");
                }
            }
        });
        Ok(Self {
            address,
            sockets,
            gate,
        })
    }

    /// Where to connect to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Passes so many bytes of clients on from now on, and then none until [`go_on`](Self::go_on): it takes what comes, and nothing is answered.
    pub fn hold_after(&self, bytes: usize) {
        self.gate.set(Some(bytes), None);
    }

    /// Passes on what clients send until one sends this in one piece, and nothing of any client from that piece on until [`go_on`](Self::go_on).
    pub fn hold_at(&self, what: &'static [u8]) {
        self.gate.set(None, Some(what));
    }

    /// Whether something is kept back.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.gate.lock().holds
    }

    /// Passes on what was kept back, and all that comes.
    pub fn go_on(&self) {
        self.gate.set(None, None);
    }

    /// Cuts every connection that is open.
    pub fn cut(&self) {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        for socket in sockets.drain(..) {
            let _ = socket.shutdown(Shutdown::Both); // it may be closed already
        }
    }
}

fn pass_on(
    client: &TcpStream,
    server: &str,
    open: &Mutex<Vec<TcpStream>>,
    gate: &Arc<Gate>,
    sees: &Arc<Sees>,
) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    for socket in [client, &server] {
        socket.set_nodelay(true)?;
        open.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(socket.try_clone()?);
    }
    let watch = (Arc::clone(gate), Arc::clone(sees));
    for (from, to, watch) in [(client, &server, Some(watch)), (&server, client, None)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            let mut bytes = vec![0; 64 << 10];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                if let Some((gate, sees)) = &watch {
                    gate.pass(&bytes[..count]);
                    sees(&mut bytes[..count]);
                }
                if to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            for socket in [from, to] {
                let _ = socket.shutdown(Shutdown::Both); // the other direction may have done it
            }
        });
    }
    Ok(())
}
