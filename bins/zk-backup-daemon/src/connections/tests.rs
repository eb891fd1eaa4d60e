//! Who is given up while an answer is sent.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _};
use std::os::unix::net::UnixStream;
use std::task::Waker;

use super::*;

/// An answer whose pieces come, or keep whoever asks waiting.
struct Pieces(VecDeque<Poll<&'static [u8]>>);

impl MessageBody for Pieces {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let next = self.0.pop_front();
        next.map_or(Poll::Ready(None), |next| {
            next.map(|bytes| Some(Ok(Bytes::from_static(bytes))))
        })
    }
}

/// A client that takes nothing, and its answer.
struct Client {
    all: Arc<Connections>,
    socket: UnixStream,
    answer: Sending,
}

impl Client {
    fn of(pieces: &[Poll<&'static [u8]>]) -> Self {
        let (all, (socket, ours)) = (Connections::new(), UnixStream::pair().unwrap());
        let open = Open {
            socket: ours.into(),
            requests: 0,
            others: 0,
            quiet_since: 0,
            answered: None,
            answers: BTreeMap::new(),
        };
        all.lock().open.insert(1, open);
        let work = all.begin(1, false).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            all,
            socket,
            answer: Sending::new(BoxBody::new(Pieces(pieces.iter().copied().collect())), work),
        }
    }

    /// Has the server send more, as far as there is more. Whether there was.
    fn more(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        Pin::new(&mut self.answer).poll_next(&mut context).is_ready()
    }

    fn is_given_up(&mut self) -> bool {
        match self.socket.read(&mut [0]) {
            Ok(0) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn nobody_is_given_up_for_a_storage_that_is_slow() {
    let mut client = Client::of(&[
        Poll::Ready(b"some"),
        Poll::Pending,
        Poll::Ready(b"more"),
        Poll::Pending,
    ]);
    for _ in 0..2 {
        assert!(client.more());
        assert!(!client.more(), "the next piece is not there yet");
        for _ in 0..3 {
            client.all.look(true);
        }
        assert!(!client.is_given_up());
    }
}

#[test]
fn whoever_takes_nothing_is_given_up_whatever_the_storage_was() {
    let mut client = Client::of(&[Poll::Ready(b"some"), Poll::Pending, Poll::Ready(b"more")]);
    assert!(client.more() && !client.more());
    client.all.look(true);
    // The server asks for no more while this is not taken.
    assert!(client.more());
    client.all.look(true);
    assert!(!client.is_given_up());
    client.all.look(true);
    assert!(client.is_given_up());
}
