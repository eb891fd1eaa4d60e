//! What a client has asked for and has no answer to yet.

use std::collections::VecDeque;

/// How a library takes its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum Order {
    /// By their xid; those of pings and identities may overtake others.
    #[cfg_attr(not(feature = "batched-client"), allow(dead_code))]
    ByXid,
    /// One after the other, whatever their xid. Such a library also connects again at once, for ever.
    #[cfg_attr(not(feature = "plain-client"), allow(dead_code))]
    Strict,
}

/// Requests that carry an identity over SASL are answered before those that wait.
const SASL: i32 = 102;

/// xid and operation of each request without an answer, oldest first.
pub(super) struct Asked {
    order: Order,
    waiting: VecDeque<(i32, i32)>,
    is_served: bool,
}

impl Asked {
    pub(super) fn new(order: Order) -> Self {
        Self {
            order,
            waiting: VecDeque::new(),
            is_served: false,
        }
    }

    /// Whether any request has been answered, after that for a session.
    pub(super) fn is_served(&self) -> bool {
        self.is_served
    }

    /// The operation that is answered by a reply with this `xid`.
    ///
    /// # Errors
    /// When it is not this one's turn.
    pub(super) fn answered(&mut self, xid: i32) -> Result<i32, String> {
        let overtakes = |(xid, op): &(i32, i32)| *xid < 0 || *op == SASL;
        let at = match self.order {
            Order::Strict => Some(0),
            Order::ByXid => {
                let mut waiting = self.waiting.iter();
                let mine = waiting.position(|asked| asked.0 == xid);
                mine.filter(|at| {
                    overtakes(&self.waiting[*at]) || self.waiting.iter().take(*at).all(overtakes)
                })
            }
        };
        let next = at.and_then(|at| self.waiting.get(at).copied());
        match (at, next) {
            (Some(at), Some((expected, op))) if expected == xid => {
                self.waiting.remove(at);
                self.is_served = true;
                Ok(op)
            }
            _ => Err(match self.waiting.front() {
                Some((oldest, _)) => {
                    format!("the server answered request {xid} where {oldest} was to be answered")
                }
                None => format!("the server answered request {xid}, which was not made"),
            }),
        }
    }
}

/// Takes requests apart as they pass, in pieces of any size.
#[derive(Default)]
pub(super) struct Requests {
    head: [u8; 12],
    have: usize,
    /// Bytes of the request that follow its head.
    rest: usize,
    /// Whether the first one has passed, which asks for a session and has no head.
    connected: bool,
}

impl Requests {
    /// # Errors
    /// When these are no requests.
    pub(super) fn read(&mut self, mut bytes: &[u8], asked: &mut Asked) -> Result<(), String> {
        while !bytes.is_empty() {
            if self.rest > 0 {
                let passed = self.rest.min(bytes.len());
                self.rest -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            let need = if self.connected { 12 } else { 4 };
            let taken = (need - self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have < need {
                return Ok(());
            }
            self.have = 0;
            let [a, b, c, d, e, f, g, h, i, j, k, l] = self.head;
            let length = i32::from_be_bytes([a, b, c, d]);
            self.rest = usize::try_from(length)
                .ok()
                .and_then(|length| length.checked_sub(need - 4))
                .ok_or_else(|| format!("a request of {length} bytes"))?;
            if self.connected {
                let (xid, op) = ([e, f, g, h], [i, j, k, l]);
                asked
                    .waiting
                    .push_back((i32::from_be_bytes(xid), i32::from_be_bytes(op)));
            }
            self.connected = true;
        }
        Ok(())
    }
}
