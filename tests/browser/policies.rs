//! The policy that is chosen in the steps of a restore, and what it leaves in ZooKeeper; the keyboard is enough for it.

use serde_json::Value;
use zk_backup_testkit::Browser;

use crate::kit::Site;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const DOWN: &str = "\u{e015}";

/// The name of what has the focus.
const FOCUSED: &str =
    "document.activeElement.labels?.[0]?.firstChild.textContent ?? document.activeElement.textContent";

fn focused(browser: &Browser) -> Value {
    browser.run(&format!("return {FOCUSED}"), &[]).unwrap()
}

fn wait_for_focus(browser: &Browser, name: &str) {
    let is_on = format!("return ({FOCUSED}) === arguments[0]");
    browser.wait_for(&is_on, &[name.into()]).unwrap();
}

/// Goes from one thing that can be used to the next, until it is the one of this name.
fn tab_to(browser: &Browser, name: &str) {
    let mut passed = Vec::new();
    while passed.len() < 10 {
        browser.keys(TAB).unwrap();
        passed.push(focused(browser));
        if passed.last() == Some(&name.into()) {
            return;
        }
    }
    panic!("no way to {name}: {passed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_does_what_the_chosen_policy_says() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant(&[
        ("/config", b""),
        ("/config/changed", b"before"),
        ("/config/gone", b"before"),
    ])
    .await;
    let id = site.back_up();
    site.client
        .set_data("/config/changed", b"since", None)
        .await
        .unwrap();
    site.client.delete("/config/gone", None).await.unwrap();
    site.plant(&[("/config/new", b"since")]).await;
    site.sign_in();

    // Only what is missing, by the keyboard alone.
    site.show(&format!("restore?id={id}"));
    browser.wait_for_text("Consistency").unwrap();
    for step in ["What", "Where to"] {
        wait_for_focus(browser, step);
        tab_to(browser, "Next");
        browser.keys(ENTER).unwrap();
    }
    wait_for_focus(browser, "Policy");
    tab_to(browser, "Replace");
    browser.keys(DOWN).unwrap();
    browser.keys(DOWN).unwrap();
    assert_eq!(focused(browser), "Only what is missing");
    tab_to(browser, "Next");
    browser.keys(ENTER).unwrap();
    for what in [
        "1 would be created",
        "0 would be given their data",
        "0 would be deleted",
    ] {
        browser.wait_for_text(what).unwrap();
    }
    wait_for_focus(browser, "Next");
    browser.keys(ENTER).unwrap();
    wait_for_focus(browser, "Confirm");
    assert!(browser.text().unwrap().contains("Only what is missing"));
    tab_to(browser, "To go on, type the id of the backup: ");
    browser.keys(&format!("{id}{ENTER}")).unwrap();
    browser.wait_for_text("1 created").unwrap();
    wait_for_focus(browser, "Result");
    assert_eq!(site.data("/config/gone").await.unwrap(), b"before");
    assert_eq!(site.data("/config/changed").await.unwrap(), b"since");
    assert_eq!(site.data("/config/new").await.unwrap(), b"since");

    // Merge, on a telephone.
    browser.resize(360, 740).unwrap();
    site.client.delete("/config/gone", None).await.unwrap();
    site.show(&format!("restore?id={id}"));
    browser.wait_for_text("Consistency").unwrap();
    for text in ["To where it was.", "as replace, and nothing is deleted"] {
        browser.press("Next").unwrap();
        browser.wait_for_text(text).unwrap();
        site.assert_fits(360, text);
    }
    browser.click("//label[starts-with(., 'Merge')]").unwrap();
    for text in ["1 would be given their data", "To go on, type the id"] {
        browser.press("Next").unwrap();
        browser.wait_for_text(text).unwrap();
        site.assert_fits(360, text);
    }
    assert!(browser.text().unwrap().contains("Merge"));
    browser.type_into("//input[@type='text']", &id).unwrap();
    browser.click("//form//button[.='Restore']").unwrap();
    for what in ["1 created", "1 given their data", "0 deleted"] {
        browser.wait_for_text(what).unwrap();
    }
    site.assert_fits(360, "Result");
    assert_eq!(site.data("/config/gone").await.unwrap(), b"before");
    assert_eq!(site.data("/config/changed").await.unwrap(), b"before");
    assert_eq!(site.data("/config/new").await.unwrap(), b"since");
    site.assert_no_complaints(&[]);
}
