//! What an operator does: back up, look, break, compare, restore; and a restore that fails.

use serde_json::json;
use zookeeper_client::Acls;

use crate::kit::Site;

const BEFORE: &[u8] = b"{\"retries\": 3,\n \"hosts\": [\"a\", \"b\"]}\n\xc3\xa9";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_broken_is_seen_and_restored_byte_for_byte() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant(&[
        ("/config", b""),
        ("/config/topics", BEFORE),
        ("/config/gone", b"\0\xff"),
    ])
    .await;

    site.sign_in();
    browser.press("Back up now").unwrap();
    browser.press("Look into it").unwrap();
    browser.wait_for_text("full backup").unwrap();
    let id = browser.wait_for(
        "return new URLSearchParams(location.hash.split('?')[1]).get('id')",
        &[],
    );
    let id = id.unwrap().as_str().unwrap().to_owned();
    let state = site.daemon.describe(&id).unwrap();
    assert_eq!(state["valid"], true, "{state}");
    browser
        .click("//*[@role='treeitem'][contains(., 'config')]")
        .unwrap();
    browser
        .click("//*[@role='treeitem'][contains(., 'topics')]")
        .unwrap();
    browser.wait_for_text("\"retries\": 3").unwrap();
    site.picture("backup");
    browser.click("//summary[.='Log']").unwrap();
    browser.wait_for_text("[INFO]").unwrap();

    site.client.set_data("/config/topics", b"{}", None).await.unwrap();
    site.client.delete("/config/gone", None).await.unwrap();
    site.plant(&[("/config/new", b"1")]).await;
    site.show(&format!("diff?from={id}&to=live"));
    browser.wait_for_text("1 added").unwrap();
    for what in ["1 removed", "1 with other data", "0 with another ACL"] {
        browser.wait_for_text(what).unwrap();
    }
    browser
        .click("//*[@role='treeitem'][contains(., 'topics')]")
        .unwrap();
    browser.wait_for_text("+ {}").unwrap();
    browser.wait_for_text("- {\"retries\": 3,").unwrap();
    site.picture("diff");

    site.plan(&id);
    for what in [
        "1 would be created",
        "1 would be given their data",
        "1 would be deleted",
        "0 failed",
    ] {
        browser.wait_for_text(what).unwrap();
    }
    assert_eq!(site.data("/config/topics").await.unwrap(), b"{}", "it is a plan");
    site.picture("restore");
    browser.press("Next").unwrap();
    let confirmed = "//input[@type='text']";
    browser.type_into(confirmed, "20000101T000000").unwrap();
    // Not the link in the menu.
    browser.click("//form//button[.='Restore']").unwrap();
    browser.wait_for_text(&format!("That is not {id}.")).unwrap();
    assert_eq!(
        site.data("/config/topics").await.unwrap(),
        b"{}",
        "it was not confirmed"
    );
    browser
        .run("document.querySelector('input[type=text]').value = ''", &[])
        .unwrap();
    browser.type_into(confirmed, &id).unwrap();
    browser.click("//form//button[.='Restore']").unwrap();
    browser.wait_for_text("1 deleted").unwrap();
    assert_eq!(site.data("/config/topics").await.unwrap(), BEFORE);
    assert_eq!(site.data("/config/gone").await.unwrap(), b"\0\xff");
    assert_eq!(site.data("/config/new").await, None);

    let ids = site.daemon.http.get("/listbackups").unwrap().json();
    let first = site.daemon.describe(ids[1].as_str().unwrap()).unwrap();
    assert_eq!(first["pinned"], true, "a pinned backup came first: {first}");
    let latest = site.daemon.describe("latest").unwrap();
    assert_eq!(latest["id"], *id, "one for undoing is only meant by its id");
    site.show("restore");
    browser
        .wait_for_text(&format!("before a restore of {id}"))
        .unwrap();
    let chosen = browser.run("return document.querySelector('main select').value", &[]);
    assert_eq!(chosen.unwrap(), *id, "that is what is offered, not the way back");
    site.show("history?path=/config/topics");
    browser.wait_for_text("there in the first backup").unwrap();
    browser.wait_for_text("other data").unwrap();
    // Of another size: what is plotted is of full backups alone, and not of the way back.
    let (_, some) = site.daemon.do_job("/backup", r#"{"dbs": ["config"]}"#).unwrap();
    assert_eq!(some.status, 200, "{}", some.text);
    site.show("overview");
    for text in ["3 backups", " free of ", " of full backups: now "] {
        browser.wait_for_text(text).unwrap();
    }
    let bars =
        "return [...document.querySelectorAll('svg .bar')].map((bar) => bar.textContent.split(':')[0])";
    assert_eq!(browser.run(bars, &[]).unwrap(), json!([id, id]));
    site.picture("overview");
    site.assert_no_complaints(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_fails_names_what_has_failed() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant(&[("/closed", b"before")]).await;
    let id = site.back_up();
    site.client.set_data("/closed", b"after", None).await.unwrap();

    site.sign_in();
    site.plan(&id);
    // The plan knows nothing of this.
    let read_only = Acls::anyone_read();
    site.client.set_acl("/closed", &read_only, None).await.unwrap();
    browser.press("Next").unwrap();
    browser.type_into("//input[@type='text']", &id).unwrap();
    browser.click("//form//button[.='Restore']").unwrap();
    browser.wait_for_text("What could not be done: 1").unwrap();
    let failed = "return document.querySelector('.failures tbody tr').innerText";
    let failed = browser.run(failed, &[]).unwrap();
    assert!(failed.as_str().unwrap().starts_with("/closed"), "{failed}");
    browser.wait_for_text("Failed").unwrap();
    assert_eq!(site.data("/closed").await.unwrap(), b"after");
    site.show("jobs");
    browser.wait_for_text("Failed").unwrap();
    // The job of one that failed is answered with 500, which the browser notes.
    site.assert_no_complaints(&["/jobstatus/"]);
}

/// What is below a subtree that goes elsewhere, and is to come back where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subtree_stays_where_it_was_though_the_one_above_it_is_restored_elsewhere() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant(&[("/a", b"a"), ("/a/b", b"b"), ("/a/c", b"c")]).await;
    let id = site.back_up();
    for path in ["/a/b", "/a/c"] {
        site.client.set_data(path, b"since", None).await.unwrap();
    }
    site.sign_in();
    site.show(&format!("restore?id={id}&path=/a"));
    browser.wait_for_text("Consistency").unwrap();
    browser
        .run("document.querySelector('textarea').value = '/a\\n/a/b'", &[])
        .unwrap();
    browser.press("Next").unwrap();
    browser.wait_for_text("To the same place").unwrap();
    browser
        .run("document.querySelector('input[type=text]').value = '/z'", &[])
        .unwrap();
    for text in [
        "Only what is missing",
        "2 would be created",
        "To go on, type the id",
    ] {
        browser.press("Next").unwrap();
        browser.wait_for_text(text).unwrap();
    }
    browser.type_into("//input[@type='text']", &id).unwrap();
    browser.click("//form//button[.='Restore']").unwrap();
    browser.wait_for_text("2 created").unwrap();
    for (path, data) in [
        ("/z", Some(&b"a"[..])),
        ("/z/c", Some(&b"c"[..])),
        ("/z/b", None),
        ("/a/b", Some(&b"b"[..])),
        ("/a/c", Some(&b"since"[..])),
    ] {
        assert_eq!(site.data(path).await.as_deref(), data, "{path}");
    }
    site.assert_no_complaints(&[]);
}

/// What retention would do is shown with reasons, and done only when that is confirmed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_are_pinned_and_retention_is_a_plan_with_reasons() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant(&[("/config", b""), ("/config/topics", b"in it"), ("/other", b"")])
        .await;
    let (some, state) = site.daemon.do_job("/backup", r#"{"dbs": ["config"]}"#).unwrap();
    assert_eq!(state.status, 200, "{}", state.text);
    let id = site.back_up();
    site.sign_in();
    site.show(&format!("backup?id={some}"));
    browser
        .click("//*[@role='treeitem'][contains(., 'config')]")
        .unwrap();
    browser
        .click("//*[@role='treeitem'][contains(., 'topics')]")
        .unwrap();
    browser.wait_for_text("in it").unwrap();
    let text = browser.text().unwrap();
    assert!(!text.contains("other"), "it was not asked for: {text}");
    site.show("backups");
    browser.press("Pin").unwrap();
    browser.wait_for_text("Unpin").unwrap();
    assert_eq!(site.daemon.describe(&id).unwrap()["pinned"], true);
    browser.press("Unpin").unwrap();
    browser
        .wait_for(
            "return document.querySelector('td button')?.textContent === 'Pin'",
            &[],
        )
        .unwrap();
    assert_eq!(site.daemon.describe(&id).unwrap()["pinned"], false);
    browser.type_into("//input[@type='search']", "1999").unwrap();
    browser.wait_for_text("None is like that.").unwrap();

    site.show("retention");
    browser.wait_for_text("2 stay").unwrap();
    browser.wait_for_text("stays").unwrap();
    let input = "//label[starts-with(., 'Full')]/following-sibling::input";
    browser
        .run("document.querySelectorAll('form input')[0].value = ''", &[])
        .unwrap();
    browser.type_into(input, "1x/delete").unwrap();
    browser.press("Show the plan").unwrap();
    browser.wait_for_text("at character").unwrap();
    // A policy that cannot be read is answered with 400.
    site.assert_no_complaints(&["/evictionpolicy"]);
}
