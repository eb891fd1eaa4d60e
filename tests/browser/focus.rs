//! Who uses the keyboard stays where they are, whatever is drawn anew.

use serde_json::json;

use crate::kit::Site;

const ENTER: &str = "\u{e007}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_drawn_anew_keeps_the_focus_and_stays_scrolled() {
    let site = Site::start().await;
    let browser = &site.browser;
    let long = vec![b'x'; 20_000];
    site.plant(&[("/config", &long)]).await;
    let id = site.back_up();
    site.sign_in();

    // A button that cannot be pressed meanwhile.
    site.show("backups");
    let pin = "const button = document.querySelector('td button'); button?.focus(); return button !== null";
    browser.wait_for(pin, &[]).unwrap();
    for (word, pinned) in [("Unpin", true), ("Pin", false)] {
        browser.keys(ENTER).unwrap();
        let on = "return document.activeElement.textContent === arguments[0]";
        browser.wait_for(on, &[word.into()]).unwrap();
        assert_eq!(site.daemon.describe(&id).unwrap()["pinned"], pinned);
    }

    // A table, when something new is told.
    browser.resize(360, 740).unwrap();
    site.show("jobs");
    browser.wait_for_text("Successful").unwrap();
    let aside = "window.old = document.querySelector('.scroll'); old.focus(); old.scrollLeft = 50";
    browser.run(aside, &[]).unwrap();
    site.back_up();
    browser.wait_for("return !old.isConnected", &[]).unwrap();
    let table = "const on = document.activeElement; return [on.className, on.scrollLeft]";
    assert_eq!(browser.run(table, &[]).unwrap(), json!(["scroll", 50]));

    // A button that goes.
    site.show(&format!("backup?id={id}&path=/config"));
    browser.wait_for_text("Show all of it").unwrap();
    let all = "[...document.querySelectorAll('button')].find((button) => button.textContent.startsWith('Show all')).focus()";
    browser.run(all, &[]).unwrap();
    browser.keys(ENTER).unwrap();
    let data = "const on = document.activeElement; return [on.tagName, on.textContent.length]";
    assert_eq!(browser.run(data, &[]).unwrap(), json!(["PRE", 20_000]));
    site.assert_no_complaints(&[]);
}
