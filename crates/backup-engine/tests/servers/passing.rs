//! How time passes: when nobody has anything to do before some time has, and not before.
//!
//! A runtime whose time is paused lets it pass by itself only while no thread of its own is at work. Some wait for what takes time, such as whoever writes a backup for what
//! is read: then it is moved on by steps, once every thread of this process waits. So it never passes while a thread is between two things that it does.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::time::{Instant, advance};

/// What waits for a time that nobody has named here comes so much late at most.
const LONGEST_STEP: Duration = Duration::from_millis(500);

/// Until when those wait whose times are kept: a step ends there.
#[derive(Clone, Default)]
pub(crate) struct Times {
    until: Arc<Mutex<BTreeSet<(Instant, usize)>>>,
    /// Calls in which a thread waits for nothing that takes time, however it does that.
    pub(crate) calls: Arc<AtomicUsize>,
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

struct Waiting {
    times: Times,
    until: (Instant, usize),
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.times.until.lock().unwrap().remove(&self.until);
    }
}

impl Times {
    pub(crate) async fn sleep(&self, time: Duration) {
        let until = (Instant::now() + time, NEXT.fetch_add(1, Ordering::SeqCst));
        self.until.lock().unwrap().insert(until);
        let _waiting = Waiting {
            times: self.clone(),
            until,
        };
        tokio::time::sleep(time).await;
    }

    /// How long it is until the first of them.
    fn step(&self) -> Duration {
        let now = Instant::now();
        // Who is stopped may sleep beyond it.
        let first = self
            .until
            .lock()
            .unwrap()
            .range((now, usize::MAX)..)
            .next()
            .copied();
        let left = first.map_or(LONGEST_STEP, |(until, _)| until - now);
        // Whoever sleeps is woken at a whole millisecond.
        let whole = Duration::from_millis(u64::try_from(left.as_millis()).unwrap_or(u64::MAX) + 1);
        whole.min(LONGEST_STEP)
    }
}

/// A runtime whose time passes so.
pub(crate) fn runtime() -> (Runtime, Times) {
    let times = Times::default();
    let (threads, calls) = (Arc::<Threads>::default(), Arc::clone(&times.calls));
    let [begun, ended, parked, moved] = [(); 4].map(|()| Arc::clone(&threads));
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        // Each thread is counted from when it is asked for, and ends with its work.
        .thread_keep_alive(Duration::ZERO)
        .thread_name_fn(move || {
            begun.begun.fetch_add(1, Ordering::SeqCst);
            "at work".to_owned()
        })
        .on_thread_stop(move || {
            ended.ended.fetch_add(1, Ordering::SeqCst);
        })
        .on_thread_park(move || parked.look(&calls))
        .build()
        .unwrap();
    let kept = times.clone();
    runtime.spawn(async move {
        loop {
            moved.looked.notified().await;
            if moved.all_wait.swap(false, Ordering::SeqCst) {
                advance(kept.step()).await;
            }
        }
    });
    (runtime, times)
}

/// The threads of a runtime that are at work.
#[derive(Default)]
struct Threads {
    begun: AtomicUsize,
    ended: AtomicUsize,
    /// How many had ended when that was last asked for.
    known: AtomicUsize,
    /// Nothing happens before some time has passed.
    all_wait: AtomicBool,
    looked: Notify,
    /// What was last seen of them.
    seen: Mutex<Option<Vec<(OsString, String)>>>,
}

impl Threads {
    /// Ends once there was a moment at which all other threads of this process waited.
    fn wait_for_others(&self) {
        let mut seen = self.seen.lock().unwrap();
        loop {
            let now = waiting();
            // Whoever was looked at early may have been woken by one that was looked at late. None has run since they were last looked at.
            if now.is_some() && *seen == now {
                return;
            }
            *seen = now;
            // Whoever runs needs the processor more.
            thread::sleep(Duration::from_micros(30));
        }
    }

    /// The runtime has nothing to do.
    fn look(&self, calls: &AtomicUsize) {
        if self.begun.load(Ordering::SeqCst) == self.known.load(Ordering::SeqCst) {
            return; // time passes by itself
        }
        self.wait_for_others();
        while calls.load(Ordering::SeqCst) > 0 {
            thread::sleep(Duration::from_micros(200));
            self.wait_for_others();
        }
        let ended = self.ended.load(Ordering::SeqCst);
        // What one that has ended leaves to be done comes first.
        let all_wait = self.known.swap(ended, Ordering::SeqCst) == ended;
        self.all_wait.store(all_wait, Ordering::SeqCst);
        self.looked.notify_one();
    }
}

/// How often each other thread has begun to wait; `None` where one does not wait.
fn waiting() -> Option<Vec<(OsString, String)>> {
    let own = fs::read_link("/proc/thread-self").ok()?;
    let mut threads = Vec::new();
    for thread in fs::read_dir("/proc/self/task").ok()? {
        let thread = thread.ok()?;
        if Some(&*thread.file_name()) == own.file_name() {
            continue;
        }
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        let of = |what: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(what))
                .map(str::trim)
        };
        if !of("State:")?.starts_with('S') {
            return None;
        }
        threads.push((thread.file_name(), of("voluntary_ctxt_switches:")?.to_owned()));
    }
    Some(threads)
}
