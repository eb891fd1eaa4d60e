//! A proxy between a client and a server, which acts between two requests.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What is called with bytes from a client.
type Sees = dyn Fn(&[u8]) + Send + Sync;

/// Passes connections on to a server, and cuts them when asked.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    sockets: Arc<Mutex<Vec<TcpStream>>>,
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
        let sees: Arc<Sees> = Arc::new(sees);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let sockets = Arc::new(Mutex::new(Vec::new()));
        let (open, server) = (Arc::clone(&sockets), server.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that cannot be passed on sees its connection closed.
                if let Err(error) = pass_on(&client, &server, &open, &sees) {
                    log::debug!("not passed on: {error}");
                }
            }
        });
        Ok(Self { address, sockets })
    }

    /// Where to connect to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
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
    sees: &Arc<Sees>,
) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    for socket in [client, &server] {
        socket.set_nodelay(true)?;
        open.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(socket.try_clone()?);
    }
    for (from, to, sees) in [(client, &server, Some(sees)), (&server, client, None)] {
        let sees = sees.cloned();
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            let mut bytes = vec![0; 64 << 10];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                if let Some(sees) = &sees {
                    sees(&bytes[..count]);
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
