//! What goes wrong beside what somebody looks at: it hides nothing else.

use crate::kit::Site;

/// Answers to this path are others, with this status and text.
const INSTEAD: &str = "const [path, status, text] = arguments; const real = window.fetch;
    window.told = 0;
    window.fetch = async (url, init) => {
        if (new URL(url).pathname !== path) return real(url, init);
        window.told += 1;
        return new Response(text, { status });
    };
    window.again = () => { window.fetch = real; };";

const UNREADABLE: &str =
    r#"{"status": "Failed", "code": "storage_failed", "message": "manifest.json: Permission denied"}"#;

/// Goes to a part of the page, which is not loaded anew.
fn go(site: &Site, part: &str) {
    let script = "location.hash = '#/' + arguments[0]";
    site.browser.run(script, &[part.into()]).unwrap();
}

fn instead(site: &Site, path: &str, status: u16, text: &str) {
    site.browser
        .run(INSTEAD, &[path.into(), status.into(), text.into()])
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_cannot_be_read_hides_no_other() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant(&[("/config", b"")]).await;
    let [broken, good] = [(); 2].map(|()| site.back_up());
    site.sign_in();
    browser.wait_for_text("Nothing is wrong.").unwrap();
    instead(&site, &format!("/listbackups/{broken}"), 500, UNREADABLE);
    go(&site, "backups");
    browser.wait_for_text("manifest.json: Permission denied").unwrap();
    let text = browser.text().unwrap();
    assert!(text.contains("cannot be read") && text.contains(&good), "{text}");
    go(&site, &format!("restore?id={good}"));
    browser.wait_for_text("Consistency").unwrap();
    let choice = "return [...document.querySelectorAll('main option')].some((option) => option.innerText.includes('cannot be read'))";
    browser.wait_for(choice, &[]).unwrap();
    let text = browser.text().unwrap();
    assert!(
        text.contains("consistent") && !text.contains("Permission denied"),
        "{text}"
    );
    go(&site, "overview");
    browser.wait_for_text("Nothing is wrong.").unwrap();
    site.assert_no_complaints(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_the_server_is_is_shown_where_backups_cannot_be_listed_and_so_is_the_way_back() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant(&[("/config", b"")]).await;
    let id = site.back_up();
    site.sign_in();
    instead(&site, "/listbackups", 500, UNREADABLE);
    // Another page first, as this one is read anew then.
    go(&site, "jobs");
    go(&site, "overview");
    browser.wait_for_text("manifest.json: Permission denied").unwrap();
    browser.wait_for_text("Nothing is wrong.").unwrap();
    let text = browser.text().unwrap();
    assert!(text.contains(&id), "the last success is not there: {text}");
    go(&site, &format!("restore?id={id}"));
    browser.wait_for_text("Consistency").unwrap();
    site.assert_no_complaints(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_a_proxy_sends_ends_no_watch() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant(&[("/config", b"")]).await;
    let (id, _) = site.daemon.do_job("/backup", "").unwrap();
    site.sign_in();
    instead(&site, &format!("/jobstatus/{id}"), 500, "<html>Sign in</html>");
    go(&site, &format!("job?id={id}"));
    browser
        .wait_for_text("Something else than the server has answered. Asking again")
        .unwrap();
    browser.run("window.again()", &[]).unwrap();
    browser.wait_for_text("Successful").unwrap();
    site.assert_no_complaints(&[]);
}
