//! What the server tells by itself is shown at once; where it tells nothing the page asks.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::json;
use tempfile::TempDir;
use zk_backup_testkit::{PASSWORD, Proxy, USER};

use crate::kit::Site;

/// From here on nothing is asked because time has passed.
const NO_POLLS: &str = "const real = window.setTimeout;
    window.setTimeout = (act, ms, ...more) => real(act, ms >= 500 ? 1e9 : ms, ...more);";

/// A server whose jobs do not begin before a file is there, which its place is.
async fn held() -> (Site, TempDir) {
    let place = tempfile::tempdir().unwrap();
    let wait = format!(
        "until test -e {}; do sleep 0.05; done",
        go(place.path()).display()
    );
    let hook = json!(["/bin/sh", "-c", wait]).to_string();
    let site = Site::start_with(&[("HOOK_BEFORE", &hook)]).await;
    site.plant(&[("/config", b"1")]).await;
    (site, place)
}

fn go(place: &Path) -> std::path::PathBuf {
    place.join("go")
}

/// Begins a backup, which waits for its hook.
fn begin(site: &Site, place: &TempDir) -> String {
    let _ = fs::remove_file(go(place.path())); // the first finds none
    site.daemon.http.post("/backup", "").unwrap().text
}

fn end(place: &TempDir) {
    fs::write(go(place.path()), "").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_begins_and_ends_is_shown_without_waiting_to_ask() {
    let (site, place) = held().await;
    let browser = &site.browser;
    site.sign_in();
    browser.run(NO_POLLS, &[]).unwrap();
    let go_to = |part: &str| browser.run(&format!("location.hash = '#/{part}'"), &[]).unwrap();

    // The job itself.
    let first = begin(&site, &place);
    go_to(&format!("job?id={first}"));
    browser.wait_for_text("backup:").unwrap();
    end(&place);
    browser.wait_for_text("Look into it").unwrap();

    // The list of jobs, also of one that others have begun.
    go_to("jobs");
    browser.wait_for_text(&first).unwrap();
    let second = begin(&site, &place);
    browser.wait_for_text("Processing").unwrap();
    end(&place);
    let ended = "const row = [...document.querySelectorAll('tr')].find((row) => row.textContent.includes(arguments[0]));
        return row?.textContent.includes('Successful')";
    browser.wait_for(ended, &[(&*second).into()]).unwrap();

    // What is told of all of them, and the backups.
    for part in ["overview", "backups"] {
        go_to(part);
        browser.wait_for_text(&second).unwrap();
    }
    let third = begin(&site, &place);
    end(&place);
    browser.wait_for_text(&third).unwrap();
    go_to("overview");
    browser.wait_for_text(&third).unwrap();
    let fourth = begin(&site, &place);
    end(&place);
    browser.wait_for_text(&fourth).unwrap();
    site.assert_no_complaints(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_one_stream_and_none_while_nobody_looks() {
    let (site, place) = held().await;
    let browser = &site.browser;
    site.sign_in();
    let watched = "const Real = window.EventSource; window.streams = [];
        window.EventSource = class extends Real { constructor(url) { super(url); window.streams.push(this); } };
        window.look = (looks) => {
            Object.defineProperty(document, 'hidden', { value: !looks, configurable: true });
            document.dispatchEvent(new Event('visibilitychange'));
        };
        window.look(false); window.look(true);";
    browser.run(watched, &[]).unwrap();
    let states = "return window.streams.map((stream) => stream.readyState)";
    let open = format!("{states}.join() === '1'");
    browser.wait_for(&open, &[]).unwrap();
    for part in ["jobs", "backups", "overview"] {
        browser.run(&format!("location.hash = '#/{part}'"), &[]).unwrap();
    }
    browser.wait_for_text("Last success").unwrap();
    assert_eq!(browser.run(states, &[]).unwrap(), json!([1]));
    browser.run("window.look(false)", &[]).unwrap();
    assert_eq!(browser.run(states, &[]).unwrap(), json!([2]));

    // What happened meanwhile is there for who comes back.
    browser.run(NO_POLLS, &[]).unwrap();
    for part in ["overview", "backups"] {
        browser.run(&format!("location.hash = '#/{part}'"), &[]).unwrap();
        browser
            .wait_for_text(if part == "backups" {
                "looked at"
            } else {
                "Last success"
            })
            .unwrap();
        browser.run("window.look(false)", &[]).unwrap();
        let id = begin(&site, &place);
        end(&place);
        assert_eq!(site.daemon.wait_for_job(&id).unwrap().status, 200);
        browser.run("window.look(true)", &[]).unwrap();
        browser.wait_for_text(&id).unwrap();
    }
    let last = format!("{states}.join() === '2,2,1'");
    browser.wait_for(&last, &[]).unwrap();
    site.assert_no_complaints(&[]);
}

/// Passes everything on but `GET /events`, which the server does not know by the name that it is given; says how often that was asked.
fn without_events(server: &str) -> (Proxy, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let change = move |bytes: &mut [u8]| {
        // Each request comes in one piece.
        if bytes.starts_with(b"GET /events ") {
            counted.fetch_add(1, Ordering::SeqCst);
            bytes[5..11].copy_from_slice(b"nobody");
        }
    };
    let proxy = Proxy::start_changing(server, change).unwrap();
    (proxy, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_is_told_the_page_asks() {
    let (site, place) = held().await;
    let browser = &site.browser;
    let (proxy, asked) = without_events(&site.daemon.address);
    let begun = Instant::now();
    site.sign_in_at(proxy.address(), USER, PASSWORD);
    let id = begin(&site, &place);
    browser
        .run("location.hash = `#/job?id=${arguments[0]}`", &[(&*id).into()])
        .unwrap();
    browser.wait_for_text("backup:").unwrap();
    end(&place);
    browser.wait_for_text("Look into it").unwrap();
    // It is not asked again and again for what is not there: once for each time that the page was loaded, and each minute.
    let (asked, minutes) = (asked.load(Ordering::SeqCst), begun.elapsed().as_secs() / 60);
    assert!((1..=2 + minutes).contains(&(asked as u64)), "{asked}");
    site.assert_no_complaints(&["/events"]);
}
