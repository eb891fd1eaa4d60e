//! A server that speaks ZooKeeper's protocol, and says what a test has it say.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

const DELETE: i32 = 2;
pub(crate) const EXISTS: i32 = 3;
pub(crate) const GET_DATA: i32 = 4;
pub(crate) const GET_CHILDREN: i32 = 8;
const SYNC: i32 = 9;
const PING: i32 = 11;
pub(crate) const MULTI_READ: i32 = 22;
pub(crate) const ADD_WATCH: i32 = 106;
pub(crate) const WHO_AM_I: i32 = 107;

pub(crate) struct Request {
    pub(crate) xid: i32,
    pub(crate) op: i32,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The paths of a `multiRead`.
    pub(crate) fn paths(&self) -> usize {
        let (mut at, mut paths) = (0, 0);
        while self.body[at + 4] == 0 {
            let length: [u8; 4] = self.body[at + 9..at + 13].try_into().unwrap();
            at += 9 + 4 + i32::from_be_bytes(length) as usize + 1;
            paths += 1;
        }
        paths
    }
}

pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as i32).to_be_bytes(), body].concat()
}

pub(crate) fn reply(xid: i32, error: i32, body: &[u8]) -> Vec<u8> {
    let (xid, error) = (xid.to_be_bytes(), error.to_be_bytes());
    frame(&[&xid[..], &7_i64.to_be_bytes(), &error, body].concat())
}

/// Of a znode with so many children.
fn stat(children: i32) -> Vec<u8> {
    let mut stat = vec![0; 68];
    stat[56..60].copy_from_slice(&children.to_be_bytes());
    stat
}

pub(crate) fn data(data: &[u8], children: i32) -> Vec<u8> {
    [frame(data), stat(children)].concat()
}

pub(crate) fn parts(parts: &[(i32, &[u8])]) -> Vec<u8> {
    let part = |(op, body): &(i32, &[u8])| [&op.to_be_bytes()[..], &[0; 5], body].concat();
    let mut all: Vec<_> = parts.iter().flat_map(part).collect();
    all.extend([255, 255, 255, 255, 1, 255, 255, 255, 255]);
    all
}

/// What an ordinary server with nothing but `/` would say.
pub(crate) fn ordinary(request: &Request, children: i32) -> Vec<u8> {
    let Request { xid, op, .. } = *request;
    match op {
        DELETE => reply(xid, -101, &[]),
        EXISTS => reply(xid, 0, &stat(children)),
        GET_DATA => reply(xid, 0, &data(b"", children)),
        GET_CHILDREN => reply(xid, 0, &0_i32.to_be_bytes()),
        SYNC => reply(xid, 0, &frame(b"/")),
        PING => reply(-2, 0, &[]),
        MULTI_READ => {
            let one = data(b"", children);
            reply(xid, 0, &parts(&vec![(GET_DATA, &one[..]); request.paths()]))
        }
        _ => reply(xid, 0, &[]),
    }
}

/// A server that says what `answer` does; an error ends the connection. `answer` is called with all connections' requests.
pub(crate) fn serve(
    answer: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Clone + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, answer) = (socket.unwrap(), answer.clone());
            thread::spawn(move || talk(&mut socket, &answer));
        }
    });
    address
}

fn talk(
    socket: &mut TcpStream,
    answer: &dyn Fn(&Request, &mut TcpStream) -> io::Result<()>,
) -> io::Result<()> {
    next(socket)?;
    // For ten minutes: what takes a while meets no ping.
    let session = [
        &[0, 0, 0, 0, 0, 0x09, 0x27, 0xc0],
        &9_i64.to_be_bytes()[..],
        &frame(&[1; 16]),
        &[0],
    ]
    .concat();
    socket.write_all(&frame(&session))?;
    loop {
        let request = next(socket)?;
        let int = |at: usize| i32::from_be_bytes(request[at..at + 4].try_into().unwrap());
        let request = Request {
            xid: int(0),
            op: int(4),
            body: request[8..].to_vec(),
        };
        answer(&request, socket)?;
    }
}

fn next(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let mut request = vec![0; i32::from_be_bytes(length) as usize];
    socket.read_exact(&mut request)?;
    Ok(request)
}
