//! A restore that cannot bring back everything.

use zookeeper_client::{Acls, CreateMode};

use crate::kit::Site;

const NAMED: &str = "What cannot be brought back: 1";
const REST: &str =
    "A restore brings back everything else, and ends as failed: 1 znode cannot be brought back.";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_brought_back_is_shown_before_the_rest_is_restored() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant(&[
        ("/config", b""),
        ("/config/new", b"of the backup"),
        ("/config/retries", b"3"),
    ])
    .await;
    let id = site.back_up();
    site.client.delete("/config/new", None).await.unwrap();
    let lock = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    site.client.create("/config/new", b"a lock", &lock).await.unwrap();
    site.client.set_data("/config/retries", b"0", None).await.unwrap();

    site.sign_in();
    site.plan(&id);
    for text in [NAMED, REST, "nothing was written", "1 would be given their data"] {
        browser.wait_for_text(text).unwrap();
    }
    let first = || {
        let row = "return document.querySelector('.failures tbody tr').innerText";
        browser.run(row, &[]).unwrap().as_str().unwrap().to_owned()
    };
    assert!(first().starts_with("/config/new"), "{}", first());
    browser.press("Next").unwrap();
    browser.wait_for_text("To go on, type the id").unwrap();
    let shown = browser.text().unwrap();
    let places = [REST, NAMED, "To go on, type the id"].map(|text| shown.find(text));
    assert!(places.is_sorted() && places[0].is_some(), "{places:?}: {shown}");
    assert!(first().starts_with("/config/new"), "{}", first());
    assert_eq!(site.data("/config/retries").await.unwrap(), b"0", "it is a plan");
    browser.type_into("//input[@type='text']", &id).unwrap();
    browser.click("//form//button[.='Restore']").unwrap();
    browser.wait_for_text("What could not be done: 1").unwrap();
    assert_eq!(site.data("/config/retries").await.unwrap(), b"3");
    assert_eq!(site.data("/config/new").await.unwrap(), b"a lock");
    // The jobs failed, and are answered with 500, which the browser notes.
    site.assert_no_complaints(&["/jobstatus/"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_could_not_be_made_leads_nowhere() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant(&[("/config", b"")]).await;
    let id = site.back_up();
    site.sign_in();
    site.show(&format!("restore?id={id}&path=/nowhere"));
    browser.wait_for_text("Consistency").unwrap();
    for text in [
        "To the same place",
        "Only what is missing",
        "has no znode /nowhere",
    ] {
        browser.press("Next").unwrap();
        browser.wait_for_text(text).unwrap();
    }
    let hidden = "return [...document.querySelectorAll('form button')].find((button) => button.textContent === 'Next').hidden";
    assert_eq!(browser.run(hidden, &[]).unwrap(), true);
    assert!(!browser.text().unwrap().contains("everything else"));
    site.assert_no_complaints(&["/jobstatus/"]);
}
