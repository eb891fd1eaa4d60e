//! What is known of a lease, and what may be done about it: times are given, and requests are made elsewhere.

use std::time::Duration;

use object_store::{PutMode, UpdateVersion};
use serde::{Deserialize, Serialize};

/// How long a lease lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseTiming {
    /// How long it is held after it was taken or renewed. 30 seconds.
    pub ttl: Duration,
    /// When it is to be renewed. 10 seconds after it was.
    pub renew_every: Duration,
    /// How much longer than `ttl` others wait, since clocks do not run at the same rate: a tenth and more of `ttl` is enough for
    /// clocks that are each 5% off. 4 seconds.
    pub margin: Duration,
    /// When others look at it again. 2 seconds.
    pub poll: Duration,
}

impl Default for LeaseTiming {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(30),
            renew_every: Duration::from_secs(10),
            margin: Duration::from_secs(4),
            poll: Duration::from_secs(2),
        }
    }
}

impl LeaseTiming {
    /// How long a request is waited for: there is to be time for another one before the lease runs out.
    pub(in crate::object) fn patience(&self) -> Duration {
        self.ttl.saturating_sub(self.renew_every) / 4
    }
}

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Holder {
    /// What it is called.
    pub name: String,
    /// Where it is reached.
    pub address: String,
    /// How often the lease was taken until this one had it: by somebody else, or anew by whom it had run out for.
    pub term: u64,
}

/// The object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::object) struct Body {
    /// Who holds it: another word each time that a process is started. `None` if it was given away.
    pub(in crate::object) instance: Option<String>,
    #[serde(flatten)]
    pub(in crate::object) holder: Holder,
    ttl_ms: u64,
    /// Of this write alone.
    pub(in crate::object) token: String,
}

/// A write that is to be made.
#[derive(Debug, Clone)]
pub(in crate::object) struct Written {
    pub(in crate::object) body: Body,
    pub(in crate::object) mode: PutMode,
    /// The token of what it replaces.
    replaces: Option<String>,
    /// From when it counts: before it goes out.
    pub(in crate::object) asked: Duration,
}

/// What the object was found to be.
#[derive(Debug)]
pub(in crate::object) enum Looked {
    At(UpdateVersion, Body),
    /// As it was known to be.
    Same,
    Nothing,
}

#[derive(Debug, Clone)]
struct Seen {
    version: UpdateVersion,
    body: Body,
    /// When it was first seen to be so.
    since: Duration,
}

/// What one of those that share a lease knows of it.
#[derive(Debug)]
pub(in crate::object) struct LeaseState {
    instance: String,
    name: String,
    address: String,
    timing: LeaseTiming,
    seen: Option<Seen>,
    /// The greatest term that was seen.
    term: u64,
    /// Writes of ours whose answers are not known: their tokens, and from when they count.
    unanswered: Vec<(String, Duration)>,
    /// Until when it is held.
    until: Option<Duration>,
    /// It was given away, and is not held before it is taken again.
    given_away: bool,
    /// The last term that has ended: that it was not held then was told, whatever is found of its writes.
    over: u64,
}

/// Writes without an answer that are remembered. Older ones count from long ago.
const UNANSWERED: usize = 16;

fn token() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

impl LeaseState {
    pub(in crate::object) fn new(name: &str, address: &str, timing: LeaseTiming) -> Self {
        Self {
            instance: token(),
            name: name.to_owned(),
            address: address.to_owned(),
            timing,
            seen: None,
            term: 0,
            unanswered: Vec::new(),
            until: None,
            given_away: false,
            over: 0,
        }
    }

    pub(in crate::object) fn remaining(&self, now: Duration) -> Duration {
        self.until
            .map_or(Duration::ZERO, |until| until.saturating_sub(now))
    }

    pub(in crate::object) fn holder(&self) -> Option<Holder> {
        let seen = self.seen.as_ref()?;
        seen.body.instance.is_some().then(|| seen.body.holder.clone())
    }

    /// The ETag of what is known.
    pub(in crate::object) fn tag(&self) -> Option<String> {
        self.seen.as_ref()?.version.e_tag.clone()
    }

    pub(in crate::object) fn looked(&mut self, looked: Looked, now: Duration) {
        match looked {
            Looked::Same => {}
            Looked::Nothing => {
                if self.seen.is_some() {
                    log::error!(
                        "the lease is gone, which no server ever removes: has somebody emptied the bucket, or the folder of its prefix?"
                    );
                }
                self.seen = None;
                self.until = None;
            }
            Looked::At(version, body) => {
                if let Some(seen) = self.seen.as_mut().filter(|seen| seen.body.token == body.token) {
                    seen.version = version;
                    return;
                }
                let asked = self.unanswered.iter().find(|(token, _)| *token == body.token);
                let asked = asked.map(|(_, asked)| *asked);
                self.see(version, body, now, asked);
            }
        }
    }

    /// A write was answered: it was done.
    pub(in crate::object) fn done(&mut self, write: &Written, version: UpdateVersion, now: Duration) {
        self.see(version, write.body.clone(), now, Some(write.asked));
    }

    /// `asked` if it is a write of ours.
    fn see(&mut self, version: UpdateVersion, body: Body, now: Duration, asked: Option<Duration>) {
        self.term = self.term.max(body.holder.term);
        let ours = body.instance.as_ref() == Some(&self.instance) && !self.given_away;
        let ours = ours && body.holder.term > self.over;
        self.until = asked.filter(|_| ours).map(|asked| asked + self.timing.ttl);
        self.unanswered.retain(|(token, _)| *token != body.token);
        self.seen = Some(Seen {
            version,
            body,
            since: now,
        });
    }

    /// What takes the lease, if it may be taken. A term ends where it was not held for a moment: that is told, and so is that it is held again.
    pub(in crate::object) fn take(&mut self, now: Duration) -> Option<Written> {
        if self.is_held(now) || !(self.is_ours() || self.is_free(now)) {
            return None;
        }
        self.given_away = false;
        Some(self.write(Some(self.instance.clone()), self.term + 1, now))
    }

    /// Whether nobody else holds it, as far as was seen.
    pub(in crate::object) fn is_free(&self, now: Duration) -> bool {
        let Some(seen) = &self.seen else {
            return true;
        };
        // Who wrote it counted from before that, and his clock may be slower.
        let ttl = Duration::from_millis(seen.body.ttl_ms).max(self.timing.ttl);
        seen.body.instance.is_none() || now.saturating_sub(seen.since) >= ttl + self.timing.margin
    }

    /// What prolongs it, if it was ours when it was last looked at.
    pub(in crate::object) fn renew(&mut self, now: Duration) -> Option<Written> {
        let renews = self.is_ours() && !self.given_away;
        renews.then(|| self.write(Some(self.instance.clone()), self.term, now))
    }

    /// From now on it is not held, whatever is known and written.
    pub(in crate::object) fn stop_holding(&mut self) {
        self.until = None;
        self.given_away = true;
        self.over = self.term;
    }

    /// If it has run out its term has ended.
    pub(in crate::object) fn end_if_run_out(&mut self, now: Duration) {
        if !self.is_held(now) {
            self.over = self.term;
        }
    }

    /// Whether what a write was to replace is gone: by the write itself, or by somebody else's.
    pub(in crate::object) fn is_settled(&self, write: &Written) -> bool {
        self.token() != write.replaces
    }

    fn token(&self) -> Option<String> {
        Some(self.seen.as_ref()?.body.token.clone())
    }

    /// What gives it away, if it is ours.
    pub(in crate::object) fn release(&mut self, now: Duration) -> Option<Written> {
        self.stop_holding();
        self.is_ours().then(|| self.write(None, self.term, now))
    }

    fn is_held(&self, now: Duration) -> bool {
        !self.remaining(now).is_zero()
    }

    fn is_ours(&self) -> bool {
        let instance = self.seen.as_ref().and_then(|seen| seen.body.instance.as_ref());
        instance == Some(&self.instance)
    }

    fn write(&mut self, instance: Option<String>, term: u64, now: Duration) -> Written {
        let body = Body {
            instance,
            holder: Holder {
                name: self.name.clone(),
                address: self.address.clone(),
                term,
            },
            ttl_ms: u64::try_from(self.timing.ttl.as_millis()).unwrap_or(u64::MAX),
            token: token(),
        };
        self.unanswered.push((body.token.clone(), now));
        let over = self.unanswered.len().saturating_sub(UNANSWERED);
        self.unanswered.drain(..over);
        let version = self.seen.as_ref().map(|seen| seen.version.clone());
        Written {
            body,
            replaces: self.token(),
            mode: version.map_or(PutMode::Create, PutMode::Update),
            asked: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A renewal that was given up is done all the same, and comes before what takes the lease again.
    #[test]
    fn a_late_renewal_does_not_bring_back_a_term_that_has_ended() {
        let version = |tag: &str| UpdateVersion {
            e_tag: Some(tag.to_owned()),
            version: None,
        };
        let at = Duration::from_secs;
        let mut state = LeaseState::new("one", "", LeaseTiming::default());
        let taken = state.take(at(0)).unwrap();
        state.done(&taken, version("a"), at(0));
        let late = state.renew(at(29)).unwrap();
        state.end_if_run_out(at(30));
        let refused = state.take(at(31)).unwrap();
        state.looked(Looked::At(version("b"), late.body), at(32));
        assert!(state.is_settled(&refused));
        assert_eq!(state.remaining(at(32)), Duration::ZERO);
        let again = state.take(at(32)).unwrap();
        state.done(&again, version("c"), at(33));
        assert_eq!(state.holder().map(|holder| holder.term), Some(2));
        assert_eq!(state.remaining(at(33)), at(29));
    }
}
