//! Jobs while they run: how far they are, and an end that is asked for.

use serde_json::json;

use crate::kit::{READER, Site};

const CHILDREN: usize = 5_000;

/// How many znodes there are to be, once it shows that some of them are done.
const SOME_DONE: &str = "const bar = document.querySelector('main progress'); return bar?.value > 0 && bar.value < bar.max && bar.max";
const BUTTONS: &str =
    "return [...document.querySelectorAll('main button')].map((button) => button.textContent)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_seen_and_called_off() {
    let site = Site::start_with(&[("ZOOKEEPER_TIMEOUT", "600")]).await;
    let browser = &site.browser;
    site.plant_many(CHILDREN).await;
    let before = site.back_up();
    let there = site.daemon.describe(&before).unwrap()["znodes"].clone();

    // ZooKeeper takes what comes, and answers nothing.
    site.proxy.hold_after(0);
    site.sign_in();
    browser.press("Back up now").unwrap();
    browser.press("Cancel it").unwrap();
    browser.wait_for_text("Canceled").unwrap();
    site.proxy.go_on();

    // Some of it is done.
    site.proxy.hold_after(90_000);
    browser.press("Overview").unwrap();
    browser.press("Back up now").unwrap();
    browser.wait_for_text("backup: capturing").unwrap();
    assert_eq!(browser.wait_for(SOME_DONE, &[]).unwrap(), there);
    browser.wait_for_text("of about 5,").unwrap();
    let running = "return new URLSearchParams(location.hash.split('?')[1]).get('id')";
    let running = browser.run(running, &[]).unwrap().as_str().unwrap().to_owned();
    let waiting = site.daemon.http.post("/backup", "").unwrap().text;

    // Who only looks sees that, and cannot end it.
    let [(_, user), (_, password)] = READER;
    site.sign_in_as(user, password);
    for part in [&*format!("job?id={running}"), "jobs"] {
        site.show(part);
        assert_eq!(browser.wait_for(SOME_DONE, &[]).unwrap(), there, "{part}");
        assert!(browser.text().unwrap().contains("capturing"), "{part}");
        assert_eq!(browser.run(BUTTONS, &[]).unwrap(), json!([]), "{part}");
    }

    site.sign_in();
    site.show("jobs");
    browser
        .click(&format!("//button[@aria-label='Cancel {waiting}']"))
        .unwrap();
    let canceled = "return [...document.querySelectorAll('tr')].some((row) => row.textContent.includes(arguments[0]) && row.textContent.includes('Canceled'))";
    browser.wait_for(canceled, &[(&*waiting).into()]).unwrap();
    site.show(&format!("job?id={running}"));
    browser.press("Cancel it").unwrap();
    browser.wait_for_text("Canceled").unwrap();
    let on = browser
        .run("return document.activeElement.className", &[])
        .unwrap();
    assert_eq!(on, "box result", "its button is gone");
    let jobs = site.daemon.http.get("/jobs").unwrap().json();
    let states: Vec<_> = (0..4).map(|at| &jobs["jobs"][at]["status"]).collect();
    assert_eq!(
        states,
        ["Canceled", "Canceled", "Canceled", "Successful"],
        "{jobs}"
    );
    let backups = site.daemon.http.get("/listbackups").unwrap().json();
    assert_eq!(backups, json!([before]), "nothing is left of them");
    site.proxy.go_on();
    site.back_up();
    // Jobs that were canceled are answered with 500, which the browser notes.
    site.assert_no_complaints(&["/jobstatus/"]);
}
