//! How time passes: when nobody has anything to do before some time has, and not before.
//!
//! A runtime whose time is paused lets it pass by itself only while no thread of its own is at work. Some wait for what takes time, such as whoever writes a backup for what
//! is read: then it is moved on by steps, once every thread of this process waits. So it never passes while a thread is between two things that it does.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

const STEP: Duration = Duration::from_millis(50);

/// A runtime whose time passes so.
pub(crate) fn runtime() -> Runtime {
    let (working, idle) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default());
    let (begun, ended, parked) = (Arc::clone(&working), Arc::clone(&working), Arc::clone(&idle));
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        // Each thread is counted from when it is asked for, and ends with its work.
        .thread_keep_alive(Duration::ZERO)
        .thread_name_fn(move || {
            begun.fetch_add(1, Ordering::SeqCst);
            "at work".to_owned()
        })
        .on_thread_stop(move || {
            ended.fetch_sub(1, Ordering::SeqCst);
        })
        .on_thread_park(move || {
            if working.load(Ordering::SeqCst) > 0 {
                wait_for_others();
                parked.notify_one();
            }
        })
        .build()
        .unwrap();
    runtime.spawn(async move {
        loop {
            idle.notified().await;
            tokio::time::advance(STEP).await;
        }
    });
    runtime
}

/// Ends once all other threads of this process wait for something.
fn wait_for_others() {
    let own = fs::read_link("/proc/thread-self").unwrap();
    let own = own.file_name().unwrap();
    loop {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let mut others = tasks
            .map(|task| task.unwrap())
            .filter(|task| task.file_name() != own);
        // One that has ended meanwhile cannot be read.
        let waits = |stat: String| {
            stat.rsplit(')')
                .next()
                .is_some_and(|rest| rest.trim_start().starts_with('S'))
        };
        if others.all(|task| fs::read_to_string(task.path().join("stat")).is_ok_and(waits)) {
            return;
        }
        thread::yield_now();
    }
}
