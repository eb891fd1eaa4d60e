//! What answers in the place of a server of the API.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Answers each request, told its path and query, with a status and a body; a client that gets `None` waits for as long as it likes, and one that gets the
/// status 0 sees its connection end. Returns the URL.
pub(crate) fn stand_in(answer: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (socket, answer) = (socket.unwrap(), Arc::clone(&answer));
            std::thread::spawn(move || serve(socket, &*answer));
        }
    });
    url
}

fn serve(mut socket: TcpStream, answer: &dyn Fn(&str) -> Option<(u16, String)>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if socket.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let asked = head.split(' ').nth(1).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.parse().unwrap())
    });
    // What is not read would take the answer with it when the connection ends.
    let mut body = vec![0; length.unwrap_or(0)];
    if socket.read_exact(&mut body).is_err() {
        return;
    }
    match answer(asked) {
        Some((0, _)) => {}
        Some((status, body)) => {
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} As asked\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            // A client that has gone does not want it.
            let _ = socket.write_all(answer.as_bytes());
        }
        None => {
            let _ = socket.read(&mut [0]);
        }
    }
}

/// The value of a key of the query, where it is there.
pub(crate) fn asked<'a>(request: &'a str, key: &str) -> Option<&'a str> {
    let pairs = request.split_once('?')?.1.split('&');
    pairs
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value)
}
