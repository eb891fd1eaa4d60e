//! A restore that comes after a backup, where nobody looks any more or its page is left.

use crate::kit::Site;

/// Keeps every job in work, as far as the page is told, until `release()`.
const BUSY: &str = "const real = window.fetch; let busy = true; window.release = () => { busy = false; };
    window.fetch = (url, init) => busy && String(url).includes('jobstatus')
        ? Promise.resolve(new Response(JSON.stringify({ task_id: 'x', type: 'backup', status: 'Processing' }))) : real(url, init);";

/// Goes on to the confirmation of a restore of everything, and confirms it.
fn confirm(site: &Site, id: &str, before: &str) {
    let browser = &site.browser;
    site.plan(id);
    browser.press("Next").unwrap();
    browser.type_into("//input[@type='text']", id).unwrap();
    browser.run(before, &[]).unwrap();
    browser.click("//form//button[.='Restore']").unwrap();
}

/// Jobs that restore and are no plan.
fn restores(site: &Site) -> usize {
    let jobs = site.daemon.http.get("/jobs").unwrap().json();
    let jobs = jobs["jobs"].as_array().unwrap();
    jobs.iter().filter(|job| job["type"] == "restore").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_is_begun_also_where_nobody_looks_and_not_where_its_page_is_left() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant(&[("/config", b"before")]).await;
    let id = site.back_up();
    site.client.set_data("/config", b"after", None).await.unwrap();
    site.sign_in();

    confirm(&site, &id, BUSY);
    browser.wait_for_text("backup: begins").unwrap();
    assert_eq!(restores(&site), 1, "the plan alone");
    browser.press("Jobs").unwrap();
    browser.answer(false).unwrap();
    let hash = browser.run("return location.hash", &[]).unwrap();
    assert!(hash.as_str().unwrap().starts_with("#/restore"), "{hash}");
    browser.wait_for_text("backup: begins").unwrap();
    browser.press("Jobs").unwrap();
    browser.answer(true).unwrap();
    browser.wait_for_text("the restore was not begun").unwrap();
    browser.run("window.release()", &[]).unwrap();
    browser.wait_for_text("Queued").unwrap();
    // Nothing is broken off any more.
    browser.press("Overview").unwrap();
    browser.wait_for_text("Last success").unwrap();
    assert!(!browser.text().unwrap().contains("not begun"));
    assert_eq!(restores(&site), 1);
    assert_eq!(site.data("/config").await.unwrap(), b"after");

    let hide = "Object.defineProperty(document, 'hidden', { get: () => true });";
    confirm(&site, &id, &format!("{BUSY} {hide}"));
    browser.wait_for_text("backup: begins").unwrap();
    browser.run("window.release()", &[]).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while site.data("/config").await.unwrap() != b"before" {
        assert!(
            std::time::Instant::now() < deadline,
            "{}",
            browser.text().unwrap()
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    site.assert_no_complaints(&[]);
}
